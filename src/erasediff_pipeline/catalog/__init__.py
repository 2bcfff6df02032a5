"""Kedro datasets of this project: thin shells over its own reading and writing."""

from erasediff_pipeline.catalog.folder import Folder
from erasediff_pipeline.catalog.labelled_images import LabelledImagesDataset
from erasediff_pipeline.catalog.models import ClassifierFolder, PipelineFolder
from erasediff_pipeline.catalog.registered_model import RegisteredModel, RegisteredVerdict
from erasediff_pipeline.catalog.requests import RequestDataset
from erasediff_pipeline.catalog.run_record import RunRecord
from erasediff_pipeline.catalog.stores import ImageStoreDataset, TrialStoreDataset
from erasediff_pipeline.catalog.workspace import WorkspaceDataset

__all__ = [
    "ClassifierFolder",
    "Folder",
    "ImageStoreDataset",
    "LabelledImagesDataset",
    "PipelineFolder",
    "RegisteredModel",
    "RegisteredVerdict",
    "RequestDataset",
    "RunRecord",
    "TrialStoreDataset",
    "WorkspaceDataset",
]
