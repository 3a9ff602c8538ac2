"""Make the preset "nuclei": a U-Net of 16 filters, trained on the nuclei of DSB 2018.

In three steps, since the machine with a GPU may have PyTorch and no TensorFlow:

    python benchmarks/accuracy/nuclei_preset.py prepare --data DATA --work WORK
    python benchmarks/accuracy/nuclei_preset.py train --work WORK --seconds 540
    python benchmarks/accuracy/nuclei_preset.py write --data DATA --work WORK

`prepare` needs this package, scipy and OpenCV, and packs the training images of `DATA/dsb2018_fluo`
into one file; 60 of them are kept back. `train` needs PyTorch and a CUDA device: it cuts, turns and
changes the crops on the device, and a step is one CUDA graph. Besides the two maps of
`targets.instance_maps` the network learns the vector to the object's centre, which is then left
out: learning it makes the two maps better (see docs/presets.md). `write` needs this package: it
puts the weights into the Keras network, chooses what follows it on the 60 images, writes the folder
of the preset and scores it on the images of the split "val", which nothing was chosen by.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

DEPTH = 8.0  # pixels that count as 1 in the vector to the centre
SIDE, BATCH, FILTERS = 256, 8, 16
PRESET = Path(__file__).parents[2] / "keras_unet3p" / "presets" / "nuclei"


def names(data: Path) -> dict[str, list[str]]:
    """File names to train on, to choose the rule by, and to score."""
    with (data / "dsb2018_fluo" / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    train, scored = (
        [row["file"] for row in rows if row["split"] == kind] for kind in ("train", "val")
    )
    held = np.array_split(np.random.default_rng(0).permutation(len(train)), 5)[0][:60]
    chosen = [train[place] for place in held]
    kept = [name for name in train if name not in chosen]
    return {"train": kept, "choose": chosen, "score": scored}


def prepare(options: argparse.Namespace) -> None:
    import cv2
    from scipy import ndimage

    from keras_unet3p.config import PERCENTILES
    from keras_unet3p.images import intensity_range
    from keras_unet3p.targets import instance_maps

    folder = options.data / "dsb2018_fluo"
    parts: dict[str, list[np.ndarray]] = {"image": [], "inside": [], "core": [], "centre": []}
    shapes, centres, counts = [], [], []
    for name in names(options.data)["train"]:
        values = cv2.imread(str(folder / "images" / name), cv2.IMREAD_UNCHANGED)
        ids = cv2.imread(str(folder / "labels" / name), cv2.IMREAD_UNCHANGED).astype(np.int32)
        assert values is not None, name
        assert (values.dtype, values.ndim) == (np.uint8, 2), name
        low, high = (float(end[0]) for end in intensity_range(values[..., None], PERCENTILES))
        image = (values / 255.0 - low) / max(high - low, 1e-3)
        numbers = np.unique(ids)[1:]
        table = np.zeros((ids.max() + 1, 2), np.float32)
        if len(numbers):
            table[numbers] = ndimage.center_of_mass(ids > 0, ids, numbers)
        shapes.append(ids.shape)
        centres += list(table[numbers])
        counts.append(len(numbers))
        parts["image"].append(image.astype(np.float16).ravel())
        parts["inside"].append((ids > 0).ravel())
        parts["core"].append(instance_maps(ids[None])[0, ..., 1].numpy().astype(np.float16).ravel())
        parts["centre"].append(table[ids].astype(np.float16).reshape(-1, 2))
    arrays = {name: np.concatenate(part) for name, part in parts.items()}
    arrays |= {"shapes": np.array(shapes), "centres": np.array(centres, np.float32)}
    arrays["counts"] = np.array(counts)
    options.work.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.work / "nuclei.npz", **arrays)  # type: ignore[arg-type]
    print(f"{len(shapes)} images, {len(centres)} nuclei")


class Crops:
    """Crops of the training images, made on the device: turned, scaled, bent, changed in grey."""

    def __init__(self, file: Path, device: str) -> None:
        import torch

        with np.load(file) as found:
            arrays = dict(found)
        self.device, shapes = device, arrays["shapes"]
        sizes = shapes.prod(1)
        arrays["inside"] = arrays["inside"].astype(np.float16)
        arrays["shapes"] = shapes.astype(np.int64)
        arrays["starts"] = np.cumsum(sizes) - sizes
        arrays["first"] = np.cumsum(arrays["counts"]) - arrays["counts"]
        for name, values in arrays.items():
            setattr(self, name, torch.as_tensor(values).to(device))
        place = torch.arange(SIDE, device=device, dtype=torch.float32) - (SIDE - 1) / 2
        self.rows, self.columns = torch.meshgrid(place, place, indexing="ij")
        self.taps = torch.arange(-4, 5, device=device, dtype=torch.float32)

    def uniform(self, low: float, high: float, *shape: int):
        import torch

        return low + (high - low) * torch.rand(BATCH, *shape, device=self.device)

    def middles(self, number):
        """Where in its image each crop lies: half of them about an object."""
        import torch

        one: Any = self
        sides = one.shapes[number].float()
        least = sides.clamp(max=SIDE) / 2 - 0.5
        spare = (sides - SIDE).clamp(min=0)
        anywhere = least + self.uniform(0, 1, 2) * spare
        count = one.counts[number]
        chosen = (self.uniform(0, 1) * count).long().minimum((count - 1).clamp(min=0))
        about = one.centres[(one.first[number] + chosen).clamp(max=len(one.centres) - 1)]
        about = (about + self.uniform(-0.5, 0.5, 2) * SIDE).maximum(least).minimum(least + spare)
        at_object = (self.uniform(0, 1) < 0.5) & (count > 0)
        return torch.where(at_object[:, None], about, anywhere)

    def __call__(self):
        """(B, 1, h, w) images, (B, 2, h, w) maps, (B, 2, h, w) vectors, and where these count."""
        import torch
        from torch.nn import functional

        one: Any = self
        number = torch.randint(len(one.shapes), (BATCH,), device=self.device)
        middle = self.middles(number)
        angle = self.uniform(0, 2 * math.pi)
        reach = torch.where(self.uniform(0, 1) < 0.3, math.log(1.8), math.log(1.25))
        scale, aspect = (self.uniform(-1, 1) * reach).exp(), self.uniform(-0.1, 0.1).exp()
        flip = torch.where(self.uniform(0, 1) < 0.5, -1.0, 1.0)
        turn = [
            (angle.cos() * scale * flip * aspect)[:, None, None],
            (-angle.sin() * scale / aspect)[:, None, None],
            (angle.sin() * scale * flip * aspect)[:, None, None],
            (angle.cos() * scale / aspect)[:, None, None],
        ]
        bend = torch.randn(BATCH, 2, 6, 6, device=self.device)
        bend = bend * self.uniform(0, 6)[:, None, None, None]
        bend = functional.interpolate(bend, size=(SIDE, SIDE), mode="bicubic", align_corners=True)
        middle = middle[:, :, None, None]
        row = turn[0] * self.rows + turn[1] * self.columns + middle[:, 0] + bend[:, 0]
        column = turn[2] * self.rows + turn[3] * self.columns + middle[:, 1] + bend[:, 1]
        height, width = one.shapes[number][:, :, None, None].unbind(1)
        start = one.starts[number][:, None, None]

        def at(rows, columns):
            return start + mirrored(rows, height) * width + mirrored(columns, width)

        top, left = row.floor(), column.floor()
        below, right = row - top, column - left
        top, left = top.long(), left.long()
        image = (
            one.image[at(top, left)] * (1 - below) * (1 - right)
            + one.image[at(top + 1, left)] * below * (1 - right)
            + one.image[at(top, left + 1)] * (1 - below) * right
            + one.image[at(top + 1, left + 1)] * below * right
        )
        top, left = row.round().long(), column.round().long()
        nearest = at(top, left)
        maps = torch.stack([one.inside[nearest].float(), one.core[nearest].float()], 1)
        away = one.centre[nearest].float()
        down, across = away[..., 0] - mirrored(top, height), away[..., 1] - mirrored(left, width)
        determinant = turn[0] * turn[3] - turn[1] * turn[2]
        vectors = [
            (turn[3] * down - turn[1] * across) / determinant,
            (turn[0] * across - turn[2] * down) / determinant,
        ]
        # In the mirror the way to the centre is another one.
        counts = (top >= 0) & (top < height) & (left >= 0) & (left < width)
        image = self.changed(image)
        return image[:, None], maps, torch.stack(vectors, 1) / DEPTH, counts * maps[:, 0]

    def changed(self, image):
        """Blurred, brighter or darker, of another contrast, with noise."""
        import torch
        from torch.nn import functional

        blur = self.uniform(0, 1.5) * (self.uniform(0, 1) < 0.3) + 0.01
        kernel = (-(self.taps**2) / (2 * blur[:, None] ** 2)).exp()
        kernel = kernel / kernel.sum(1, keepdim=True)
        kernel = (kernel[:, :, None] * kernel[:, None, :])[:, None]
        image = functional.pad(image[None], (4, 4, 4, 4), mode="reflect")
        image = functional.conv2d(image, kernel, groups=BATCH)[0]
        image = image * self.uniform(-0.4, 0.4, 1, 1).exp() + self.uniform(-0.15, 0.15, 1, 1)
        gamma = self.uniform(-0.5, 0.5, 1, 1).exp()
        image = torch.where(image > 0, image.clamp(min=1e-6) ** gamma, image)
        return image + torch.randn_like(image) * (0.1 * self.uniform(0, 1, 1, 1) ** 2)


def mirrored(place, side):
    import torch

    place = place.remainder(2 * (side - 1))
    return torch.where(place >= side, 2 * (side - 1) - place, place)


def train(options: argparse.Namespace) -> None:
    import torch
    from instance_heads import UNet
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(options.seed)
    crops = Crops(options.work / "nuclei.npz", "cuda")
    net = UNet(4, FILTERS).to("cuda", memory_format=torch.channels_last)
    net.dropout.p = 0.3
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.01
    rate, keep = torch.tensor(0.0, device="cuda"), torch.tensor(0.0, device="cuda")
    kernels = [value for value in net.parameters() if value.ndim > 1]
    others = [value for value in net.parameters() if value.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": kernels, "weight_decay": 1e-4, "lr": rate},
            {"params": others, "weight_decay": 0.0, "lr": rate},
        ],
        capturable=True,
    )
    state = {name: v for name, v in net.state_dict().items() if v.is_floating_point()}
    average = {name: value.clone() for name, value in state.items()}

    def step() -> None:
        image, maps, vectors, counts = crops()
        with torch.autocast("cuda", torch.bfloat16):
            out = net(image)
        out = out.float()
        # The mean of each map's cross-entropy, and their sum.
        loss = 2 * functional.binary_cross_entropy_with_logits(out[:, :2], maps)
        loss = loss + ((out[:, 2:] - vectors).abs() * counts[:, None]).mean()
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0, foreach=True)
        optimizer.step()
        for name, value in state.items():
            average[name].lerp_(value, 1 - keep)

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    began, done, share = time.perf_counter(), 0, 0.0
    while share < 1.0:
        share = min((time.perf_counter() - began) / options.seconds, 1.0)
        warm = min((done + 1) / 300, 1.0)
        rate.fill_(2e-3 * warm * 0.5 * (1 + math.cos(math.pi * share)))
        keep.fill_(min(0.999, (1 + done) / (10 + done)))
        for _ in range(10):
            graph.replay()
        torch.cuda.synchronize()
        done += 10
    arrays = {name: value.float().cpu().numpy() for name, value in average.items()}
    np.savez(options.work / "trained.npz", **arrays)  # type: ignore[arg-type]
    print(f"{done} steps of {BATCH} crops of {SIDE} x {SIDE}")


def layer_weights(state: dict[str, np.ndarray], depth: int = 4) -> dict[str, list[np.ndarray]]:
    """The weights of `instance_heads.UNet` by the names of our U-Net's layers."""
    found = {}

    def convolution(theirs: str, ours: str) -> None:
        found[ours] = [state[f"{theirs}.weight"].transpose(2, 3, 1, 0), state[f"{theirs}.bias"]]

    for stage in range(2 * depth + 1):
        block = f"down.{stage}" if stage <= depth else f"join.{stage - depth - 1}"
        ours = f"e{stage + 1}" if stage <= depth else f"d{stage - depth}"
        for number in (1, 2):
            theirs = f"{block}.layers.{3 * number - 3}"
            convolution(theirs, f"{ours}_{number}_conv")
            norm = f"{block}.layers.{3 * number - 2}"
            parts = ("weight", "bias", "running_mean", "running_var")
            found[f"{ours}_{number}_bn"] = [state[f"{norm}.{part}"] for part in parts]
    for level in range(depth):
        theirs, ours = f"up.{level}", f"d{level + 1}_up"
        # (in, out, height, width) there, (height, width, out, in) here.
        found[ours] = [state[f"{theirs}.weight"].transpose(2, 3, 1, 0), state[f"{theirs}.bias"]]
    convolution("head", "mask_conv")
    found["mask_conv"] = [found["mask_conv"][0][..., :2], found["mask_conv"][1][:2]]
    return found


