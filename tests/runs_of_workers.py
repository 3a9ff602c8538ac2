"""Runs that processes train together, one after the other; what it does alone, all do."""

import json
import sys
from pathlib import Path

from keras_unet3p import workflow
from keras_unet3p.training import choose_strategy


def main(cells: Path, runs: str) -> None:
    choose_strategy("multi_worker")
    for out, options in json.loads(runs).items():
        config = workflow.TrainingConfig(**options)
        best = workflow.train(cells / "images", cells / "masks", config, out=out)
        assert best == Path(out, "best.keras"), best


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
