import json
import math

import pytest
from pydantic import ValidationError

from erasediff_pipeline.config import Gate, GateSettings
from erasediff_pipeline.config.gates import LIMITS
from erasediff_pipeline.config.metrics import METRICS
from erasediff_pipeline.evidence.gates import check_gates, list_figures, verdict


def check(metrics, audit=None, confidence=0.95, **limits):
    """The outcome of each limit, by its figure."""
    outcomes = check_gates(GateSettings(limits=limits, confidence=confidence), metrics, audit)
    json.dumps(outcomes, allow_nan=False)
    return {outcome["figure"]: outcome for outcome in outcomes}


def one(metrics, figure, gate, audit=None):
    return check(metrics, audit, **{figure: gate})[figure]


def test_the_pessimistic_end_counts(metrics):
    """No sample of 200 shows it: with 95 % confidence, at most 1.88 % do."""
    assert one(metrics, "forget_accuracy", Gate(at_most=0.019))["status"] == "passed"
    found = one(metrics, "forget_accuracy", Gate(at_most=0.018))
    assert found["status"] == "failed"
    assert found["value"] == 0
    assert found["pessimistic"] == found["high"] == pytest.approx(0.018845, abs=1e-6)
    assert found["by_how_much"] == pytest.approx(0.000845, abs=1e-6)
    assert found["why"] == "missed by 0.00085"


def test_fewer_samples_prove_less(metrics):
    metrics["erased"]["forget_samples"] = 20
    assert one(metrics, "forget_accuracy", Gate(at_most=0.05))["status"] == "failed"


def test_a_figure_that_should_be_high_is_held_at_its_low_end(metrics):
    found = one(metrics, "retain_accuracy", Gate(at_least=0.985))
    assert found["status"] == "failed"
    assert found["pessimistic"] == found["low"] < 0.985 < found["value"]
    assert one(metrics, "retain_accuracy", Gate(at_least=0.98))["status"] == "passed"


def test_a_difference_from_the_base_model(metrics):
    """0.99 of 900 against 1 of 900."""
    found = one(metrics, "retain_accuracy", Gate(at_least=-0.02, of="base"))
    assert found["status"] == "passed"
    assert found["value"] == pytest.approx(-0.01)
    assert found["limit"] == "≥ base − 0.02"
    assert one(metrics, "retain_accuracy", Gate(at_least=-0.012, of="base"))["status"] == "failed"


def test_a_ratio_to_the_base_model(metrics):
    assert one(metrics, "fid", Gate(at_most=1.05, of="base", by="ratio"))["status"] == "passed"
    found = one(metrics, "fid", Gate(at_most=1.04, of="base", by="ratio"))
    assert (found["status"], found["limit"]) == ("failed", "≤ 1.04 × base")
    assert found["by_how_much"] == pytest.approx(0.01)


@pytest.mark.parametrize("gate", [Gate(at_most=100), Gate(at_most=2, of="base", by="ratio")])
@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_missing_figure_or_one_that_is_no_number_fails(metrics, value, gate):
    metrics["erased"]["fid"] = value
    assert one(metrics, "fid", gate)["status"] == "failed"


def test_a_share_that_is_no_number_fails(metrics):
    metrics["erased"]["forget_accuracy"] = math.nan
    assert one(metrics, "forget_accuracy", Gate(at_most=1))["status"] == "failed"


@pytest.mark.parametrize(
    ("base", "why"),
    [(None, "the figure of the base model is missing"), (0.0, "the figure of the base model is 0: no ratio")],
)
def test_without_the_other_model_s_figure_there_is_no_ratio(metrics, base, why):
    metrics["base"]["fid"] = base
    found = one(metrics, "fid", Gate(at_most=1.1, of="base", by="ratio"))
    assert (found["status"], found["why"]) == ("failed", why)


def test_what_only_an_audit_tells_is_not_checked_without_one(metrics):
    found = one(metrics, "inversion_accuracy", Gate(at_most=0.5))
    assert (found["status"], found["why"]) == ("not checked", "not audited yet: kedro run --pipeline=audit")
    assert "value" not in found


