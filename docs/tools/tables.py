"""Fills the tables of the pages from the CSV files in `benchmarks/`.

    python docs/tools/tables.py   # rewrites what stands between the marks in the pages

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a key of `TABLES`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.S)

HEADS = {
    "gaps": "foreground with gaps between touching objects (U-Net's)",
    "border class": "background, inside, border: three classes",
    "touching": "foreground, and the pixels where objects touch",
    "core": "foreground, and what lies deeper than 2 pixels",
    "distance": "**foreground, and the distance to the outline over the object's largest**",
    "root distance": "the same, its square root",
    "cut distance": "foreground, and the distance cut off at the median depth",
    "distance and core": "foreground, distance and core",
    "offsets": "foreground, distance, and the vector to the centre",
}
# Set, fold and column of each of the columns.
SCORES = (
    ("nuclei", "0", "ap50"),
    ("nuclei", "0", "ap80"),
    ("nuclei", "0", "mean_ap"),
    ("nuclei", "1", "mean_ap"),
    ("hela", "1", "ap50"),
    ("hela", "1", "mean_ap"),
    ("hela", "1", "seg"),
)


def read(name: str) -> list[dict[str, str]]:
    with open(BENCHMARKS / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "".join(
        "|" + "".join(f" {cell} |" if cell else " |" for cell in line) + "\n" for line in lines
    )


def rounded(number: str, digits: str) -> str:
    """As people round: 0.4335 is 0.434."""
    return str(Decimal(number).quantize(Decimal(digits), ROUND_HALF_UP))


def unet3plus() -> str:
    rows = [
        (
            row["what"],
            f"{row['plain']} {row['unit']}" + (f" ({row['note']})" if row["note"] else ""),
            f"{row['ours']} {row['unit']}",
            f"{float(row['ours']) / float(row['plain']):.2f}",
        )
        for row in read("speed/unet3plus.csv")
    ]
    return table(("`benchmarks/unet3plus.py`", "plain", "ours", "ours / plain"), rows)


def export_formats() -> str:
    rows = [(row["format"], row["ms"]) for row in read("speed/export_formats.csv")]
    return table(("`benchmarks/export_formats.py`", "ms"), rows)


def other_speeds() -> str:
    rows = [
        (f"`benchmarks/{row['script']}`", row["what"], row["baseline"], row["times as fast"])
        for row in read("speed/others.csv")
    ]
    return table(("", "what", "in comparison with", "times as fast"), rows)


def instance_heads() -> str:
    """The mean over the seeds; the best of a column in bold, where most have been measured."""
    found: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for row in read("accuracy/instance_heads.csv"):
        found.setdefault((row["set"], row["fold"], row["head"]), []).append(row)
    columns = [list(_column(found, *score)) for score in SCORES]
    head = ("nuclei, AP at 0.5", "at 0.8", "mean AP, fold 0", "fold 1")
    head += ("HeLa, AP at 0.5", "mean AP", "SEG")
    rows = [(name, *cells) for name, *cells in zip(HEADS.values(), *columns, strict=True)]
    return table(("what the network learns", *head), rows)


def _column(found, name: str, fold: str, score: str) -> Iterator[str]:
    values = [[Decimal(row[score]) for row in found.get((name, fold, head), [])] for head in HEADS]
    means = [sum(several) / len(several) if several else None for several in values]
    known = [mean for mean in means if mean is not None]
    for mean in means:
        shown = "" if mean is None else rounded(str(mean), "0.001")
        best = mean is not None and mean == max(known) and len(known) > len(means) / 2
        yield f"**{shown}**" if best else shown


def instance_training() -> str:
    rows = [
        (row["change"], row["steps"], row["filters"], row["ap50"], row["mean_ap"], row["seg"])
        for row in read("accuracy/instance_training.csv")
    ]
    return table(("change", "steps", "filters", "AP at 0.5", "mean AP", "SEG"), rows)


def stardist_peer() -> str:
    names = {"stardist": "StarDist", "keras_unet3p": "this package"}
    found = [list(row.values()) for row in read("accuracy/stardist_peer.csv")]
    rows = [(names[package], *scores) for package, *scores in found]
    return table(("AP at IoU", "minutes", "0.5", "0.6", "0.7", "0.8", "0.9"), rows)


def preset_networks() -> str:
    rows = [
        (
            row["network"],
            row["filters"],
            row["objects by"],
            row["ap50"],
            row["ap80"],
            row["mean_ap"],
        )
        for row in read("accuracy/nuclei_preset.csv")
    ]
    return table(("network", "filters", "objects by", "AP at 0.5", "at 0.8", "mean"), rows)


def preset_init() -> str:
    columns = ("length", "begins with", "epochs", "seg", "ap50", "ap80", "mean_ap")
    rows = [[row[name] for name in columns] for row in read("accuracy/preset_init.csv")]
    head = ("", "begins with", "epochs", "SEG", "AP at 0.5", "at 0.8", "mean AP")
    return table(head, rows)


def cluster_scheduler() -> str:
    rows = [(row["what"], row["value"]) for row in read("speed/cluster_scheduler.csv")]
    return table(("`benchmarks/cluster_scheduler.py`", ""), rows)


# What the folds of `benchmarks/accuracy/papers.py` hold out.
HELD_OUT = {
    **{("isbi", str(n)): f"ISBI-2012, sections {6 * n} to {6 * n + 5}" for n in range(4)},
    ("hela", "0"): "DIC-HeLa, frames 2 to 21",
    ("hela", "1"): "DIC-HeLa, frames 31 to 39",
    ("hela", "2"): "DIC-HeLa, frame 54",
    ("nuclei", "0"): "nuclei, its 60 validation images",
}
OF_TASK = {
    "isbi": ("rand_error", "warping_error", "pixel_error_at_half"),
    "hela": ("seg", "mean_ap"),
    "nuclei": ("dice", "seg", "mean_ap"),
}


def papers_tasks() -> str:
    columns = ("rand_error", "warping_error", "pixel_error_at_half", "dice", "seg", "mean_ap")
    digits = {"warping_error": "0.0001"}
    rows = []
    for row in read("accuracy/papers.csv"):
        if row["table"] != "tasks":
            continue
        own = OF_TASK[row["set"]]
        cells = [
            rounded(row[name], digits.get(name, "0.001")) if name in own else "" for name in columns
        ]
        held_out = HELD_OUT[row["set"], row["fold"]]
        rows.append((held_out, row["row"], row["minutes"], row["steps"], *cells))
    head = ("held out", "training", "minutes", "steps", "Rand error", "warping error")
    return table((*head, "pixel error", "Dice", "SEG", "mean AP"), rows)


def training_step() -> str:
    found: dict[str, list[dict[str, str]]] = {}
    for row in read("speed/training_step.csv"):
        found.setdefault(row["network"], []).append(row)
    rows = []
    for network, kinds in found.items():
        base = Decimal(kinds[0]["seconds"])
        times = [
            f"{row['seconds']} s ({rounded(str(Decimal(row['seconds']) / base), '0.01')})"
            for row in kinds
        ]
        size = f"{kinds[0]['batch']} x {kinds[0]['patch']}²"
        rows.append((network, size, *times))
    kinds = [row["kind"] for row in next(iter(found.values()))]
    return table(("`benchmarks/training_step.py`", "patches", *kinds), rows)


def first_step() -> str:
    rows, base = [], Decimal(0)
    for row in read("speed/first_step.csv"):
        seconds = Decimal(row["seconds"])
        if row["kind"] == "Keras's":
            base = seconds
            rows.append([row["network"], f"{rounded(row['seconds'], '0.1')} s"])
        else:
            ratio = rounded(str(seconds / base), "0.01")
            rows[-1] += [f"{rounded(row['seconds'], '0.1')} s", ratio]
    return table(("`benchmarks/first_step.py`", "Keras's", "ours", "ours / Keras's"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "unet3plus": unet3plus,
    "export_formats": export_formats,
    "other_speeds": other_speeds,
    "instance_heads": instance_heads,
    "instance_training": instance_training,
    "stardist_peer": stardist_peer,
    "papers_tasks": papers_tasks,
    "training_step": training_step,
    "first_step": first_step,
    "preset_networks": preset_networks,
    "preset_init": preset_init,
    "cluster_scheduler": cluster_scheduler,
}


def filled(text: str) -> str:
    """The text of a page with its tables as the files have them."""
    return MARKED.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text("utf-8")), encoding="utf-8")
