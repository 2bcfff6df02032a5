"""What an audit needs of its parameters and data."""

import pandas as pd

from erasediff_pipeline.errors import InvalidParameter


def check_neighbours(neighbours: int, samples: int, manifest: pd.DataFrame, table: pd.DataFrame) -> None:
    """Refuse an audit whose precision and recall of single classes have too few images."""
    retained = manifest["label"][manifest["id"].isin(table["id"][table["set"] == "retain"])].value_counts()
    if min(samples, retained.min()) <= neighbours:
        raise InvalidParameter(
            f"evaluation.precision_neighbours: {neighbours}: allowed is less than audit.samples ({samples}) "
            f"and the images of each retained class (class {retained.idxmin()} has {retained.min()})"
        )
