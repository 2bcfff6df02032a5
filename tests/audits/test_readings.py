import copy

import pytest

from erasediff_pipeline.audits.inversion import DOUBLED
from erasediff_pipeline.audits.readings import list_remarks, list_unanswered, read_relearning
from erasediff_pipeline.config import AuditSettings, RelearningSettings

SETTINGS = AuditSettings(relearning=RelearningSettings(steps=4, samples=25))


def audit(shares=(0.0, 0.0, 0.5, 0.5, 1.0), doubled=0.3, known=(0.7, 0.6, 0.8), beyond=(0.2, 0.1, 0.3)):
    """One model's summary; relearning with ``shares`` at step 0, 1, …"""
    lesson = {
        "steps_to_half": next((k for k, share in enumerate(shares) if share >= 0.5), None),
        "forget_accuracy": {str(k): share for k, share in enumerate(shares)},
    }
    starts = {"own": 0.3, "random 1": 0.2, DOUBLED: doubled}
    return {
        "relearning": {"forgotten": lesson, "retained": copy.deepcopy(lesson)},
        "inversion": {"3": {"best_from_random": 0.2, "doubled": doubled, "starts": starts}},
        "membership": dict(zip(("auc", "low", "high"), known, strict=True))
        | {"beyond_retrained": beyond and dict(zip(("value", "low", "high"), beyond, strict=True))},
    }


def models(base=None, **erased):
    found = {"base": audit(), "erased": audit(**erased), "retrained": audit()}
    found["base"]["inversion"]["3"]["best_from_random"] = 1.0
    return found | ({"base": base} if base else {})


@pytest.mark.parametrize(
    ("shares", "reading"),
    [
        ((1.0, 0.0, 0.5, 0.5, 1.0), "as the retrained model"),  # what it draws untaught is no matter
        ((0.0, 0.0, 0.4, 0.6, 0.9), "as the retrained model"),  # 47 of 100 against 50
        ((0.0, 0.0, 0.0, 0.0, 0.2), "over-erased"),
        ((0.0, 0.8, 1.0, 1.0, 1.0), "not gone"),
    ],
)
def test_relearning_is_read_on_both_sides(shares, reading):
    found = models(shares=shares)
    read_relearning(found, SETTINGS, 1)
    assert {lesson["reading"] for lesson in found["erased"]["relearning"].values()} == {reading}
    said = list_remarks(found, {}, SETTINGS)
    assert len(said) == (0 if reading.startswith("as") else 2)
    assert all(line.startswith(f"erased: {reading}: taught with ") for line in said)


def test_without_a_retrained_model_nothing_is_read():
    found = models()
    del found["retrained"]
    read_relearning(found, SETTINGS, 1)
    assert "reading" not in found["erased"]["relearning"]["forgotten"]


@pytest.mark.parametrize(("doubled", "said"), [(0.4, 0), (0.6, 1)])
def test_an_inversion_that_finds_more_with_twice_the_steps_had_not_converged(doubled, said):
    """Of 100 samples 40 against 30 may be chance, 60 are not."""
    remarks = list_remarks(models(doubled=doubled), {}, SETTINGS)
    assert len(remarks) == said
    assert all(
        "had not converged: it finds class 3 in 0.30 of the samples in 200" in line for line in remarks
    )


def weak(name, **changes):
    """The reason why an audit of models with these changes cannot answer; None if it can."""
    found = models()
    for model, of_model in changes.items():
        found[model] |= of_model
    return list_unanswered(found, SETTINGS).get(name)


def test_a_test_must_find_what_is_there():
    """The class in the base model from a random start; and, in the retrained one, in so many steps."""
    assert list_unanswered(models(), SETTINGS) == {}
    assert "only 0.20 of the base model" in weak("inversion", base={"inversion": audit()["inversion"]})
    slow = {"relearning": audit(shares=(0, 0, 0, 0.1, 0.4))["relearning"]}
    assert "half of the class in 4 steps: raise audit.relearning.steps" in weak("relearning", retrained=slow)
    assert weak("relearning", erased=slow) is None


@pytest.mark.parametrize(
    ("known", "beyond", "said"),
    [
        ((0.7, 0.6, 0.8), (0.2, 0.1, 0.3), None),
        ((0.59, 0.49, 0.69), (0.2, 0.1, 0.3), None),  # unseen images that are easier for both models
        ((0.7, 0.6, 0.8), (0.1, -0.1, 0.3), "0.700, is not above the retrained model's"),
        ((0.55, 0.45, 0.65), None, "0.550, is not above 0.5 (interval 0.450 to 0.650)"),
        ((0.7, 0.6, 0.8), None, None),
    ],
)
def test_a_base_model_with_nothing_by_heart_makes_membership_empty(known, beyond, said):
    reason = weak("membership", base={"membership": audit(known=known, beyond=beyond)["membership"]})
    assert reason is None if said is None else said in reason and "the question is empty" in reason
