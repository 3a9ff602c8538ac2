"""Runs with another choice of what follows their network."""

import json
import shutil

from keras_unet3p.artifacts import RunFolder


def run_with_choice(run, folder, **chosen):
    """A copy of a run in `folder`, in whose `postprocessing.json` these entries are others."""
    path = RunFolder(shutil.copytree(run, folder)).postprocessing
    path.write_text(json.dumps({**json.loads(path.read_text()), **chosen}))
    return folder
