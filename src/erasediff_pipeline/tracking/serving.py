"""The registered model as an MLflow pyfunc. MLflow logs this file as code."""

from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import DiffusionPipeline
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from mlflow.types import ColSpec, Schema, TensorSpec

from erasediff_pipeline.config import SamplingSettings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.models.family import Labelled
from erasediff_pipeline.diffusion.pipelines import model_of, takes_prompts
from erasediff_pipeline.diffusion.sampling import stream_samples

REQUIREMENTS = [
    f"{name}=={version(name)}"
    for name in (
        "mlflow",
        "torch",
        "diffusers",
        "tensordict",
        "transformers",
        "numpy",
        "pandas",
        "pydantic",
        "safetensors",
        "click",
    )
]


def signature_of(asked: str) -> ModelSignature:
    """The signature of a model with the input column ``asked``, which is ``label`` or ``prompt``."""
    first = ColSpec("long", "label") if asked == "label" else ColSpec("string", "prompt")
    return ModelSignature(
        inputs=Schema([first, ColSpec("long", "seed"), ColSpec("long", "count")]),
        outputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, -1), "images")]),
    )


class ErasedModel(PythonModel):
    """For each row, sample ``count`` images of ``label`` (or ``prompt``) from ``seed``."""

    def load_context(self, context: PythonModelContext) -> None:
        self.pipeline = DiffusionPipeline.from_pretrained(
            context.artifacts["pipeline"],
            use_safetensors=True,
            local_files_only=True,
            dtype=torch.float32,
        )
        self.sampling = SamplingSettings(**(context.model_config or {}).get("sampling", {}))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> dict[str, np.ndarray]:
        """Sample the images of every row, in order.

        Args:
            context: Not used.
            model_input: Columns ``label`` (or ``prompt``), ``seed`` and ``count``.
            params: Not used.

        Returns:
            ``images``: ``[sum of count, C, H, W]`` uint8.

        Raises:
            ValueError: A count below 1, or a label that the model does not have.
        """
        model, numbers = self._conditions(model_input)
        images: list[torch.Tensor] = []
        rows = zip(numbers, model_input["seed"], model_input["count"], strict=True)
        for number, seed, count in rows:
            if count < 1:
                raise ValueError(f"count: {count}; expected 1 or more")
            images += stream_samples(model, torch.full((int(count),), number), int(seed), self.sampling)
        return {"images": torch.cat(images).numpy()}

    def _conditions(self, model_input: pd.DataFrame) -> tuple[DiffusionModel, list[int]]:
        """The model, and the number of each row's condition."""
        if takes_prompts(self.pipeline):
            prompts = list(dict.fromkeys(model_input["prompt"]))
            return model_of(self.pipeline, prompts), [prompts.index(p) for p in model_input["prompt"]]
        model = model_of(self.pipeline)
        assert isinstance(model, Labelled)
        highest = model.classes - 1
        labels = [int(label) for label in model_input["label"]]
        if not all(0 <= label <= highest for label in labels):
            raise ValueError(f"label: {labels}; expected labels from 0 to {highest}")
        return model, labels


set_model(ErasedModel())
