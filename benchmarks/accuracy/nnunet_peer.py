"""nnU-Net v2 on the sets of `papers.py`, given the same minutes on the same machine.

    pip install torch nnunetv2                                                     # environment 1
    python benchmarks/accuracy/nnunet_peer.py train isbi --data DATA --out OUT --minutes 60
    pip install keras_unet3p                                                       # environment 2
    python benchmarks/accuracy/nnunet_peer.py score isbi --data DATA --out OUT --minutes 60

nnU-Net plans for itself ("2d", its default planner), trains with its default trainer and predicts
with its mirrored versions. Only the length is another: it has a fixed number of epochs, days on a
processor, so that here its learning rate falls along its polynomial over the time that is given
instead, and no time goes into validation. It learns from all images that are not held out (this
package holds back a fifth of them to choose by). Its masks go into `OUT/nnunet_SET_FOLD`, and what
`score` measures into `OUT/nnunet_peer.csv`. Its masks tell no touching objects apart: nuclei are
compared by their pixels.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from papers import SETS, Pair, append

COLUMNS = ("set", "fold", "minutes", "steps", "step_seconds", "dice", "pixel_error", "rand_error")
COLUMNS += ("warping_error",)
_NAME = "Dataset001_peer"


def prepare(pairs: list[Pair], folder: Path) -> None:
    """The training images as nnU-Net wants them, and its plan."""
    from skimage import io

    raw = folder / "raw" / _NAME
    for name in ("imagesTr", "labelsTr"):
        (raw / name).mkdir(parents=True, exist_ok=True)
    taken = [pair for pair in pairs if pair.split == "train"]
    for number, pair in enumerate(taken):
        image = io.imread(pair.image)
        mask = io.imread(pair.mask)
        io.imsave(raw / "imagesTr" / f"case_{number:04}_0000.png", image, check_contrast=False)
        io.imsave(
            raw / "labelsTr" / f"case_{number:04}.png",
            (mask > 0).astype("uint8"),
            check_contrast=False,
        )
    about = {
        "channel_names": {"0": "grey"},
        "labels": {"background": 0, "foreground": 1},
        "numTraining": len(taken),
        "file_ending": ".png",
    }
    (raw / "dataset.json").write_text(json.dumps(about))
    command = "from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import "
    command += "plan_and_preprocess_entry as run; run()"
    options = ["-d", "1", "-c", "2d", "-np", "1", "-npfp", "1"]
    subprocess.run([sys.executable, "-c", command, *options], check=True)


def train(pairs: list[Pair], folder: Path, minutes: float) -> None:
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str((folder / name).resolve())
    os.environ.setdefault("nnUNet_n_proc_DA", "1")
    prepare(pairs, folder)
    import numpy as np
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from skimage import io

    torch.set_num_threads(os.cpu_count() or 1)
    of_set = folder / "preprocessed" / _NAME
    plans = json.loads((of_set / "nnUNetPlans.json").read_text())
    plans["continue_training"] = False
    trainer = nnUNetTrainer(
        plans, "2d", "all", json.loads((of_set / "dataset.json").read_text()), torch.device("cpu")
    )
    trainer.on_train_start()
    trainer.network.train()
    began, steps, share = time.monotonic(), 0, 0.0
    while share < 1:
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.initial_lr * (1 - share) ** 0.9  # PolyLRScheduler
        loss = trainer.train_step(next(trainer.dataloader_train))["loss"]
        steps += 1
        share = (time.monotonic() - began) / (60 * minutes)
        print(f"step {steps}  loss {float(loss):.4f}  {share:.0%}", flush=True)
    seconds = time.monotonic() - began
    configuration = trainer.configuration_manager
    (folder / "training.json").write_text(
        json.dumps(
            {
                "steps": steps,
                "step_seconds": seconds / steps,
                "batch_size": configuration.batch_size,
                "patch_size": [int(side) for side in configuration.patch_size],
            }
        )
    )
    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_mirroring=True,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        configuration,
        [trainer.network.state_dict()],
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    reader = trainer.plans_manager.image_reader_writer_class()
    (folder / "masks").mkdir(exist_ok=True)
    for pair in pairs:
        if pair.split == "test":
            image, properties = reader.read_images([str(pair.image)])
            mask = predictor.predict_single_npy_array(image, properties)
            io.imsave(
                folder / "masks" / pair.image.name, mask[0].astype(np.uint8), check_contrast=False
            )


def score(pairs: list[Pair], folder: Path) -> dict[str, str]:
    import numpy as np
    from skimage import io

    from keras_unet3p import metrics

    measured = []
    for pair in pairs:
        if pair.split == "test":
            truth = io.imread(pair.mask) > 0
            found = io.imread(folder / "masks" / pair.image.name) > 0
            scores = metrics.evaluate_labels(truth.astype(int), found.astype(int))
            measured.append(scores)
    return {name: f"{np.mean([one[name] for one in measured]):.5g}" for name in COLUMNS[5:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("train", "score"))
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0)
    given = parser.parse_args()
    pairs = list(SETS[given.set][0](given.data.resolve(), given.fold))
    folder = given.out / f"nnunet_{given.set}_{given.fold}"
    folder.mkdir(parents=True, exist_ok=True)
    if given.step == "train":
        return train(pairs, folder, given.minutes)
    known = json.loads((folder / "training.json").read_text())
    row = {"set": given.set, "fold": given.fold, "minutes": f"{given.minutes:g}"}
    row |= {"steps": known["steps"], "step_seconds": f"{known['step_seconds']:.3g}"}
    row |= score(pairs, folder)
    append(given.out / "nnunet_peer.csv", COLUMNS, row)
    print(row)
    return None


if __name__ == "__main__":
    main()
