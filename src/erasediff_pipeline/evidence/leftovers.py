"""Files that still hold or show the forgotten data, apart from the erased model itself.

Most places come from the catalog: each entry declares what it may hold. They are searched for every method,
since every method's folder has samples of the base model, which draws all classes.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from erasediff_pipeline.config.release import KINDS, Leftover
from erasediff_pipeline.errors import UserError
from erasediff_pipeline.files import LEFTOVERS

NOTHING = "nothing"


class Place(NamedTuple):
    """Where files of a kind may lie."""

    pattern: str
    """Glob below the project's root."""

    kind: Leftover


APART = (
    # First, so that what was set aside keeps this kind: later patterns may match it, too.
    Place("data/0*/{env}**/.*.earlier", "set_aside"),
    Place("data/.replaced", "set_aside"),
    Place("data/0*/{env}**/" + LEFTOVERS, "set_aside"),
    Place("data/.checkpoints/{env}*.safetensors", "checkpoints"),
    Place("data/.checkpoints/{env}" + LEFTOVERS, "checkpoints"),
    Place("data/04_feature/{env}*/*.safetensors", "features"),
)
"""Places outside the catalog; ``{env}`` is the environment's folder."""


class Found(NamedTuple):
    """A file or folder that exists."""

    kind: Leftover
    path: str
    """Below the project's root."""

    files: int
    bytes: int
    holds: str


def read_places(catalog: Mapping[str, Any]) -> list[Place]:
    """Read what each entry of a catalog may hold of the forgotten data.

    Raises:
        UserError: An entry does not say it, or lies outside ``data``.
    """
    places = []
    for name, entry in catalog.items():
        if name.startswith("_"):  # not an entry, but a part of others
            continue
        holds: Any = (entry.get("metadata") or {}).get("holds")
        if holds not in (NOTHING, *KINDS):
            raise UserError(
                f"catalog: {name}: metadata.holds: {holds!r}: say what forgotten data it may hold: "
                f"choose from {', '.join((NOTHING, *KINDS))}"
            )
        if holds != NOTHING:
            inner = entry.get("dataset")
            inner = inner if isinstance(inner, dict) else {}
            path = str(entry.get("filepath") or entry.get("path") or inner.get("filepath"))
            if not path.startswith("data/"):
                raise UserError(f"catalog: {name}: {path}: holds {holds}: expected a path below data/")
            places.append(Place(re.sub(r"{\w+}", "*", path.replace("[", "[[]")), holds))
    return places


def find_leftovers(data: Path, environment: str, model: str, places: list[Place]) -> list[Found]:
    """List what exists of each kind, by kind and path.

    Args:
        data: The folder ``data``.
        environment: Empty, or a folder's name and a slash.
        model: The erased model's folder.
        places: Those of the catalog.
    """
    root = data.parent
    kinds: dict[str, Leftover] = {}
    apart = (Place(pattern.format(env=environment), kind) for pattern, kind in APART)
    # What an entry declares of its own path goes before a pattern that happens to match it.
    for pattern, kind in [*apart, *sorted(places, key=lambda place: place.pattern.count("*"))]:
        for path in root.glob(pattern):
            if kind != "other_models" or _is_other_model(path, root / pattern, model):
                kinds.setdefault(str(path.relative_to(root)), kind)
    order = list(KINDS)
    ranked = sorted(kinds.items(), key=lambda item: (order.index(item[1]), item[0]))
    return [_measure(root, name, kind) for name, kind in ranked]


def remove_leftovers(data: Path, found: list[Found]) -> None:
    """Delete them, and check that they are gone.

    Raises:
        UserError: One of them lies outside ``data``, and nothing is removed; or one could not be removed.
    """
    paths = {leftover.path: data.parent / leftover.path for leftover in found}
    for name, path in paths.items():
        if not path.resolve().is_relative_to(data.resolve()):
            raise UserError(
                f"{name}: leads outside of {data.name}: nothing is removed: delete what it leads to, "
                f"{path.resolve()}, and the link yourself"
            )
    for name, path in paths.items():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        if path.exists():
            raise UserError(f"{name}: could not be removed")


def _is_other_model(path: Path, pattern: Path, model: str) -> bool:
    """Whether this is a model beside the erased one and the base model, or the samples of one.

    Folders of other environments lie beside the models.
    """
    if "*" not in pattern.parts:
        return path.name not in (model, "base")
    owner = path.parts[pattern.parts.index("*")]
    is_model = path.name != owner or (path / "model_index.json").exists()
    return is_model and owner not in (model, "base")


def _measure(root: Path, name: str, kind: Leftover) -> Found:
    path = root / name
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return Found(kind, name, len(files), sum(file.stat().st_size for file in files), KINDS[kind])
