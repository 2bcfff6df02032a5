"""Names of the classes."""

from collections.abc import Mapping

import pandas as pd

NO_NAMES: Mapping[int, str] = {}


def names_of(manifest: pd.DataFrame) -> dict[int, str]:
    """Read the names of the classes, by label, from the manifest; empty if they have none."""
    return dict(zip(manifest["label"], manifest["class"], strict=True)) if "class" in manifest else {}


def name_class(label: int, names: Mapping[int, str] = NO_NAMES) -> str:
    """Return the number of a class, followed by its name if that differs from the number."""
    return str(label) if names.get(label, str(label)) == str(label) else f"{label} {names[label]}"
