"""What an evaluation found, in a notebook."""

from keras_unet3p.artifacts import EvaluationReport


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
