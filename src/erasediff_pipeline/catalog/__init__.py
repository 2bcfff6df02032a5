"""Kedro datasets of this project."""

from erasediff_pipeline.catalog.diffusers_directory import DiffusersDirectory
from erasediff_pipeline.catalog.labelled_images import LabelledImagesDataset
from erasediff_pipeline.catalog.registered_model import RegisteredModel

__all__ = ["DiffusersDirectory", "LabelledImagesDataset", "RegisteredModel"]
