"""What a training needs of the device and of the processes."""

from typing import Any

from pydantic import BaseModel

from erasediff_pipeline.config import TrainingSettings
from erasediff_pipeline.ranks import process_state, world_size
from erasediff_pipeline.training.optimiser import optimiser_class


def check_trainings(key: str, settings: Any) -> None:
    """Refuse, in these settings or within, what this device or so many processes cannot train with."""
    if isinstance(settings, TrainingSettings):
        optimiser_class(settings.optimiser, process_state().device, f"{key}.optimiser")
        settings.parts_for(world_size(), f"{key}.batch_size")
    if isinstance(settings, BaseModel):
        for name, value in settings:
            check_trainings(f"{key}.{name}", value)
