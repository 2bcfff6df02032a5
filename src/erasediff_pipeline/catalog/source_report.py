"""``source.json``, the report of ``prepare``."""

from typing import Any

from kedro_datasets.json import JSONDataset


class SourceReport(JSONDataset):
    """``source.json``; without classes if the file is missing, as after ``dvc pull``, which has no report."""

    def load(self) -> dict[str, Any]:
        return super().load() if self._exists() else {"classes": []}
