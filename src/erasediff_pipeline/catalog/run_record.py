"""``run.json``, the record of a run."""

from typing import Any

from kedro_datasets.json import JSONDataset


class RunRecord(JSONDataset):
    """``run.json``; empty if the file is missing, as after ``dvc pull``, which has no record."""

    def load(self) -> dict[str, Any]:
        return super().load() if self._exists() else {}
