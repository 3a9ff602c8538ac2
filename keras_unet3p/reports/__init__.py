"""Pages for people: a training or an evaluation in one HTML file that needs nothing else.

No TensorFlow here, no script and no address in the pages: pictures and curves are in the file.
"""

from keras_unet3p.reports.curves import Curve, Mark, line_chart
from keras_unet3p.reports.evaluation_page import write_evaluation_page
from keras_unet3p.reports.folds_page import write_folds_page
from keras_unet3p.reports.run_page import write_run_page

__all__ = [
    "Curve",
    "Mark",
    "line_chart",
    "write_evaluation_page",
    "write_folds_page",
    "write_run_page",
]
