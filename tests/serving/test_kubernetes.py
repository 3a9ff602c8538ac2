from __future__ import annotations

import itertools
import shutil

import pytest
from kustomized import KUBERNETES, SERVING, only, render, server

yaml = pytest.importorskip("yaml", reason="PyYAML reads the manifests")

DEVICES = ["cpu", "gpu"]
FOLDERS = ["overlays/cpu", "overlays/gpu", "models", "fetch"]


@pytest.fixture(params=DEVICES)
def device(request) -> str:
    return request.param


@pytest.fixture
def overlay(device) -> list[dict]:
    return render(f"overlays/{device}")


@pytest.fixture
def with_ingress(device, tmp_path) -> list[dict]:
    """An overlay whose lines about the ingress are no comments any more."""
    shutil.copytree(SERVING, tmp_path / "serving")
    folder = tmp_path / "serving/kubernetes/overlays" / device
    file = folder / "kustomization.yaml"
    text = file.read_text()
    commented = "# components:\n#   - ../../ingress\n"
    assert commented in text
    file.write_text(text.replace(commented, commented.replace("# ", "")))
    return render(folder)


def validate(document: dict) -> None:
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate has the official schemas"
    )
    kubernetes_validate.validate(document, "1.31", strict=True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_schema(folder):
    for document in render(folder):
        validate(document)


def test_the_ingress_follows_its_schema(with_ingress):
    for document in with_ingress:
        validate(document)


def test_the_schema_check_notices_a_wrong_field():
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    documents = yaml.safe_load_all(yaml.safe_dump_all(render("overlays/cpu")))
    document = only(list(documents), "Deployment")
    server([document])["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(document)


def test_every_file_belongs_to_a_kustomization():
    for folder in {file.parent for file in KUBERNETES.rglob("*.yaml")}:
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
        used = {*kustomization.get("resources", [])}
        used |= {patch["path"] for patch in kustomization.get("patches", []) if "path" in patch}
        files = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}
        # Helm reads this one.
        assert files - {"adapter.yaml"} <= used, folder


def test_the_servers_read_the_config_folder(overlay):
    maps = {d["metadata"]["name"]: d["data"] for d in overlay if d["kind"] == "ConfigMap"}
    volumes = only(overlay, "Deployment")["spec"]["template"]["spec"]["volumes"]
    (config,) = [volume["projected"] for volume in volumes if volume["name"] == "config"]
    mounted = {}
    for source in config["sources"]:
        mounted |= maps[source["configMap"]["name"]]
    assert mounted == {f.name: f.read_text() for f in (SERVING / "config").glob("*.config")}


def test_a_new_version_needs_no_new_pods_and_another_batching_does(tmp_path):
    def pods(serving) -> dict:
        return only(render(serving / "kubernetes/overlays/gpu"), "Deployment")["spec"]["template"]

    before = pods(SERVING)
    for file, changes in (("models.config", False), ("batching.config", True)):
        copy = tmp_path / file
        shutil.copytree(SERVING, copy)
        with (copy / "config" / file).open("a") as stream:
            stream.write("# changed\n")
        assert (pods(copy) != before) == changes, file


def test_what_refers_to_what(overlay, device):
    names = {(document["kind"], document["metadata"]["name"]) for document in overlay}
    names |= {(document["kind"], document["metadata"]["name"]) for document in render("models")}
    deployment = only(overlay, "Deployment")
    target = only(overlay, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) in names
    # The autoscaler sets the number of pods, and a number in the file would fight it.
    assert "replicas" not in deployment["spec"]

    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == device
    for selector in (
        deployment["spec"]["selector"]["matchLabels"],
        only(overlay, "Service")["spec"]["selector"],
        only(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only(overlay, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ):
        assert selector == labels
    (claim,) = [v["persistentVolumeClaim"] for v in pod["spec"]["volumes"] if v["name"] == "models"]
    assert ("PersistentVolumeClaim", claim["claimName"]) in names
    mounts = {mount["name"] for mount in server(overlay)["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["spec"]["volumes"]}
    ports = {port["name"]: port["containerPort"] for port in server(overlay)["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    assert {port["targetPort"] for port in only(overlay, "Service")["spec"]["ports"]} == set(ports)


def test_both_overlays_fit_into_one_namespace():
    overlays = [render(f"overlays/{device}") for device in DEVICES]
    names = [(d["kind"], d["metadata"]["name"]) for documents in overlays for d in documents]
    assert len(set(names)) == len(names)
    for one, other in itertools.permutations(overlays, 2):
        selector = only(one, "Service")["spec"]["selector"]
        pods = only(other, "Deployment")["spec"]["template"]["metadata"]["labels"]
        assert not selector.items() <= pods.items()


def test_limits_probes_and_rights(overlay, device):
    pod = only(overlay, "Deployment")["spec"]["template"]["spec"]
    container = server(overlay)
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
    is_gpu = device == "gpu"
    assert container["image"].endswith("-gpu") == is_gpu
    assert ("nvidia.com/gpu" in resources["limits"]) == is_gpu
    tolerated = {toleration["key"] for toleration in pod.get("tolerations", [])}
    assert tolerated == ({"nvidia.com/gpu"} if is_gpu else set())
    compose = (SERVING / "compose.yaml").read_text()
    version = container["image"].removesuffix("-gpu").split(":")[1]
    assert f"TF_SERVING_VERSION:-{version}}}" in compose


def test_threads_follow_the_cpu_limit(overlay, device):
    container = server(overlay)
    limit = {variable["name"]: variable.get("valueFrom") for variable in container["env"]}
    assert limit["CPU_LIMIT"] == {"resourceFieldRef": {"resource": "limits.cpu"}}
    assert "--tensorflow_intra_op_parallelism=$(CPU_LIMIT)" in container["args"]
    if device == "gpu":
        threads = f"num_batch_threads {{ value: {container['resources']['limits']['cpu']} }}"
        assert threads in (SERVING / "config/batching.config").read_text()


def test_a_node_can_be_drained_and_pods_follow_the_load(overlay, device):
    assert only(overlay, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    scaler = only(overlay, "HorizontalPodAutoscaler")["spec"]
    assert scaler["minReplicas"] < scaler["maxReplicas"]
    (metric,) = scaler["metrics"]
    if device == "cpu":
        # A drain takes one pod away, and another goes on.
        assert scaler["minReplicas"] >= 2
        assert metric["resource"]["name"] == "cpu"
        return
    adapter = yaml.safe_load((KUBERNETES / "monitoring/adapter.yaml").read_text())
    (rule,) = adapter["rules"]["custom"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]


def test_only_the_serving_ports_are_reached(overlay):
    policy = only(overlay, "NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert policy["egress"] == []
    serving, metrics = policy["ingress"]
    assert {port["port"] for port in serving["ports"]} == {"grpc", "rest"}
    # The labels that an overlay adds to selectors must not reach the ones of the clients.
    assert {"podSelector": {}} in serving["from"]
    assert [port["port"] for port in metrics["ports"]] == ["rest"]
    (source,) = metrics["from"]
    namespace = source["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    assert namespace == "monitoring"


def test_the_ingress_shows_predictions_to_known_clients_only(with_ingress):
    service = only(with_ingress, "Service")
    ports = {port["name"] for port in service["spec"]["ports"]}
    paths = set()
    for ingress in [d for d in with_ingress if d["kind"] == "Ingress"]:
        (rule,) = ingress["spec"]["rules"]
        (tls,) = ingress["spec"]["tls"]
        assert tls["hosts"] == [rule["host"]]
        assert tls["secretName"]
        annotations = ingress["metadata"]["annotations"]
        assert annotations["nginx.ingress.kubernetes.io/auth-type"] == "basic"
        is_grpc = annotations.get("nginx.ingress.kubernetes.io/backend-protocol") == "GRPC"
        for path in rule["http"]["paths"]:
            paths.add((path["path"], path["pathType"]))
            backend = path["backend"]["service"]
            assert backend["name"] == service["metadata"]["name"]
            assert backend["port"]["name"] in ports
            assert backend["port"]["name"] == ("grpc" if is_grpc else "rest")
    assert paths == {
        ("/v1/models", "Prefix"),
        ("/tensorflow.serving.PredictionService", "Prefix"),
        ("/tensorflow.serving.ModelService/GetModelStatus", "Exact"),
    }


def test_the_monitor_finds_the_pods_of_both_devices():
    spec = only(render("monitoring"), "PodMonitor")["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    for device in DEVICES:
        documents = render(f"overlays/{device}")
        pod = only(documents, "Deployment")["spec"]["template"]
        assert spec["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        assert endpoint["port"] in {port["name"] for port in server(documents)["ports"]}
        assert set(spec["podTargetLabels"]) <= set(pod["metadata"]["labels"])
    assert f'"{endpoint["path"]}"' in (SERVING / "config/monitoring.config").read_text()
    prometheus = yaml.safe_load((SERVING / "monitoring/prometheus.yml").read_text())
    jobs = {job["job_name"] for job in prometheus["scrape_configs"]}
    (relabeling,) = endpoint["relabelings"]
    assert relabeling["targetLabel"] == "job"
    assert {relabeling["replacement"]} == jobs


def test_the_rules_are_those_that_are_tested():
    rules = only(render("monitoring"), "PrometheusRule")["spec"]
    assert rules == yaml.safe_load((SERVING / "monitoring/alerts.yml").read_text())
