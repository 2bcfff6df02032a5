import numpy as np
import pandas as pd
import pytest

from erasediff_pipeline.catalog import TrialStore
from erasediff_pipeline.config import CaptionSettings, EvaluationSettings, ForgetRequest, SamplingSettings
from erasediff_pipeline.data.conditions import list_conditions
from erasediff_pipeline.data.request import split_by_request
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier
from erasediff_pipeline.experiments.trials import Bench


@pytest.fixture
def bench(toy_images, unet_model, own_project):
    """Three classes of toy images, one of them to be forgotten."""
    ids = [f"{row:03d}" for row in range(len(toy_images))]
    split = np.where(np.arange(len(ids)) % 5 == 4, "test", "train")
    manifest = pd.DataFrame({"id": ids, "label": toy_images.labels, "sha256": ids, "split": split})
    made = split_by_request(manifest, ForgetRequest(classes=[0]))
    conditions = list_conditions(manifest, made.description, CaptionSettings())
    return Bench(
        store=TrialStore(own_project / "compare"),
        base_model=unet_model().to_pipeline(),
        images=toy_images,
        manifest=manifest,
        split=made.table,
        request=made.description,
        conditions=conditions,
        classifier=Classifier(channels=8, features=4, classes=3),
        sampling=SamplingSettings(steps=2),
        evaluation=EvaluationSettings(forget_samples=2, retain_samples=4, precision_neighbours=1),
    )
