"""What decides a trial, and what a trial leaves alone."""

import copy
import json
from dataclasses import replace

import pytest

from erasediff_pipeline.catalog import TrialStore, history_of
from erasediff_pipeline.config import (
    CaptionSettings,
    EvaluationSettings,
    FinetuneSettings,
    ForgetRequest,
    NegGradSettings,
    SamplingSettings,
)
from erasediff_pipeline.data.conditions import list_conditions
from erasediff_pipeline.data.request import split_by_request
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier
from erasediff_pipeline.experiments import trials
from erasediff_pipeline.experiments.trials import judge_trial, train_trial
from erasediff_pipeline.hashing import hash_weights

TINY = {"steps": 1, "batch_size": 4}
SETTINGS = FinetuneSettings(**TINY)


@pytest.fixture
def work(monkeypatch):
    """What is really done, not read, in the order it was done."""
    done = []
    for name, word in (("erase_with", "train"), ("draw_from", "judge")):
        real = getattr(trials.nodes, name)

        def watch(*arguments, real=real, word=word, **options):
            node = real(*arguments, **options)
            return lambda *given: (done.append(word), node(*given))[1]

        monkeypatch.setattr(trials.nodes, name, watch)
    return done


def other_base(bench, unet_model):
    return replace(bench, base_model=unet_model(seed=1).to_pipeline())


def other_request(bench):
    made = split_by_request(bench.manifest, ForgetRequest(classes=[1]))
    conditions = list_conditions(bench.manifest, made.description, CaptionSettings())
    return replace(bench, split=made.table, request=made.description, conditions=conditions)


def test_a_trial_is_trained_once(bench, work):
    first, again = (train_trial(bench, "finetune", SETTINGS, 0) for _ in range(2))
    assert work == ["train"]
    assert hash_weights(first.model.unet) == hash_weights(again.model.unet)
    assert first.curves.equals(again.curves)
    assert first.cost == again.cost


@pytest.mark.parametrize(
    "change",
    [
        lambda bench, unet_model: (bench, "neggrad", NegGradSettings(**TINY), 0),
        lambda bench, unet_model: (bench, "finetune", FinetuneSettings(**{**TINY, "steps": 2}), 0),
        lambda bench, unet_model: (bench, "finetune", SETTINGS, 1),
        lambda bench, unet_model: (other_base(bench, unet_model), "finetune", SETTINGS, 0),
        lambda bench, unet_model: (other_request(bench), "finetune", SETTINGS, 0),
        lambda bench, unet_model: (
            replace(bench, manifest=bench.manifest.assign(prompt="another caption")),
            "finetune",
            SETTINGS,
            0,
        ),
    ],
    ids=["method", "setting", "seed", "base model", "request", "captions"],
)
def test_what_decides_a_trial_has_it_trained_anew(bench, unet_model, work, change):
    train_trial(bench, "finetune", SETTINGS, 0)
    train_trial(*change(bench, unet_model))
    assert work == ["train", "train"]


def test_changed_code_has_it_trained_anew(bench, work, monkeypatch):
    train_trial(bench, "finetune", SETTINGS, 0)
    monkeypatch.setattr(trials, "hash_source", lambda *modules: "changed")
    train_trial(bench, "finetune", SETTINGS, 0)
    assert work == ["train", "train"]


def test_changed_code_of_another_method_does_not(bench, work, monkeypatch):
    train_trial(bench, "finetune", SETTINGS, 0)
    real = trials.hash_source
    for name, anew in (("esd", False), ("finetune", True)):
        changed = f"erasediff_pipeline.unlearning.{name}"
        monkeypatch.setattr(
            trials, "hash_source", lambda *modules, of=changed: real(*modules) + "'" * (of in modules)
        )
        train_trial(bench, "finetune", SETTINGS, 0)
        assert work == ["train"] * (1 + anew)


def test_how_it_is_judged_does_not_have_it_trained_anew(bench, work):
    for sampling in (bench.sampling, SamplingSettings(steps=3), SamplingSettings(steps=3)):
        judged = replace(bench, sampling=sampling)
        trained = train_trial(judged, "finetune", SETTINGS, 0)
        judge_trial(judged, "finetune", trained.model, 0)
    assert work == ["train", "judge", "judge"]


@pytest.mark.parametrize(
    ("other", "seed"),
    [
        ({"evaluation": EvaluationSettings(retain_samples=5)}, 0),
        ({"classifier": Classifier(channels=8, features=8, classes=3)}, 0),
        ({}, 1),
    ],
    ids=["evaluation", "judge", "seed"],
)
def test_what_decides_a_judgement_has_it_judged_anew(bench, work, other, seed):
    judge_trial(bench, "base", bench.base_model, 0)
    judge_trial(bench, "base", bench.base_model, 0)
    judge_trial(replace(bench, **other), "base", bench.base_model, seed)
    assert work == ["judge", "judge"]


def test_a_judgement_comes_back_as_it_was(bench):
    first, again = (judge_trial(bench, "base", bench.base_model, 0) for _ in range(2))
    assert first.metrics == again.metrics
    assert (first.samples.images == again.samples.images).all()
    assert first.samples.labels.tolist() == [0] * 2 + [1] * 4 + [2] * 4
    assert json.loads(json.dumps(first.metrics)) == first.metrics


def test_training_leaves_the_base_model_for_the_next_trial(bench):
    before = hash_weights(bench.base_model.unet)
    trained = train_trial(bench, "finetune", SETTINGS, 0)
    assert hash_weights(bench.base_model.unet) == before != hash_weights(trained.model.unet)


def test_order_of_the_trials_does_not_matter(bench, tmp_path):
    def weights(store, *seeds):
        into = replace(bench, store=TrialStore(tmp_path / store))
        return {s: hash_weights(train_trial(into, "finetune", SETTINGS, s).model.unet) for s in seeds}

    assert weights("up", 0, 1) == weights("down", 1, 0)


def test_history_of_an_erased_base_model_goes_on(bench):
    base = copy.deepcopy(bench.base_model)
    base.request_history = [{"by": "classes", "classes": [2]}]
    made = split_by_request(bench.manifest, ForgetRequest(classes=[0]), history_of(base))
    conditions = list_conditions(bench.manifest, made.description, CaptionSettings())
    later = replace(bench, base_model=base, split=made.table, request=made.description, conditions=conditions)
    history = history_of(train_trial(later, "finetune", SETTINGS, 0).model)
    assert [entry["classes"] for entry in history] == [[2], [0]]
    assert history[1]["base_model_sha256"] == hash_weights(base.unet)


def test_places_are_readable_and_apart(bench):
    assert bench.place("esd", 3, "trained") == "esd/class-0-seed-3/trained"
    two = replace(bench, request={**bench.request, "classes": [0, 2]})
    assert two.place("esd", 3, "trained") == "esd/class-0-2-seed-3/trained"
    by_ids = [
        replace(bench, request={**bench.request, "by": "ids", "forget_sha256": digest * 8})
        for digest in ("01234567", "89abcdef")
    ]
    assert [each.place("esd", 0, "judged") for each in by_ids] == [
        "esd/class-0-ids-01234567-seed-0/judged",
        "esd/class-0-ids-89abcdef-seed-0/judged",
    ]
