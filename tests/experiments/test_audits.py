"""The expensive questions of an audit are put to a model once."""

from dataclasses import replace

import pandas as pd
import pytest

from erasediff_pipeline import fingerprint
from erasediff_pipeline.audits.expensive import EXPENSIVE_AUDITS, ExpensiveAudit
from erasediff_pipeline.config import AuditSettings, SamplingSettings
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.experiments.audits import run_audit
from tests.helpers.toys import build_toy_unet

SETTINGS = AuditSettings(samples=10)


@pytest.fixture
def asked(monkeypatch):
    """The names of the models that were really asked, in order; a name in ``asked.deaf`` stops it all."""

    class Asked(list):
        deaf = ()

    names = Asked()

    def ask(bench, name, model, settings, seed, workspace):
        if name in names.deaf:
            raise KeyboardInterrupt
        names.append(name)
        return pd.DataFrame({"taught": "forgotten", "step": [0, 1], "forget_accuracy": [0.1, 1 / 3]})

    for question, (_, columns) in EXPENSIVE_AUDITS.items():
        monkeypatch.setitem(EXPENSIVE_AUDITS, question, ExpensiveAudit(ask, columns))
    return names


@pytest.fixture
def put(bench, asked, store, workspace):
    """``put(models, …)``: the relearning of these models, with the answers that are kept here."""

    def node(models, settings=SETTINGS, seed=0, bench=bench):
        return run_audit("relearning", bench, store, models, settings, seed, workspace)

    return node


def model(seed):
    return ModelWithHistory(build_toy_unet(seed).to_pipeline())


@pytest.fixture
def models():
    return {"base": model(0), "erased": model(1)}


def asking(bench, **changes):
    """The same with another request."""
    return replace(bench, task=replace(bench.task, request=bench.task.request.model_copy(update=changes)))


def test_a_model_is_asked_once(put, asked, models):
    first, again = put(models), put(models)
    assert asked == ["base", "erased"]
    pd.testing.assert_frame_equal(first, again)
    assert list(first.columns) == ["model", "taught", "step", "forget_accuracy"]
    assert list(first["model"]) == ["base", "base", "erased", "erased"]
    assert first["forget_accuracy"][1] == 1 / 3


def test_another_model_is_asked_and_the_base_model_is_not_again(put, asked, models):
    put(models)
    put({**models, "erased": model(7)}, SETTINGS.model_copy(update={"model": "esd"}))
    put({**models, "erased": model(8)})
    assert asked == ["base", "erased", "erased", "erased"]


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        (lambda bench: {"seed": 1}, True),
        (lambda bench: {"settings": AuditSettings(samples=11)}, True),
        (lambda bench: {"settings": AuditSettings(samples=10, relearning={"steps": 3})}, True),
        (lambda bench: {"settings": AuditSettings(samples=10, inversion={"steps": 3})}, False),
        (lambda bench: {"bench": asking(bench, forget_sha256="other")}, True),
        (lambda bench: {"bench": replace(bench, sampling=SamplingSettings(steps=9))}, True),
    ],
    ids=["seed", "samples", "budget", "budget of another audit", "request", "sampler"],
)
def test_what_decides_the_answer_has_it_asked_anew(put, asked, models, bench, change, anew):
    put(models)
    put(models, **change(bench))
    assert asked == ["base", "erased"] * (1 + anew)


@pytest.mark.parametrize("changed", ["relearning", "training", "inversion"])
def test_another_version_of_what_asks_has_it_asked_anew(put, asked, models, monkeypatch, changed):
    put(models)
    monkeypatch.setitem(fingerprint.VERSIONS, changed, 99)
    put(models)
    assert asked == ["base", "erased"] * (1 + (changed != "inversion"))


def test_an_audit_that_was_stopped_goes_on_with_the_next_model(put, asked, models):
    asked.deaf = ("erased",)
    with pytest.raises(KeyboardInterrupt):
        put(models)
    asked.deaf = ()
    assert list(put(models)["model"].unique()) == ["base", "erased"]
    assert asked == ["base", "erased"]


def test_the_retrained_model_and_a_method_by_its_name_have_one_answer(put, asked, models, tmp_path):
    put({"base": models["base"], "retrained": models["erased"]})
    assert {p.name for p in (tmp_path / "kept").iterdir()} == {"base", "retrain"}


def test_single_images_keep_their_class_and_are_not_asked_for(put, asked, models, bench):
    table = put(models, bench=asking(bench, by="ids"))
    assert table.empty
    assert list(table.columns) == ["model", "taught", "step", "forget_accuracy"]
    assert asked == []
