"""Which output of a U-Net tells touching objects apart best: heads compared, all else equal.

The same U-Net (3x3 convolutions with batch normalisation, 4 poolings, as `models.unet`), the same
crops, augmentation, optimizer, schedule, steps and seed for every head; each head's own thresholds
are chosen on held-back training images, and the scores are those of other images. PyTorch, since
the comparison was made on a GPU without TensorFlow; a GPU is used where there is one.

    pip install torch scipy scikit-image opencv-python-headless
    python benchmarks/accuracy/instance_heads.py --data DATA --set nuclei --steps 5000

`DATA` holds `dsb2018_fluo` (images, labels, index.csv) and `ctc_dic_hela` (gold, silver). A row for
each head is appended to `--out`; rows that are there are not made again, so that a killed
comparison continues. `instance_heads.csv` beside this file holds the rows that were measured.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.segmentation import expand_labels, watershed
from torch import nn
from torch.nn import functional

HEADS = {
    "gaps": 1,  # foreground, with background drawn between touching objects
    "border class": 3,  # background, inside, inner border: a softmax
    "core": 2,  # foreground, and what lies deeper than 2 pixels
    "distance": 2,  # foreground, and the distance to the outline over the object's largest
    "root distance": 2,  # the same, its square root
    "cut distance": 2,  # foreground, and the distance cut off at the set's median depth
    "touching": 2,  # foreground, and the pixels where objects touch
    "offsets": 4,  # foreground, distance, and the vector to the object's centre
    "distance and core": 3,
}
KEY = ["set", "fold", "head", "seed", "steps", "filters"]
SCORES = ["ap50", "ap60", "ap70", "ap80", "ap90", "mean_ap", "seg"]
COLUMNS = [*KEY, *SCORES, "rule"]
THRESHOLDS, SEEDS = (0.3, 0.4, 0.5, 0.6), (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class Picture(NamedTuple):
    """An image with its percentiles at 0 and 1, its ids, and for each pixel its object's facts."""

    image: np.ndarray
    ids: np.ndarray
    depth: np.ndarray  # distance to the outline, pixels
    share: np.ndarray  # the same over the object's largest
    touching: np.ndarray
    centre: np.ndarray  # (H, W, 2)


def read(image: Path, labels: Path) -> Picture:
    values = cv2.imread(str(image), cv2.IMREAD_UNCHANGED).astype(np.float32)
    values = values if values.ndim == 2 else values.mean(-1)
    ids = cv2.imread(str(labels), cv2.IMREAD_UNCHANGED).astype(np.int32)
    low, high = np.percentile(values, (1, 99.8))
    depth, share = np.zeros((2, *ids.shape), np.float32)
    centre = np.zeros((*ids.shape, 2), np.float32)
    for number, window in enumerate(ndimage.find_objects(ids), start=1):
        if window is None:
            continue
        inside = ids[window] == number
        # The image's edge is no outline.
        pads = [
            (int(part.start > 0), int(part.stop < side))
            for part, side in zip(window, ids.shape, strict=True)
        ]
        distance = ndimage.distance_transform_edt(np.pad(inside, pads))
        (top, _), (left, _) = pads
        distance = distance[top : top + inside.shape[0], left : left + inside.shape[1]]
        depth[window][inside] = distance[inside]
        share[window][inside] = distance[inside] / distance.max()
        rows, columns = np.nonzero(inside)
        centre[window][inside] = rows.mean() + window[0].start, columns.mean() + window[1].start
    window = np.ones((3, 3), np.uint8)
    largest = cv2.dilate(ids.astype(np.float32), window)
    smallest = cv2.erode(np.where(ids > 0, ids, 1 << 24).astype(np.float32), window)
    touching = (ids > 0) & (largest != smallest) & (smallest < 1 << 24)
    image = ((values - low) / max(high - low, 1.0)).astype(np.float32)
    return Picture(image, ids, depth, share, touching.astype(np.float32), centre)


def nuclei(data: Path, fold: int) -> tuple[list[Picture], ...]:
    """To train on, to choose the rule by (60 of a fifth of the training images), to score."""
    with (data / "dsb2018_fluo" / "index.csv").open() as file:
        rows = list(csv.DictReader(file))
    folder = data / "dsb2018_fluo"
    train, scored = (
        [row["file"] for row in rows if row["split"] == kind] for kind in ("train", "val")
    )
    parts = np.array_split(np.random.default_rng(0).permutation(len(train)), 5)
    held = [train[place] for place in parts[fold]]
    chosen = [[name for name in train if name not in held], held[:60], scored]
    return tuple(
        [read(folder / "images" / name, folder / "labels" / name) for name in part]
        for part in chosen
    )


