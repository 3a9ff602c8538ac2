from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML reads the manifests")

SERVING = Path(__file__).parents[2] / "serving"
DASHBOARD = json.loads((SERVING / "monitoring/grafana/dashboards/serving.json").read_text())
ALERTS = yaml.safe_load((SERVING / "monitoring/alerts.yml").read_text())

# What TensorFlow Serving exports: metric -> labels.
METRICS = {
    ":tensorflow:serving:request_count": {"model_name", "status"},
    ":tensorflow:serving:request_latency": {"model_name", "API", "entrypoint"},
    ":tensorflow:serving:runtime_latency": {"model_name", "API", "runtime"},
    ":tensorflow:serving:batching_session:queuing_latency": set(),
    ":tensorflow:core:graph_runs": set(),
    "up": {"job"},
    # cAdvisor's and kube-state-metrics'
    "container_memory_working_set_bytes": {"container", "pod"},
    "kube_pod_container_resource_limits": {"container", "pod", "resource"},
}


def expressions() -> list[str]:
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    found += [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]
    return found


@pytest.mark.parametrize("expression", expressions())
def test_expressions_use_metrics_and_labels_that_exist(expression):
    assert expression.count("(") == expression.count(")")
    assert expression.count("{") == expression.count("}")
    names = re.findall(r":tensorflow:[\w:]+|\bup\b|\b(?:container|kube)_\w+", expression)
    assert names
    known = {"job", "instance", "le"}
    for name in names:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        base = name if name in METRICS else base
        assert base in METRICS, name
        known |= METRICS[base]
    for labels in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in labels.split(",")} <= known
    for selector in re.findall(r"\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)\s*(?:=|!)", selector)) <= known
    if "histogram_quantile" in expression:
        assert "_bucket" in expression
        assert re.search(r"by \(le\b", expression)


def test_dashboard_is_whole():
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = set()
    for panel in panels:
        position = panel["gridPos"]
        assert position["x"] + position["w"] <= 24
        area = {
            (x, y)
            for x in range(position["x"], position["x"] + position["w"])
            for y in range(position["y"], position["y"] + position["h"])
        }
        assert not area & cells, f"{panel['title']} lies over another panel"
        cells |= area
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(panels))) - {"__rate_interval"}
    assert used <= variables


def test_alerts_are_whole():
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
            assert rule["labels"]["severity"] in ("warning", "critical")


def test_latencies_leave_the_probes_out():
    for expression in expressions():
        for selector in re.findall(r"request_latency_\w+\{([^}]*)\}", expression):
            assert "(?i)predict" in selector, expression


def test_every_alert_has_a_test_in_which_it_fires():
    tested = yaml.safe_load((SERVING / "monitoring/alerts_test.yml").read_text())
    fired = {
        case["alertname"]
        for test in tested["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fired == {rule["alert"] for group in ALERTS["groups"] for rule in group["rules"]}


def test_alerts_fire_when_they_should():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool, of Prometheus, runs the rules' tests")
    ran = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yml"],
        cwd=SERVING / "monitoring",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_scrape_reaches_the_compose_service():
    prometheus = yaml.safe_load((SERVING / "monitoring/prometheus.yml").read_text())
    compose = yaml.safe_load((SERVING / "compose.yaml").read_text())
    (job,) = prometheus["scrape_configs"]
    assert job["job_name"] == "tensorflow-serving"
    for target in job["static_configs"][0]["targets"]:
        assert target.split(":")[0] in compose["services"]
    for rules in prometheus["rule_files"]:
        assert (SERVING / "monitoring" / rules).is_file()
    folder = "monitoring/grafana/provisioning"
    source = yaml.safe_load((SERVING / folder / "datasources/prometheus.yaml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
