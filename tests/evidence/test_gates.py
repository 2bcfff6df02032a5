import json
import math

import pytest
from pydantic import ValidationError

from erasediff_pipeline.config import Gate, GateSettings
from erasediff_pipeline.config.gates import LIMITS
from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.evidence.gates import check_gates, list_figures, verdict


def check(metrics, audit=None, **limits):
    """The outcome of each limit, by its figure."""
    outcomes = check_gates(GateSettings(limits=limits), metrics, audit)
    json.dumps(outcomes, allow_nan=False)
    return {outcome["figure"]: outcome for outcome in outcomes}


def one(metrics, figure, audit=None, **gate):
    return check(metrics, audit, **{figure: Gate(**gate)})[figure]


def of(model, by="difference", **limit):
    return limit | {"of": model, "by": by}


WITHIN, MOST = "the limit lies within the interval", "evaluation.max_samples"
AS_MANY_STEPS = of("retrained", "ratio", at_least=1.0)


@pytest.mark.parametrize(
    ("figure", "gate", "status", "more"),
    [
        # No sample of 200 shows it: with 95 % confidence, at most 1.88 % do.
        ("forget_accuracy", {"at_most": 0.019}, "held", {"value": 0, "pessimistic": 0.0188453}),
        ("forget_accuracy", {"at_most": 0.018}, "undecided", {"high": 0.0188453, "by_how_much": -0.018}),
        # What should be high is held at its low end.
        ("retain_accuracy", {"at_least": 0.98}, "held", {"low": 0.981105, "pessimistic": 0.981105}),
        ("retain_accuracy", {"at_least": 0.985}, "undecided", {"value": 0.99, "pessimistic": 0.981105}),
        # It fails where not even the high end keeps the limit.
        ("retain_accuracy", {"at_least": 0.996}, "failed", {"why": "missed by 0.0060", "by_how_much": 0.006}),
        # 0.99 of 900 against 1 of 900.
        ("retain_accuracy", of("base", at_least=-0.02), "held", {"value": -0.01, "limit": "≥ base − 0.02"}),
        (
            "retain_accuracy",
            of("base", at_least=-0.012),
            "undecided",
            {"why": f"{WITHIN}: raise {MOST}"},
        ),
        ("fid", of("base", "ratio", at_most=1.05), "held", {}),
        ("fid", of("base", "ratio", at_most=1.04), "failed", {"by_how_much": 0.01, "limit": "≤ 1.04 × base"}),
        # The difference of the same images, not 0.1 · √2.
        ("membership_auc", of("retrained", at_most=0.06), "held", {"value": 0, "high": 0.05}),
        # Both intervals count: 0.05 · √2.
        ("relearning_area_forgotten", of("retrained", at_most=0.07), "undecided", {"high": 0.0707107}),
        ("leakage_unconditional", {"at_most": 0.08}, "held", {}),
        ("leakage_worst", {"at_most": 0.08}, "undecided", {"why": f"{WITHIN}: raise audit.samples"}),
    ],
)
def test_both_ends_of_the_interval_count(metrics, audit, figure, gate, status, more):
    found = one(metrics, figure, audit, **gate)
    assert found == found | {"status": status, **more}


@pytest.mark.parametrize(
    ("figure", "value", "gate"),
    [
        *(("fid", v, {"at_most": 100}) for v in (None, math.nan, math.inf)),
        *(("fid", v, of("base", "ratio", at_most=2)) for v in (None, math.nan, math.inf)),
        ("forget_accuracy", math.nan, {"at_most": 0.99}),
        ("forget_samples", 20, {"at_most": 0.05}),
    ],
)
def test_a_figure_that_is_missing_or_no_number_or_of_few_samples_is_not_held(metrics, figure, value, gate):
    metrics["erased"][figure] = value
    gated = "forget_accuracy" if figure == "forget_samples" else figure
    assert one(metrics, gated, **gate)["status"] == ("undecided" if figure == "forget_samples" else "failed")


@pytest.mark.parametrize(
    ("base", "why"),
    [(None, "the figure of the base model is missing"), (0.0, "the figure of the base model is 0: no ratio")],
)
def test_without_the_other_model_s_figure_there_is_no_ratio(metrics, base, why):
    metrics["base"]["fid"] = base
    found = one(metrics, "fid", **of("base", "ratio", at_most=1.1))
    assert (found["status"], found["why"]) == ("failed", why)


def test_what_only_an_audit_tells_is_not_checked_without_one(metrics):
    found = one(metrics, "inversion_accuracy", at_most=0.5)
    assert (found["status"], found["why"]) == ("not checked", "not audited yet: kedro run --pipeline=audit")
    assert "value" not in found


def test_without_a_retrained_model_what_is_held_against_it_is_not_checked(metrics, audit):
    del audit["models"]["retrained"]
    found = one(metrics, "inversion_accuracy", audit, at_most=0.1, of="retrained")
    assert found["status"] == "not checked"
    assert one(metrics, "inversion_accuracy", audit, at_most=0.5)["status"] == "held"