def hela(data: Path, fold: int) -> tuple[list[Picture], ...]:
    """A block of neighbouring frames is held back; every other silver frame of it chooses."""
    folder = data / "ctc_dic_hela"
    frames = [
        (int(path.stem.split("t")[-1]), kind, path)
        for kind in ("gold", "silver")
        for path in sorted((folder / kind / "images").glob("*.png"))
    ]
    low, high = [(0, 27), (27, 54), (54, 1000)][fold]
    held = [frame for frame in frames if low <= frame[0] < high]
    silver = [frame for frame in held if frame[1] == "silver"]
    gold = [frame for frame in held if frame[1] == "gold"]
    parts = [[f for f in frames if f not in held], silver[::2], silver[1::2] + gold]
    return tuple(
        [read(path, folder / kind / "labels" / path.name) for _, kind, path in part]
        for part in parts
    )


class Block(nn.Module):
    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for given in (channels, out):
            layers += [nn.Conv2d(given, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x)


class UNet(nn.Module):
    """`keras_unet3p.models.unet(filters=..., batch_norm=True)`."""

    def __init__(self, out: int, filters: int, depth: int = 4) -> None:
        super().__init__()
        channels = [filters * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(map(Block, [1, *channels], channels))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(channels[k + 1], channels[k], 2, 2) for k in range(depth)
        )
        self.join = nn.ModuleList(Block(2 * channels[k], channels[k]) for k in range(depth))
        self.head, self.dropout, self.depth = nn.Conv2d(filters, out, 1), nn.Dropout(0.5), depth
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                fan = math.prod(layer.kernel_size) * layer.in_channels
                nn.init.normal_(layer.weight, 0, math.sqrt(2 / fan))
                nn.init.zeros_(layer.bias)

    def forward(self, x):
        skips = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            x = self.dropout(x) if level >= self.depth - 1 else x
            skips.append(x)
        for level in reversed(range(self.depth)):
            x = self.join[level](torch.cat([skips[level], self.up[level](x)], 1))
        return self.head(x)


def crop(picture: Picture, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Turned, mirrored, scaled, bent and changed in brightness; beyond the image is its mirror."""
    height, width = picture.ids.shape
    spare = np.maximum(np.array([height, width]) - size, 0)
    middle = rng.random(2) * spare + np.minimum([height, width], size) / 2 - 0.5
    objects = np.argwhere(picture.ids > 0)
    if len(objects) and rng.random() < 0.5:
        about = objects[rng.integers(len(objects))] + rng.uniform(-0.5, 0.5, 2) * size
        least = np.minimum([height, width], size) / 2 - 0.5
        middle = np.clip(about, least, least + spare)
    angle, scale = rng.uniform(0, 2 * np.pi), 1.25 ** rng.uniform(-1, 1)
    flip = rng.choice([-1, 1], 2)
    turn = (
        scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * flip
    )
    grid = np.indices((size, size)).reshape(2, -1) - (size - 1) / 2
    bend = rng.normal(0, 6 * rng.random(), (2, 6, 6)).astype(np.float32)
    bend = [cv2.resize(part, (size, size), interpolation=cv2.INTER_CUBIC) for part in bend]
    places = (turn @ grid + middle[:, None]).reshape(2, size, size) + np.stack(bend)
    rows, columns = places.astype(np.float32)

    def taken(values: np.ndarray, how: int) -> np.ndarray:
        return cv2.remap(values, columns, rows, how, borderMode=cv2.BORDER_REFLECT_101)

    nearest = cv2.INTER_NEAREST
    image = taken(picture.image, cv2.INTER_LINEAR)
    image = image * np.exp(rng.uniform(-0.35, 0.35)) + rng.uniform(-0.15, 0.15)
    image = np.where(image > 0, np.maximum(image, 1e-6) ** np.exp(rng.uniform(-0.4, 0.4)), image)
    image = image + rng.normal(0, 0.05 * rng.random(), image.shape)
    inside = (taken(picture.ids.astype(np.float32), nearest) > 0).astype(np.float32)
    away = taken(picture.centre, nearest) - np.moveaxis(places, 0, -1)
    away = np.moveaxis(away @ (turn / scale**2), -1, 0) * inside  # turn is scale x orthogonal
    maps = [picture.depth / scale, picture.share, picture.touching]
    maps = [taken(values.astype(np.float32), nearest) * inside for values in maps]
    return [image.astype(np.float32), inside, *maps, *away.astype(np.float32)]


def loss(head: str, out: torch.Tensor, truth: torch.Tensor, depth: float) -> torch.Tensor:
    inside, deep, share, touching = truth[:, 0], truth[:, 1], truth[:, 2], truth[:, 3]
    cross = functional.binary_cross_entropy_with_logits
    if head == "gaps":
        return cross(out[:, 0], inside * (1 - touching))
    if head == "border class":
        classes = torch.where(inside > 0, torch.where(deep <= 2, 2, 1), 0)
        return functional.cross_entropy(out, classes, weight=out.new_tensor([1.0, 1.0, 2.0]))
    value = cross(out[:, 0], inside)
    if head == "touching":
        wide = functional.max_pool2d(touching[:, None], 3, 1, 1)[:, 0]
        return value + cross(out[:, 1], wide, pos_weight=out.new_tensor(4.0))
    second = {
        "core": (deep > 2).float(),
        "root distance": share.clamp(min=0).sqrt(),
        "cut distance": (deep / depth).clamp(max=1),
    }.get(head, share)
    value = value + cross(out[:, 1], second)
    if head == "distance and core":
        value = value + cross(out[:, 2], (deep > 2).float())
    if head == "offsets":
        value = value + ((out[:, 2:] - truth[:, 4:] / depth).abs() * inside[:, None]).mean()
    return value


def maps_of(head: str, out: torch.Tensor, depth: float) -> np.ndarray:
    """Foreground, core, and offsets in pixels where there are some; (K, H, W)."""
    if head == "border class":
        classes = out.softmax(0)
        return torch.stack([1 - classes[0], classes[1]]).cpu().numpy()
    found = out.sigmoid()
    if head == "touching":
        found = torch.stack([found[0], found[0] * (1 - found[1])])
    if head == "distance and core":
        found = torch.stack([found[0], (found[1] + found[2]) / 2])
    if head == "offsets":
        found = torch.cat([found[:2], out[2:] * depth])
    return found.cpu().numpy()


def regions(mask: np.ndarray, least: int) -> np.ndarray:
    return without_small(cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[1], least)


def without_small(ids: np.ndarray, least: int) -> np.ndarray:
    kept = np.bincount(ids.ravel()) >= least
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0)[ids]


def instances(head: str, maps: np.ndarray, threshold: float, seed: float) -> np.ndarray:
    mask = maps[0] >= threshold
    if head == "gaps":
        pieces = regions(mask, 9)
        window = np.ones((5, 5), np.uint8)
        largest = cv2.dilate(pieces.astype(np.float32), window)
        smallest = cv2.erode(np.where(pieces > 0, pieces, 1 << 24).astype(np.float32), window)
        between = (pieces == 0) & (largest > 0) & (smallest < 1 << 24) & (largest != smallest)
        return without_small(np.where(between, expand_labels(pieces, 2), pieces), 16)
    seeds, pieces = regions((maps[1] >= seed) & mask, 5), regions(mask, 1)
    seeded = np.zeros(pieces.max() + 1, bool)
    seeded[pieces[seeds > 0]] = True
    count = seeds.max()
    alone = np.where(mask & ~seeded[pieces], pieces + count, 0)
    if head == "offsets" and count:
        centres = ndimage.center_of_mass(seeds > 0, seeds, np.arange(1, count + 1))
        places = np.argwhere(mask & seeded[pieces])
        votes = places + maps[2:, places[:, 0], places[:, 1]].T
        found = alone
        found[tuple(places.T)] = cKDTree(centres).query(votes)[1] + 1
    else:
        found = watershed(-maps[1], np.where(alone > 0, alone, seeds), mask=mask)
    return without_small(found, 16)


def counts(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Matched, extra and missed objects at five IoUs, the sum of SEG, and the objects."""
    shape = truth.max() + 1, found.max() + 1
    pairs = np.ravel_multi_index((truth, found), shape).ravel()
    table = np.bincount(pairs, minlength=math.prod(shape)).reshape(shape)
    ours, theirs, both = table.sum(0)[1:], table.sum(1)[1:], table[1:, 1:]
    iou = both / np.maximum(theirs[:, None] + ours - both, 1)
    row = []
    for least in (0.5, 0.6, 0.7, 0.8, 0.9):
        matched = np.count_nonzero(iou > 0.5 if least == 0.5 else iou >= least)
        row += [matched, np.count_nonzero(ours) - matched, np.count_nonzero(theirs) - matched]
    covered = np.where(2 * both > theirs[:, None], iou, 0)
    return np.array([*row, covered.max(1, initial=0).sum(), np.count_nonzero(theirs)], float)


def scores(total: np.ndarray) -> list[float]:
    precision = [total[3 * k] / max(total[3 * k : 3 * k + 3].sum(), 1) for k in range(5)]
    return [*precision, float(np.mean(precision)), total[-2] / max(total[-1], 1)]


def train(pictures: list[Picture], head: str, options: argparse.Namespace):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    net = UNet(HEADS[head], options.filters).to(device)
    average = {name: value.clone() for name, value in net.state_dict().items()}
    depths = [p.depth[p.ids == number].max() for p in pictures for number in np.unique(p.ids)[1:]]
    depth = float(np.median(depths))
    kernels = [value for value in net.parameters() if value.ndim > 1]
    others = [value for value in net.parameters() if value.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": kernels, "weight_decay": 1e-4}, {"params": others, "weight_decay": 0.0}]
    )
    warmup = min(200, 0.05 * options.steps)
    for step in range(options.steps):
        batch = [crop(pictures[rng.integers(len(pictures))], 256, rng) for _ in range(4)]
        batch = torch.as_tensor(np.stack([np.stack(item) for item in batch])).to(device)
        after = (step - warmup) / max(options.steps - warmup, 1)
        share = (step + 1) / warmup if step < warmup else 0.5 * (1 + math.cos(math.pi * after))
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * share
        with torch.autocast(device, torch.bfloat16):
            out = net(batch[:, :1])
        optimizer.zero_grad()
        loss(head, out.float(), batch[:, 1:], depth).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        keep = min(0.998, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                average[name].lerp_(value, 1 - keep)
    net.load_state_dict(average)
    net.eval()

    def predict(image: np.ndarray) -> np.ndarray:
        height, width = image.shape
        padded = np.pad(image, ((0, -height % 16), (0, -width % 16)), mode="reflect")
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            out = net(torch.as_tensor(padded)[None, None].to(device))[0].float()
        return maps_of(head, out, depth)[:, :height, :width]

    return predict


def compare(options: argparse.Namespace) -> None:
    rows = []
    if options.out.exists():
        with options.out.open() as file:
            rows = list(csv.DictReader(file))
    done = {tuple(row[name] for name in KEY) for row in rows}
    parts = {"nuclei": nuclei, "hela": hela}[options.set](options.data, options.fold)
    for head in options.heads:
        names = (options.set, options.fold, head, options.seed, options.steps, options.filters)
        if tuple(map(str, names)) in done:
            continue
        began = time.perf_counter()
        predict = train(parts[0], head, options)
        rules = list(itertools.product(THRESHOLDS, (0.5,) if head == "gaps" else SEEDS))
        totals = np.zeros((len(rules), 17))
        for picture in parts[1]:
            maps = predict(picture.image)
            totals += [counts(picture.ids, instances(head, maps, *rule)) for rule in rules]
        rule = rules[int(np.argmax([scores(total)[5] for total in totals]))]
        found = scores(
            sum(counts(p.ids, instances(head, predict(p.image), *rule)) for p in parts[2])
        )
        row = dict(zip(COLUMNS, [*names, *(f"{value:.4f}" for value in found), rule], strict=True))
        is_new = not options.out.exists()
        with options.out.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        print(f"{head:18} {' '.join(row[name] for name in SCORES)}", end="  ")
        print(f"{time.perf_counter() - began:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--set", choices=("nuclei", "hela"), default="nuclei")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--filters", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--out", type=Path, default=Path("instance_heads.csv"))
    compare(parser.parse_args())


if __name__ == "__main__":
    main()
