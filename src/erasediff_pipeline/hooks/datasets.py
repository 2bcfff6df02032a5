"""Files of the catalog's datasets, for hooks."""

from pathlib import Path

from kedro.io import CatalogProtocol

from erasediff_pipeline.paths import relative


def file_of(catalog: CatalogProtocol, name: str) -> Path | None:
    """The file or folder of a dataset; None for one in memory or in MLflow."""
    path = getattr(catalog.get(name), "_filepath", None)
    return None if path is None else Path(str(path))


def place_of(catalog: CatalogProtocol, name: str) -> str:
    """The file relative to the project's root, for messages; the dataset's name if it has no file."""
    path = file_of(catalog, name)
    return name if path is None else relative(path)