def test_a_figure_whose_gate_was_deleted_or_is_null_is_listed(metrics):
    found = check(metrics, recall=Gate(at_least=0.1), retain_accuracy=None)
    assert set(found) == {"recall", *LIMITS}
    for name in ("fid", "retain_accuracy"):
        why = f"no limit in gates.limits.{name}"
        assert (found[name]["status"], found[name]["why"]) == ("not checked", why)


@pytest.mark.parametrize(("before", "status"), [(0.51, "held"), (0.49, "not checked"), (0.0, "not checked")])
def test_a_base_model_that_never_drew_the_class_has_nothing_to_forget(metrics, before, status):
    metrics["base"]["forget_accuracy"] = before
    assert one(metrics, "forget_accuracy", at_most=0.05)["status"] == status
    metrics["erased"]["forget_accuracy"] = 0.4
    assert one(metrics, "forget_accuracy", at_most=0.05)["status"] == "failed"


def test_what_the_request_does_not_have_is_left_out_by_name(metrics):
    for figure in ("forget_membership_auc", "forget_accuracy_synonyms"):
        assert one(metrics, figure, at_most=0.5)["status"] == "left out"
    metrics["forget"]["by"] = "ids"
    assert one(metrics, "forget_accuracy", at_most=0.5)["status"] == "left out"


def test_inversion_beyond_the_retrained_model_or_without_a_figure_fails(metrics, audit):
    audit["models"]["erased"]["inversion"]["0"]["best"] = 0.6
    found = one(metrics, "inversion_accuracy", audit, at_most=0.1, of="retrained")
    assert (found["status"], found["value"], found["high"]) == ("failed", 0.4, 0.512464)
    audit["models"]["erased"]["inversion"] = {}
    assert one(metrics, "inversion_accuracy", audit, at_most=0.5)["status"] == "failed"


@pytest.mark.parametrize(("lesson", "steps"), [("forgotten", 4), ("retained", 16)])
def test_relearning_in_fewer_steps_than_the_retrained_model(metrics, audit, lesson, steps):
    """Never relearnt, as the retained class by both, counts as beyond the last step, 16."""
    figure = f"relearning_steps_{lesson}"
    assert one(metrics, figure, audit, **AS_MANY_STEPS)["status"] == "held"
    assert one(metrics, figure, audit, **AS_MANY_STEPS)["value"] == 1
    audit["models"]["erased"]["relearning"][lesson]["steps_to_half"] = steps
    found = one(metrics, figure, audit, **AS_MANY_STEPS)
    assert (found["status"], found["value"]) == ("failed", 0.5)


def test_a_retrained_model_that_draws_the_class_untaught_sets_no_limit(metrics, audit):
    """As with the 8, which a blend of other digits passes for; and more than that limit no ratio can say."""
    audit["models"]["retrained"]["relearning"]["forgotten"]["steps_to_half"] = 0
    for steps in (0, 4):
        audit["models"]["erased"]["relearning"]["forgotten"]["steps_to_half"] = steps
        assert one(metrics, "relearning_steps_forgotten", audit, **AS_MANY_STEPS) == {
            "figure": "relearning_steps_forgotten",
            "limit": "≥ 1 × retrained",
            "status": "held",
            "why": "the figure of the retrained model is 0: no ratio",
        }


def test_members_told_by_a_higher_loss_are_told_as_well(metrics, audit):
    beyond = {"value": -0.4, "low": -0.5, "high": -0.3}
    audit["models"]["erased"]["membership"] |= {"auc": 0.1, "beyond_retrained": beyond}
    found = one(metrics, "membership_auc", audit, at_most=0.2, of="retrained", by="distance")
    assert (found["status"], found["limit"], found["value"]) == ("failed", "within 0.2 of retrained", 0.4)
    assert one(metrics, "membership_auc", audit, at_most=0.2, of="retrained")["status"] == "held"


@pytest.mark.parametrize(("limit", "status"), [(0.9, "not checked"), (0.05, "failed")])
def test_an_audit_that_could_not_have_found_anything_keeps_no_gate(metrics, audit, limit, status):
    """Even so, what it found fails."""
    audit["unanswered"] = {"inversion": "the budget is too small"}
    found = one(metrics, "inversion_accuracy", audit, at_most=limit)
    assert found["status"] == status
    assert limit < 0.9 or found["why"] == "the budget is too small"
    assert one(metrics, "leakage_worst", audit, at_most=0.9)["status"] == "held"


def test_an_empty_question_is_left_out(metrics, audit):
    audit["unanswered"] = {"membership": "nothing by heart"}
    found = one(metrics, "membership_auc", audit, at_most=0.1)
    assert (found["status"], found["why"]) == ("left out", "nothing by heart")
    assert one(metrics, "membership_auc", at_most=0.1)["status"] == "not checked"


