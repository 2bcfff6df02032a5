"""A model whose weights were damaged, by noise, is not called erased."""

import copy

import pandas as pd
import pytest
import torch

from erasediff_pipeline.config import (
    CaptionSettings,
    EvaluationSettings,
    ForgetRequest,
    GateSettings,
    SamplingSettings,
)
from erasediff_pipeline.data.image_files import load_images
from erasediff_pipeline.data.task import build_task
from erasediff_pipeline.diffusion.io import load_model
from erasediff_pipeline.evaluation.classifiers.pretrained import SavedClassifier
from erasediff_pipeline.evaluation.measure import sample_model, sample_unguided
from erasediff_pipeline.evidence.deciding import Sampled, measure_pair
from erasediff_pipeline.evidence.gates import check_gates

EVALUATION = EvaluationSettings(forget_samples=10, retain_samples=30)
BOTH = {"retain_accuracy", "unguided_retain_accuracy"}
SAMPLING = SamplingSettings(steps=8, guidance_scale=0.25)


@pytest.fixture(scope="module")
def statuses(project):
    """``statuses(noise)``: of each gate, for the base model with so much noise on its weights."""
    data = project / "data"
    base = load_model(data / "06_models/base").pipeline
    judge = SavedClassifier.from_pretrained(str(data / "06_models/classifier"), use_safetensors=True)
    images = load_images(data / "03_primary/images")
    manifest = pd.read_parquet(data / "03_primary/manifest.parquet")
    task = build_task(images, manifest, ForgetRequest(classes=[0]), CaptionSettings())

    def draw(pipeline):
        given = (task, SAMPLING, EVALUATION, 0, "sample")
        samples = sample_model(pipeline, *given)
        return Sampled("sample", pipeline, samples, sample_unguided(pipeline, samples, *given), {})

    before = draw(base)

    def check(noise):
        torch.manual_seed(0)
        damaged = copy.deepcopy(base)
        with torch.no_grad():
            for weight in damaged.unet.parameters():
                weight += noise * weight.std(correction=0) * torch.randn_like(weight)
        found = measure_pair("noise", before, draw(damaged), task, judge, EVALUATION, 0.95)
        return {gate["figure"]: gate["status"] for gate in check_gates(GateSettings(), found)}

    return check


@pytest.mark.parametrize(
    ("noise", "failed"),
    [
        (0.1, {"fid", "unguided_fid"}),
        (0.3, {"fid", "unguided_fid", "retain_accuracy", "unguided_retain_accuracy"}),
    ],
)
def test_damage_fails_the_gates_with_and_without_guidance(statuses, noise, failed):
    """A tenth of each weight's deviation shows in FID alone; three tenths show in the accuracy, too."""
    found = statuses(noise)
    assert {found[name] for name in failed} == {"failed"}
