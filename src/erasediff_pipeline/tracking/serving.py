"""The pyfunc in the registry: (label, seed, count) → images. MLflow logs this file as code."""

from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import DDPMPipeline
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types import ColSpec, Schema, TensorSpec

from erasediff_pipeline.config import SamplingSettings
from erasediff_pipeline.diffusion.model import ClassConditional
from erasediff_pipeline.diffusion.sampling import stream_samples

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec("long", "label"), ColSpec("long", "seed"), ColSpec("long", "count")]),
    outputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, -1), "images")]),
)
REQUIREMENTS = [
    f"{name}=={version(name)}"
    for name in ("mlflow", "torch", "diffusers", "numpy", "pandas", "pydantic", "safetensors", "click")
]


class ErasedModel(PythonModel):
    """Draw ``count`` images under ``label``, from ``seed``, for each row."""

    def load_context(self, context: PythonModelContext) -> None:
        pipeline = DDPMPipeline.from_pretrained(
            context.artifacts["pipeline"], use_safetensors=True, local_files_only=True
        )
        self.model = ClassConditional.from_pipeline(pipeline)
        self.sampling = SamplingSettings(**(context.model_config or {}).get("sampling", {}))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> dict[str, np.ndarray]:
        """Images ``[sum of count, C, H, W]`` uint8, row after row."""
        highest = self.model.classes - 1
        images: list[torch.Tensor] = []
        for label, seed, count in model_input[["label", "seed", "count"]].to_numpy(dtype=int).tolist():
            if not 0 <= label <= highest or count < 1:
                raise ValueError(
                    f"label {label}, count {count}: allowed: labels 0 to {highest}, counts from 1"
                )
            labels = torch.full((count,), label)
            images += stream_samples(self.model, labels, seed, self.sampling)
        return {"images": torch.cat(images).numpy()}


set_model(ErasedModel())
