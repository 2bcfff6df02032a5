"""What still holds, or shows, what was to be forgotten, apart from the erased model itself.

What methods compute on the way, and what the model before drew, is looked for under every method's name: the
model before drew all classes, whatever it was to forget.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

from erasediff_pipeline.config.release import Leftover
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.files import LEFTOVERS


class Place(NamedTuple):
    """Where files of a kind lie below ``data/``, of environment ``{env}`` (empty, or with a slash)."""

    patterns: tuple[str, ...]
    """Below ``data``; of a ``model_index.json`` its folder is meant."""

    holds: str
    others: bool = False
    """Whether only models beside the erased one, and the one before, are meant."""


PLACES: dict[Leftover, Place] = {
    "checkpoints": Place(
        (".checkpoints/{env}*.safetensors", ".checkpoints/{env}" + LEFTOVERS),
        "weights, EMA shadow and optimiser state of a training that was cut short",
    ),
    "features": Place(
        ("04_feature/{env}*/*.safetensors",),
        "saliency masks, Fisher diagonals, replay images and proxies, made of the forget set",
    ),
    "base_samples": Place(
        ("07_model_output/{env}*/base_samples",), "images of it that the model before drew"
    ),
    "set_aside": Place(
        ("0*/{env}**/.*.earlier", ".replaced", "0*/{env}**/" + LEFTOVERS),
        "what a run that was cut short had set aside, or half written",
    ),
    "prompt_images": Place(
        ("07_model_output/{env}prompts",), "images of lists of prompts, also of the model before"
    ),
    "trials": Place(
        ("06_models/{env}compare",), "models of a comparison: the retrained one, and those of other methods"
    ),
    "reports": Place(
        (
            "08_reporting/{env}*/grid.png",
            "08_reporting/{env}*/report.html",
            "08_reporting/{env}audit/*/report.html",
            "08_reporting/{env}compare/grids.png",
            "08_reporting/{env}prompts/*/*/grid.png",
        ),
        "pictures of it that the model before drew, unless report.hide_forgotten is set",
    ),
    "other_models": Place(
        ("06_models/{env}*/model_index.json", "07_model_output/{env}*/erased_samples"),
        "models that other methods have made of the model before, and what they draw",
        others=True,
    ),
    "split": Place(("05_model_input/{env}*/split.parquet",), "ids and labels of forget sets, no pixels"),
    "images": Place(("03_primary/{env}images", "01_raw/{env}generated"), "the training images themselves"),
    "base_model": Place(("06_models/{env}base",), "the model before"),
}


class Found(NamedTuple):
    """A file or folder that is there."""

    kind: Leftover
    path: str
    """Below the project's root."""

    files: int
    bytes: int
    holds: str


def find_leftovers(data: Path, environment: str, model: str) -> list[Found]:
    """What is there of each kind.

    Args:
        data: The folder ``data``.
        environment: Empty, or a folder's name and a slash.
        model: The erased model's folder.
    """
    found = []
    for kind, place in PLACES.items():
        for pattern in place.patterns:
            for path in sorted(data.glob(pattern.format(env=environment, model=model))):
                path = path.parent if path.name == "model_index.json" else path
                if place.others and {model, "base"} & {path.name, path.parent.name}:
                    continue
                files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
                size = sum(file.stat().st_size for file in files)
                name = str(Path(data.name) / path.relative_to(data))
                found.append(Found(kind, name, len(files), size, place.holds))
    return found


def remove_leftovers(data: Path, found: list[Found]) -> None:
    """Delete them, and see that they are gone.

    Raises:
        UserError: One of them lies outside ``data``: nothing is removed; or it is still there.
    """
    paths = {leftover.path: data.parent / leftover.path for leftover in found}
    for name, path in paths.items():
        if not path.resolve().is_relative_to(data.resolve()):
            raise UserError(f"{name}: leads outside of {data.name}: nothing is removed")
    for name, path in paths.items():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if path.exists():
            raise UserError(f"{name}: is still there")
