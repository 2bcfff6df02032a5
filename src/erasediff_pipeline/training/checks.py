"""Checks of training settings before a run."""

from typing import Any

from pydantic import BaseModel

from erasediff_pipeline.config import TrainingSettings
from erasediff_pipeline.ranks import process_state, world_size
from erasediff_pipeline.training.optimiser import optimiser_class


def check_trainings(key: str, settings: Any) -> None:
    """Refuse training settings, also nested ones, that this device or number of processes cannot use.

    Args:
        key: Name of the section, for messages.
        settings: A section of the parameters.

    Raises:
        InvalidParameter: The optimiser does not run on this device, or the batch cannot be divided.
        MissingInput: The optimiser is not installed.
    """
    if isinstance(settings, TrainingSettings):
        optimiser_class(settings.optimiser, process_state().device, f"{key}.optimiser")
        settings.parts_for(world_size(), f"{key}.batch_size")
    if isinstance(settings, BaseModel):
        for name, value in settings:
            check_trainings(f"{key}.{name}", value)