def test_without_a_retrained_model_what_is_held_against_it_is_not_checked(metrics, audit):
    del audit["models"]["retrained"]
    gate = Gate(at_most=0.1, of="retrained")
    assert one(metrics, "inversion_accuracy", gate, audit)["status"] == "not checked"
    assert one(metrics, "inversion_accuracy", Gate(at_most=0.5), audit)["status"] == "passed"


def test_a_figure_whose_gate_was_deleted_or_is_null_is_listed(metrics):
    found = check(metrics, recall=Gate(at_least=0), retain_accuracy=None)
    assert set(found) == {"recall", *LIMITS}
    for name in ("fid", "retain_accuracy"):
        assert (found[name]["status"], found[name]["why"]) == (
            "not checked",
            f"no limit in gates.limits.{name}",
        )


@pytest.mark.parametrize(
    ("by", "figure"),
    [
        ("ids", "forget_accuracy"),
        ("classes", "forget_membership_auc"),
        ("classes", "forget_accuracy_synonyms"),
    ],
)
def test_what_the_request_does_not_have_is_left_out_by_name(metrics, by, figure):
    metrics["forget"]["by"] = by
    assert one(metrics, figure, Gate(at_most=0.5))["status"] == "left out"


def test_an_audit_that_lacks_a_figure_fails_its_gate(metrics, audit):
    audit["models"]["erased"]["inversion"] = {}
    assert one(metrics, "inversion_accuracy", Gate(at_most=0.5), audit)["status"] == "failed"


def test_inversion_beyond_the_retrained_model(metrics, audit):
    audit["models"]["erased"]["inversion"]["0"]["best"] = 0.4
    found = one(metrics, "inversion_accuracy", Gate(at_most=0.1, of="retrained"), audit)
    assert found["status"] == "failed"
    assert found["value"] == pytest.approx(0.2)
    assert found["high"] == pytest.approx(0.3185, abs=1e-4)


def test_relearning_in_fewer_steps_than_the_retrained_model(metrics, audit):
    gate = Gate(at_least=1.0, of="retrained", by="ratio")
    assert one(metrics, "relearning_steps_forgotten", gate, audit)["status"] == "passed"
    audit["models"]["erased"]["relearning"]["forgotten"]["steps_to_half"] = 4
    found = one(metrics, "relearning_steps_forgotten", gate, audit)
    assert (found["status"], found["value"]) == ("failed", 0.5)


def test_a_retrained_model_that_draws_the_class_untaught_sets_no_limit(metrics, audit):
    """As with the 8, which a blend of other digits passes for; and more than that limit no ratio can say."""
    gate = Gate(at_least=1.0, of="retrained", by="ratio")
    audit["models"]["retrained"]["relearning"]["forgotten"]["steps_to_half"] = 0
    for steps in (0, 4):
        audit["models"]["erased"]["relearning"]["forgotten"]["steps_to_half"] = steps
        assert one(metrics, "relearning_steps_forgotten", gate, audit) == {
            "figure": "relearning_steps_forgotten",
            "limit": "≥ 1 × retrained",
            "status": "passed",
            "why": "the figure of the retrained model is 0: no ratio",
        }


def test_never_relearnt_counts_as_beyond_the_last_step(metrics, audit):
    gate = Gate(at_least=1.0, of="retrained", by="ratio")
    assert one(metrics, "relearning_steps_retained", gate, audit)["value"] == 1.0
    audit["models"]["erased"]["relearning"]["retained"]["steps_to_half"] = 16
    assert one(metrics, "relearning_steps_retained", gate, audit)["value"] == 0.5


def test_membership_counts_both_intervals(metrics, audit):
    found = one(metrics, "membership_auc", Gate(at_most=0.1, of="retrained"), audit)
    assert (found["value"], found["status"]) == (0, "failed")
    assert found["high"] == pytest.approx(0.1 * math.sqrt(2), abs=1e-6)


