"""What ``prepare`` has found in its source, where it was run here."""

from typing import Any

from kedro_datasets.json import JSONDataset


class SourceReport(JSONDataset):
    """``source.json``; one without classes where that is missing, as with images from ``dvc pull``."""

    def load(self) -> dict[str, Any]:
        return super().load() if self._exists() else {"classes": []}
