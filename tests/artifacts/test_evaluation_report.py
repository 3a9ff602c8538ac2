"""Results in a notebook."""

from keras_unet3p.artifacts import EvaluationReport, FoldsRecord, Plan
from keras_unet3p.artifacts.plan import PlanLine


def test_a_notebook_shows_a_table_of_the_worst_images():
    images = [{"name": f"<{number}>", "dice": number / 30} for number in range(30)]
    report = EvaluationReport(
        mask_kind="binary", columns=["dice", "iou"], images=images, overall={"dice": 0.5}
    )
    shown = report._repr_html_()
    assert "<td>&lt;1&gt;</td><td>0.0333</td><td></td>" in shown
    assert "&lt;20&gt;" not in shown
    assert "and 10 better ones" in shown
    assert "<td><b>overall</b></td><td>0.5000</td>" in shown


def test_a_notebook_shows_why_a_plan_is_as_it_is():
    line = PlanLine(name="filters", value=16, reason="steps < width")
    shown = Plan(lines=[line], steps=9, step_seconds=0.5, memory=1_800_000_000)._repr_html_()
    assert "<td>filters</td><td>16</td><td>steps &lt; width</td>" in shown
    assert "<p>about 1.8 GB of memory</p>" in shown


def test_a_notebook_shows_the_folds_beside_each_other():
    record = FoldsRecord(members=["fold-1", "fold-2"], measures={"dice": [0.8, None]})
    shown = record._repr_html_()
    assert "<th>fold-1</th><th>fold-2</th>" in shown
    assert "<td>dice</td><td>0.8000</td><td></td><td>0.8000 ± 0.0000</td>" in shown
