"""Kedro datasets of this project."""

from erasediff_pipeline.catalog.diffusers_directory import DiffusersDirectory, history_of
from erasediff_pipeline.catalog.folder import Folder
from erasediff_pipeline.catalog.image_store import ImageStore, ImageStoreDataset
from erasediff_pipeline.catalog.labelled_images import LabelledImagesDataset
from erasediff_pipeline.catalog.registered_model import RegisteredModel, RegisteredVerdict
from erasediff_pipeline.catalog.source_report import SourceReport
from erasediff_pipeline.catalog.trial_store import TrialStore, TrialStoreDataset

__all__ = [
    "DiffusersDirectory",
    "Folder",
    "ImageStore",
    "ImageStoreDataset",
    "LabelledImagesDataset",
    "RegisteredModel",
    "RegisteredVerdict",
    "SourceReport",
    "TrialStore",
    "TrialStoreDataset",
    "history_of",
]
