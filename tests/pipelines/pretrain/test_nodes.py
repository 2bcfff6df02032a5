import numpy as np
import pandas as pd
import pytest
from diffusers import DPMSolverMultistepScheduler

from erasediff_pipeline.config import (
    CaptionSettings,
    ClassifierSettings,
    DenoiserSettings,
    MachineSettings,
    PretrainSettings,
)
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.split import hash_train_set
from erasediff_pipeline.errors import InvalidParameter, UserError
from erasediff_pipeline.evaluation.classifiers.accuracy import check_judge
from erasediff_pipeline.evaluation.classifiers.make import make_classifier
from erasediff_pipeline.evaluation.classifiers.pretrained import ImageNetClassifier
from erasediff_pipeline.pipelines.pretrain.nodes import load_base_model, train_base_model
from erasediff_pipeline.workspace import Workspace

WORDS = CaptionSettings(words={0: ["tench"], 1: ["church"]}, templates=["{}"])


@pytest.fixture
def noise():
    """Ten images of noise and their manifest, the last four unseen."""
    pixels = np.random.default_rng(0).integers(256, size=(10, 3, 16, 16), dtype=np.uint8)
    names = list("abcdefghij")
    manifest = pd.DataFrame({"id": names, "sha256": names, "split": ["train"] * 6 + ["test"] * 4})
    return LabelledImages(pixels, np.arange(10) % 2), manifest


def judge_of(noise, **settings):
    images, manifest = noise
    chosen = ClassifierSettings(pretrained="efficientnet_lite0", **settings)
    return make_classifier(images, images, manifest, chosen, WORDS, 0)


def test_load_needs_to_know_what():
    with pytest.raises(InvalidParameter, match=r"denoiser\.pretrained: null: expected a diffusers"):
        load_base_model(DenoiserSettings())


@pytest.mark.parametrize("thresholding", [True, False])
def test_the_models_scheduler_says_whether_estimates_are_clipped(noise, tmp_path, thresholding):
    images, manifest = noise
    denoiser = DenoiserSettings(channels=(8, 8), thresholding=thresholding)
    settings = (denoiser, PretrainSettings(steps=1, batch_size=2), 0, MachineSettings(), Workspace(tmp_path))
    trained = train_base_model(images, manifest, *settings, on_log=lambda *_: None)
    assert trained.trained_on == hash_train_set(manifest)
    pipeline = trained.pipeline
    sampler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    assert sampler.config.thresholding is thresholding
    assert sampler.config.sample_max_value == 1


def test_a_judge_that_exists_is_measured_on_the_unseen_images(noise):
    judge, metrics = judge_of(noise, min_test_accuracy=0.0)
    assert isinstance(judge, ImageNetClassifier)
    assert metrics["test_images"] == 4
    assert metrics["test_accuracy"] < 0.5  # of noise


def test_a_judge_that_does_not_know_the_images_is_refused(noise):
    noise[1]["label"], noise[1]["class"] = noise[0].labels, np.take(["tench", "church"], noise[0].labels)
    said = r"accuracy 0\.\d+ .*min_test_accuracy 0\.98: check the images.*; it takes . \w+ as \d+ \(\d of 2\)"
    with pytest.raises(UserError, match=said):
        judge_of(noise)
    with pytest.raises(UserError, match=r"below 0\.6250, the least that is clearly better than chance"):
        judge_of(noise, min_test_accuracy=None)


def test_a_judge_in_between_is_taken_with_a_warning_that_names_what_it_confuses(toy_images, caplog):
    """Of 60 unseen images, 12 of class 0 are called class 1."""
    labels = toy_images.labels.copy()
    labels[60 + np.flatnonzero(labels[60:] == 0)[:12]] = 1
    images = toy_images.relabelled(labels)
    manifest = pd.DataFrame({"label": labels, "class": np.take(["flags", "hands", "faces"], labels)})
    manifest["split"] = np.repeat(["train", "test"], 60)
    settings = ClassifierSettings(channels=8, features=16, epochs=24, batch_size=20, min_test_accuracy=None)
    made = (images.select(np.arange(60)), images, manifest, settings, CaptionSettings(), 0)
    _, metrics = make_classifier(*made)
    assert metrics["test_accuracy"] == 0.8
    assert "right for only 80.0 % of 60 unseen images" in caplog.text
    assert "it takes 1 hands as 0 flags (12 of 32)" in caplog.text
    check_judge(make_classifier(*made)[0], "classifier", images, manifest, settings, 0)
