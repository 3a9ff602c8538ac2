from __future__ import annotations

from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML reads the manifests")

SERVING = Path(__file__).parents[2] / "serving"
FILES = sorted(
    file for file in (SERVING / "kubernetes").glob("*.yaml") if file.stem != "kustomization"
)
DOCUMENTS = [
    document for file in FILES for document in yaml.safe_load_all(file.read_text()) if document
]
DEPLOYMENTS = [document for document in DOCUMENTS if document["kind"] == "Deployment"]


def of_kind(kind: str) -> dict:
    (document,) = [document for document in DOCUMENTS if document["kind"] == kind]
    return document


@pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda d: f"{d['kind']}-{d['metadata']['name']}"
)
def test_schema(document):
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate has the official schemas"
    )
    kubernetes_validate.validate(document, "1.30", strict=True)


def test_the_schema_check_notices_a_wrong_field():
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    document = yaml.safe_load((SERVING / "kubernetes/deployment.yaml").read_text())
    document["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, "1.30", strict=True)


def test_kustomization_names_every_file():
    text = (SERVING / "kubernetes/kustomization.yaml").read_text()
    assert set(yaml.safe_load(text)["resources"]) <= {file.name for file in FILES}
    for file in FILES:
        assert f"- {file.name}" in text


def test_the_config_map_is_the_config_folder():
    data = of_kind("ConfigMap")["data"]
    assert data == {file.name: file.read_text() for file in (SERVING / "config").iterdir()}


def test_what_refers_to_what():
    names = {(document["kind"], document["metadata"]["name"]) for document in DOCUMENTS}
    assert len(names) == len(DOCUMENTS)
    service = of_kind("Service")["spec"]
    scaler = of_kind("HorizontalPodAutoscaler")["spec"]
    target = scaler["scaleTargetRef"]
    assert (target["kind"], target["name"]) in names
    assert scaler["minReplicas"] >= 2
    for deployment in DEPLOYMENTS:
        pod = deployment["spec"]["template"]
        labels = pod["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"] == labels
        assert service["selector"].items() <= labels.items()
        for volume in pod["spec"]["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in names
        (container,) = pod["spec"]["containers"]
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {volume["name"] for volume in pod["spec"]["volumes"]}
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"grpc": 8500, "rest": 8501}
        assert {port["targetPort"] for port in service["ports"]} == set(ports)
    # The autoscaler sets the CPU deployment's replicas, and a number in the file would fight it.
    scaled = next(d for d in DEPLOYMENTS if d["metadata"]["name"] == target["name"])
    assert "replicas" not in scaled["spec"]
    budget = of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert budget.items() <= scaled["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: d["metadata"]["name"])
def test_limits_probes_and_rights(deployment):
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    resources = container["resources"]
    assert {"cpu", "memory"} <= set(resources["limits"])
    assert {"cpu", "memory"} <= set(resources["requests"])
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/cells/metadata"
    assert container["startupProbe"]["httpGet"] == container["readinessProbe"]["httpGet"]
    assert "tcpSocket" in container["livenessProbe"]
    wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert wait < pod["terminationGracePeriodSeconds"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    is_gpu = container["image"].endswith("-gpu")
    assert ("nvidia.com/gpu" in resources["limits"]) == is_gpu
    compose = (SERVING / "compose.yaml").read_text()
    version = container["image"].removesuffix("-gpu").split(":")[1]
    assert f"TF_SERVING_VERSION:-{version}}}" in compose
    if not is_gpu:
        threads = f"--tensorflow_intra_op_parallelism={resources['limits']['cpu']}"
        assert threads in container["args"]
