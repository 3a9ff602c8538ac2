"""The page of a cross-validation."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from keras_unet3p.artifacts import EvaluationReport, FoldsRecord, RunFolder
from keras_unet3p.files import printable
from keras_unet3p.reports.page import image_content, last_part, write_page
from keras_unet3p.reports.run_page import chosen_content


def write_folds_page(whole: RunFolder, record: FoldsRecord) -> Path:
    """Write `FOLDER/report.html` of a cross-validation; each fold's own page is linked.

    Args:
        whole: its folder; the choice after the networks, `metrics.json` and pictures are read.
        record: what the folds reached.

    Returns:
        The path of the page.

    Raises:
        ValueError: a file of the folder is damaged.

    Example:
        >>> write_folds_page(RunFolder("runs/cells"), record)  # doctest: +SKIP
        PosixPath('runs/cells/report.html')
    """
    report = EvaluationReport.read(whole.validation_report)
    classes = record.runs(whole.path)[0].read_record().data.classes
    write_page(
        whole.report,
        title=last_part(whole.path.resolve()),
        folds=[
            {
                "name": printable(name),
                "page": f"{quote(name)}/{whole.report.name}",
                "measures": {measure: values[place] for measure, values in record.measures.items()},
            }
            for place, name in enumerate(record.members)
        ],
        spread={name: record.of(name) for name in report.columns},
        chosen=chosen_content(whole.read_postprocessing()),
        **image_content(report, whole.validation, classes),
    )
    return whole.report