@pytest.mark.parametrize(("which", "count"), [("erased_prompts", "erased_prompt"), ("synonyms", "synonym")])
def test_prompts_have_intervals_of_their_own_counts(metrics, which, count):
    figure = f"forget_accuracy_{which}"
    metrics["forget"]["by"] = "prompts"
    metrics["erased"][figure] = 0.0
    found = one(metrics, figure, at_most=0.1)
    assert (found["status"], found["why"]) == ("failed", "the figure is missing")  # of who knows how many
    metrics["erased"][f"{count}_samples"] = 20
    assert one(metrics, figure, at_most=0.1)["high"] == pytest.approx(0.1611, abs=1e-4)


def test_a_worst_class_that_lost_too_much(metrics, audit):
    assert one(metrics, "damage_worst", audit, at_least=0.9)["status"] == "held"
    audit["models"]["erased"]["damage"]["worst"] = 0.8
    assert one(metrics, "damage_worst", audit, at_least=0.9)["status"] == "failed"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["held", "held"], "held"),
        (["held", "left out"], "held"),
        (["held", "undecided", "failed", "not checked"], "failed"),
        (["held", "not checked", "undecided"], "undecided"),
        (["held", "not checked"], "not checked"),
        (["left out"], "not checked"),
        ([], "not checked"),
    ],
)
def test_only_what_was_checked_and_held_is_erased(statuses, expected):
    assert verdict([{"status": status} for status in statuses]) == expected


def test_what_is_kept_of_pairs_is_compared_in_pairs(metrics):
    """0.99 against 1 of the same 900 samples; and FID, which has no interval in earlier results."""
    gate = of("base", at_least=-0.018)
    assert one(metrics, "retain_accuracy", **gate)["low"] == pytest.approx(-0.0189, abs=1e-4)
    metrics["paired"] = {
        "confidence": 0.95,
        "retain_accuracy": {"difference": -0.01, "low": -0.017, "high": -0.003, "only_base": 9},
        "fid": {"ratio": 1.05, "low": 0.98, "high": 1.12},
    }
    metrics["erased"] |= {"fid_low": 9.0, "fid_high": 12.0}
    found = one(metrics, "retain_accuracy", **gate)
    assert (found["status"], found["low"], found["high"]) == ("held", -0.017, -0.003)
    assert one(metrics, "fid", **of("base", "ratio", at_most=1.1))["status"] == "undecided"
    found = one(metrics, "fid", **of("base", at_most=3))
    assert (found["status"], found["value"], found["high"]) == ("held", 0.5, 2)


def test_every_figure_can_be_had(metrics, audit):
    shares = ("forget_membership_auc", "forget_accuracy_erased_prompts", "forget_accuracy_synonyms")
    metrics["erased"] |= dict.fromkeys(shares, 0.5) | {"erased_prompt_samples": 20, "synonym_samples": 20}
    metrics["erased"] |= {"inception_score": 8.0, "kid": 0.1}
    metrics["erased"]["unguided"] = {"retain_accuracy": 0.9, "fid": 3.0, "precision": 0.8, "recall": 0.7}
    metrics["erased"]["unguided"] |= {"inception_score": 7.0, "kid": 0.2}
    metrics["erased"]["forgotten"] = {"none": 0.1, "other_class": 0.9, "fid": 30.0, "precision": 0.8}
    gated = {name for name, metric in METRICS.items() if metric.gated}
    assert set(list_figures(metrics, audit, 0.95)["erased"]) == gated


@pytest.mark.parametrize(
    ("figure", "gate", "message"),
    [
        ("fid", {}, "exactly one of at_most"),
        ("fid", {"at_most": 1, "at_least": 0}, "exactly one of at_most"),
        ("fid", {"at_most": 1, "by": "ratio"}, "by: ratio: set of"),
        ("fid", {"at_most": 1, "by": "distance"}, "by: distance: set of"),
        ("fid", {"at_least": 1, "by": "distance", "of": "base"}, "by: distance: set at_most"),
        ("fid", {"at_most": 1, "of": "retrained"}, "fid: of: retrained: only audits measure the retrained"),
        ("forget_accuracy", {"at_most": 5}, "forget_accuracy: a share is between 0 and 1, so this gate"),
        ("retain_accuracy", {"at_least": 0}, "a share is between 0 and 1, so this gate would always be held"),
        ("retain_accuracy", {"at_least": -1, "of": "base"}, "so this gate would always be held"),
        ("fidd", {"at_most": 1}, "unknown figure 'fidd', did you mean 'fid'.: choose from forget_accuracy, "),
    ],
)
def test_a_gate_has_one_limit_of_a_known_figure_and_what_is_compared_a_model(figure, gate, message):
    with pytest.raises(ValidationError, match=message):
        GateSettings(limits={figure: gate})
