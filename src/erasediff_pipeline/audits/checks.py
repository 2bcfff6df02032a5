"""Checks before an audit."""

import pandas as pd

from erasediff_pipeline.errors import InvalidParameter


def check_neighbours(neighbours: int, samples: int, manifest: pd.DataFrame, table: pd.DataFrame) -> None:
    """Refuse an audit with too few images for precision and recall of a single class.

    Args:
        neighbours: ``evaluation.precision_neighbours``.
        samples: ``audit.samples``.
        manifest: One row per image.
        table: ``id`` and ``set`` (``forget`` or ``retain``), one row per training image.

    Raises:
        InvalidParameter: A class has no more images than neighbours.
    """
    retained = manifest["label"][manifest["id"].isin(table["id"][table["set"] == "retain"])].value_counts()
    if min(samples, retained.min()) <= neighbours:
        raise InvalidParameter(
            f"evaluation.precision_neighbours: {neighbours}: use less than audit.samples ({samples}) "
            f"and the images of each retained class (class {retained.idxmin()} has {retained.min()})"
        )