def write(options: argparse.Namespace) -> None:
    import keras_unet3p as ku
    from keras_unet3p.artifacts import Preset, RunRecord
    from keras_unet3p.config import PERCENTILES, TrainingConfig
    from keras_unet3p.workflow.kept_arrays import KeptArrays
    from keras_unet3p.workflow.tuning import tune_instances

    folder, parts = options.data / "dsb2018_fluo", names(options.data)

    def files(kind: str, part: str) -> list[Path]:
        return [folder / kind / name for name in parts[part]]

    training = ku.data.open_images(
        files("images", "train"), files("labels", "train"), mask_kind="instances"
    )
    normalization = {
        **training.stretched_by(PERCENTILES).normalization().to_dict(),
        # The network was trained on stretched values as they are.
        "mean": [0.0],
        "std": [1.0],
    }
    with np.load(options.work / "trained.npz") as arrays:
        weights = layer_weights({name.replace("/", "."): arrays[name] for name in arrays.files})
    network = {
        "architecture": "unet",
        "options": {
            "input_shape": [None, None, 1],
            "num_classes": 2,
            "filters": FILTERS,
            "batch_norm": True,
            "classifier_activation": "sigmoid",
            "normalization": normalization,
        },
    }
    PRESET.mkdir(parents=True, exist_ok=True)
    (PRESET / "network.json").write_text(json.dumps(network, indent=2) + "\n")
    Preset.write_weights(PRESET / "weights.npz", weights)
    (PRESET / "postprocessing.json").unlink(missing_ok=True)
    config = TrainingConfig(architecture="unet", filters=FILTERS, batch_norm=True)
    RunRecord(
        training=config.to_dict(),
        data={
            "mask_kind": "instances",
            "classes": None,
            "num_channels": 1,
            "num_classes": 1,
            "stored_types": ["uint8"],
            "normalization": normalization,
            "mask_spans": training.mask_spans.to_dict(),
        },
    ).write(PRESET / "config.json")

    chosen = ku.data.open_images(
        files("images", "choose"), files("labels", "choose"), mask_kind="instances"
    )
    model = ku.models.from_preset("nuclei")
    maps = [ku.tiling.predict_image(model, chosen.stored(n)[0]) for n in range(len(chosen))]
    with KeptArrays(maps) as kept:
        tune_instances(kept, chosen).write(PRESET / "postprocessing.json")

    with tempfile.TemporaryDirectory() as scored:
        for kind in ("images", "labels"):
            (Path(scored) / kind).mkdir()
            for file in files(kind, "score"):
                shutil.copy(file, Path(scored) / kind)
        report = ku.workflow.evaluate(
            "nuclei", f"{scored}/images", f"{scored}/labels", mask_kind="instances"
        )
    print(json.dumps(report.overall, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("prepare", "train", "write"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    {"prepare": prepare, "train": train, "write": write}[options.step](options)


if __name__ == "__main__":
    main()