def test_members_told_by_a_higher_loss_are_told_as_well(metrics, audit):
    audit["models"]["erased"]["membership"] |= {"auc": 0.1, "low": 0.05, "high": 0.15}
    gate = Gate(at_most=0.2, of="retrained", by="distance")
    found = one(metrics, "membership_auc", gate, audit)
    assert (found["status"], found["limit"]) == ("failed", "within 0.2 of retrained")
    assert found["value"] == pytest.approx(0.4)
    one_sided = gate.model_copy(update={"by": "difference"})
    assert one(metrics, "membership_auc", one_sided, audit)["status"] == "passed"


@pytest.mark.parametrize(
    ("figure", "count"),
    [
        ("forget_accuracy_erased_prompts", "erased_prompt_samples"),
        ("forget_accuracy_synonyms", "synonym_samples"),
    ],
)
def test_prompts_have_intervals_of_their_own_counts(metrics, figure, count):
    metrics["forget"]["by"] = "prompts"
    metrics["erased"] |= {figure: 0.0, count: 20}
    assert one(metrics, figure, Gate(at_most=0.1))["high"] == pytest.approx(0.1611, abs=1e-4)


def test_a_share_of_who_knows_how_many_is_missing(metrics):
    metrics["forget"]["by"] = "prompts"
    metrics["erased"]["forget_accuracy_synonyms"] = 0.0
    found = one(metrics, "forget_accuracy_synonyms", Gate(at_most=0.1))
    assert (found["status"], found["why"]) == ("failed", "the figure is missing")


def test_a_worst_class_that_lost_too_much(metrics, audit):
    assert one(metrics, "damage_worst", Gate(at_least=0.9), audit)["status"] == "passed"
    audit["models"]["erased"]["damage"]["worst"] = 0.92
    assert one(metrics, "damage_worst", Gate(at_least=0.9), audit)["status"] == "failed"


def test_leakage_under_other_conditions(metrics, audit):
    limits = {"leakage_unconditional": Gate(at_most=0.08), "leakage_worst": Gate(at_most=0.08)}
    found = check(metrics, audit, **limits)
    assert [found[name]["status"] for name in limits] == ["passed", "failed"]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        (["passed", "passed"], "passed"),
        (["passed", "left out"], "passed"),
        (["passed", "failed", "not checked"], "failed"),
        (["passed", "not checked"], "not checked"),
        (["left out"], "not checked"),
        ([], "not checked"),
    ],
)
def test_only_what_was_checked_and_held_passes(statuses, expected):
    assert verdict([{"status": status} for status in statuses]) == expected


def test_every_figure_can_be_had(metrics, audit):
    metrics["erased"] |= {"forget_membership_auc": 0.5}
    metrics["erased"] |= {"forget_accuracy_erased_prompts": 0.0, "erased_prompt_samples": 20}
    metrics["erased"] |= {"forget_accuracy_synonyms": 0.1, "synonym_samples": 20}
    gated = {name for name, metric in METRICS.items() if metric.gated}
    assert set(list_figures(metrics, audit, 0.95)["erased"]) == gated


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({}, "exactly one of at_most"),
        ({"at_most": 1, "at_least": 0}, "exactly one of at_most"),
        ({"at_most": 1, "by": "ratio"}, "by: ratio: set of"),
        ({"at_most": 1, "by": "distance"}, "by: distance: set of"),
        ({"at_least": 1, "by": "distance", "of": "base"}, "by: distance: set at_most"),
    ],
)
def test_a_gate_has_one_limit_and_what_is_compared_a_model(gate, message):
    with pytest.raises(ValidationError, match=message):
        Gate(**gate)


def test_only_audits_measure_the_retrained_model():
    with pytest.raises(ValidationError, match="fid: of: retrained: only audits measure the retrained model"):
        GateSettings(limits={"fid": Gate(at_most=1, of="retrained")})


def test_an_unknown_figure_is_refused_with_those_that_are_known():
    with pytest.raises(ValidationError, match="unknown figure 'fidd': choose from forget_accuracy, "):
        GateSettings(limits={"fidd": Gate(at_most=1)})
