"""What decides a trial, and what a trial leaves alone."""

import json
from dataclasses import replace

import pytest

from erasediff_pipeline import fingerprint
from erasediff_pipeline.config import EvaluationSettings, SamplingSettings
from erasediff_pipeline.data.request import AnsweredRequest
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier
from erasediff_pipeline.experiments import trials
from erasediff_pipeline.experiments.store import TrialStore
from erasediff_pipeline.experiments.trials import evaluate_trial, train_trial, trial_folder
from erasediff_pipeline.hashing import hash_weights
from erasediff_pipeline.unlearning.registry import METHODS
from tests.helpers.tasks import toy_task
from tests.helpers.toys import build_toy_unet, draw_toy_images

TINY = {"steps": 1, "batch_size": 4}
SETTINGS = METHODS["finetune"].settings(**TINY)


@pytest.fixture
def work(monkeypatch):
    """What is really done, not read, in the order it was done."""
    done = []
    for name, word in (("erase", "train"), ("sample_model", "judge")):
        real = getattr(trials, name)

        def watch(*arguments, real=real, word=word, **options):
            done.append(word)
            return real(*arguments, **options)

        monkeypatch.setattr(trials, name, watch)
    return done


@pytest.fixture
def train(store, workspace):
    """``train(bench, …)``: one trial, kept in the same store."""

    def run(bench, method="finetune", settings=SETTINGS, seed=0):
        return train_trial(bench, store, workspace, method, settings, seed)

    return run


def weights_of(trained):
    return hash_weights(trained.model.pipeline.unet)


def captioned(bench):
    task = replace(bench.task, manifest=bench.task.manifest.assign(prompt="another caption"))
    return replace(bench, task=task)


def test_a_trial_is_trained_once(bench, work, train):
    before = hash_weights(bench.base_model.pipeline.unet)
    first, again = train(bench), train(bench)
    assert work == ["train"]
    assert weights_of(first) == weights_of(again)
    assert first.curves.equals(again.curves)
    assert (first.cost, first.model.history) == (again.cost, again.model.history)
    # The base model is left as it was for the next trial.
    assert hash_weights(bench.base_model.pipeline.unet) == before != weights_of(first)


@pytest.mark.parametrize(
    "change",
    [
        lambda bench: {"method": "neggrad", "settings": METHODS["neggrad"].settings(**TINY)},
        lambda bench: {"settings": METHODS["finetune"].settings(**{**TINY, "steps": 2})},
        lambda bench: {"seed": 1},
        lambda bench: {"bench": replace(bench, base_model=ModelWithHistory(build_toy_unet(1).to_pipeline()))},
        lambda bench: {"bench": replace(bench, task=toy_task(draw_toy_images(), classes=[1]))},
        lambda bench: {"bench": captioned(bench)},
    ],
    ids=["method", "setting", "seed", "base model", "request", "captions"],
)
def test_what_decides_a_trial_has_it_trained_anew(bench, work, train, change):
    train(bench)
    train(**{"bench": bench, **change(bench)})
    assert work == ["train", "train"]


@pytest.mark.parametrize("changed", ["training", "data", "inversion", "sampling", "finetune", "esd"])
def test_another_version_of_what_trains_has_it_trained_anew(bench, work, train, monkeypatch, changed):
    """A component, or the method, but not another method."""
    train(bench)
    if changed in METHODS:
        monkeypatch.setitem(METHODS, changed, METHODS[changed]._replace(version=99))
    else:
        monkeypatch.setitem(fingerprint.VERSIONS, changed, 99)
    train(bench)
    assert work == ["train"] * (1 + (changed in ("training", "data", "finetune")))


def test_how_it_is_judged_does_not_have_it_trained_anew(bench, work, train, store):
    for sampling in (bench.sampling, SamplingSettings(steps=3), SamplingSettings(steps=3)):
        judged = replace(bench, sampling=sampling)
        evaluate_trial(judged, store, "finetune", train(judged).model, 0)
    assert work == ["train", "judge", "judge"]


@pytest.mark.parametrize(
    ("other", "seed"),
    [
        ({"evaluation": EvaluationSettings(retain_samples=5)}, 0),
        ({"classifier": Classifier(channels=8, features=8, classes=3)}, 0),
        ({}, 1),
    ],
    ids=["evaluation", "classifier", "seed"],
)
def test_what_decides_a_judgement_has_it_judged_anew(bench, work, store, other, seed):
    evaluate_trial(bench, store, "base", bench.base_model, 0)
    evaluate_trial(replace(bench, **other), store, "base", bench.base_model, seed)
    assert work == ["judge", "judge"]


def test_a_judgement_comes_back_as_it_was(bench, work, store):
    first, again = (evaluate_trial(bench, store, "base", bench.base_model, 0) for _ in range(2))
    assert work == ["judge"]
    assert first.metrics == again.metrics
    assert (first.samples.images == again.samples.images).all()
    assert first.samples.labels.tolist() == [0] * 2 + [1] * 4 + [2] * 4
    assert json.loads(json.dumps(first.metrics)) == first.metrics


def test_order_of_the_trials_does_not_matter(bench, workspace, tmp_path):
    def weights(folder, *seeds):
        store = TrialStore(tmp_path / folder)
        return {s: weights_of(train_trial(bench, store, workspace, "finetune", SETTINGS, s)) for s in seeds}

    assert weights("up", 0, 1) == weights("down", 1, 0)


def test_history_of_an_erased_base_model_goes_on(bench, toy_images, train):
    earlier = AnsweredRequest(
        by="classes", classes=[2], forget_sha256="f00", method="esd", base_model_sha256="cafe"
    )
    base = ModelWithHistory(bench.base_model.pipeline, (earlier,))
    later = replace(bench, base_model=base, task=toy_task(toy_images, base.history))
    first, second = train(later).model.history
    assert first == earlier
    assert second.classes == (0,)
    assert second.base_model_sha256 == hash_weights(base.pipeline.unet)


def test_places_are_readable_and_apart(bench):
    request = bench.task.request
    assert trial_folder(request, "esd", 3, "trained") == "esd/class-0-seed-3/trained"
    two = request.model_copy(update={"classes": (0, 2)})
    assert trial_folder(two, "esd", 3, "trained") == "esd/class-0-2-seed-3/trained"
    for digest in ("01234567", "89abcdef"):
        by_ids = request.model_copy(update={"by": "ids", "forget_sha256": digest * 8})
        assert trial_folder(by_ids, "esd", 0, "judged") == f"esd/class-0-ids-{digest}-seed-0/judged"
    by_words = request.model_copy(update={"by": "prompts", "prompts": ("three",)})
    other = by_words.model_copy(update={"prompts": ("3",)})
    assert trial_folder(by_words, "esd", 0, "judged") != trial_folder(other, "esd", 0, "judged")
