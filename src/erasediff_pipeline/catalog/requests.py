"""The resolved request as JSON."""

from kedro_datasets.json import JSONDataset

from erasediff_pipeline.data.request import Request


class RequestDataset(JSONDataset):
    """``request.json``."""

    def load(self) -> Request:
        return Request.model_validate(super().load())

    def save(self, data: Request) -> None:
        super().save(data.to_json())
