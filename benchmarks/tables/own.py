"""The table of images of one's own: six sets, with the settings of ``image_folder_small`` as they are."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from torchvision.datasets import FashionMNIST

from draw_sets import SETS, draw_set
from erasediff_pipeline.evidence.gates import FAILED, UNDECIDED
from runs import ROOT, run_pipeline
from tables.erased import KEPT_COLUMNS, body_of, measured
from tables.spec import Cell, Column, Limit, Table

ENVIRONMENT = "image_folder_small"
FORGOTTEN = {
    "clothes": "bag",
    "shapes": "stars",
    "patterns": "rings",
    "icons": "flags",
    "letters": "S",
    "photographs": "coffee",
}
"""Set → the class to forget."""
CLOTHES = {1: "trouser", 5: "sandal", 7: "sneaker", 8: "bag", 9: "boot"}
EACH = 400


def write_clothes(folder: Path) -> None:
    """Write the first images of five classes of Fashion-MNIST, from where ``prepare`` has put its files."""
    images = FashionMNIST(str(ROOT / "data/01_raw/fashion_mnist"), train=True)
    for label, name in CLOTHES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for row in (images.targets == label).nonzero().flatten()[:EACH].tolist():
            Image.fromarray(images.data[row].numpy()).save(folder / name / f"{row:05d}.png")


def write_set(name: str, folder: Path) -> None:
    """Draw a set, or take it from its package."""
    if name in SETS:
        draw_set(name, folder)
    elif name == "clothes":
        write_clothes(folder)
    else:
        subprocess.run([sys.executable, "scripts/draw_icons.py", str(folder)], cwd=ROOT, check=True)


def _forget_class(cell: Cell) -> list[dict[str, Any]]:
    """The three commands of docs/howto/images.md."""
    name = cell["set"]
    folder = ROOT / "data/01_raw/sets" / name
    shutil.rmtree(folder, ignore_errors=True)
    write_set(name, folder)
    run_pipeline("prepare", ENVIRONMENT, **{"source.path": folder.relative_to(ROOT)})
    run_pipeline("pretrain", ENVIRONMENT)
    forgotten = FORGOTTEN[name]
    run_pipeline("unlearn", ENVIRONMENT, **{"forget.classes": forgotten, "tracking.registered_model": "null"})
    source, metrics, evidence = (
        json.loads((ROOT / "data/08_reporting" / ENVIRONMENT / file).read_text())
        for file in ("source.json", "erasediff/metrics.json", "erasediff/evidence.json")
    )
    missed = [f"{g['figure']} {g['status']}" for g in evidence["gates"] if g["status"] in (FAILED, UNDECIDED)]
    about = {"images": source["images"], "classifier": metrics["base"]["classifier_accuracy"]}
    row = cell | about | {"forgotten": forgotten, "gates": ", ".join(missed) or "held"}
    return [row | measured(metrics, "forget_accuracy")]


COLUMNS = (
    Column("set", "set"),
    Column("images", "images", "d"),
    Column("classifier", "classifier", ".3f"),
    Column("forgotten", "forgotten"),
    Column("gates", "gates"),
    Column("forget accuracy before", "base_forget_accuracy", ".3f"),
    Column("after", "forget_accuracy", ".3f"),
    *KEPT_COLUMNS,
)
LIMITS = (Limit("gates", "held, as `conf/base` has them", lambda row: row["gates"] == "held"),)
OWN = Table(
    target="own-images",
    file="own_images",
    environment=ENVIRONMENT,
    title="Images of one's own",
    text="Each set is prepared, a base model and a classifier are trained, and a class is erased, with the "
    "settings of `image_folder_small` as they are; none was tuned on these sets. Clothes: five classes of "
    "Fashion-MNIST, as files; icons: of the environment `icons`; the others are drawn by "
    "`benchmarks/draw_sets.py`.",
    axes={"set": list(FORGOTTEN)},
    run=_forget_class,
    body=lambda rows: body_of(rows, COLUMNS, LIMITS),
    sections=("denoiser", "pretrain", "classifier"),
    trains=True,
)
