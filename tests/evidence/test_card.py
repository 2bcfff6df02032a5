import pytest
from huggingface_hub import ModelCard

from erasediff_pipeline.config import Gate, GateSettings
from erasediff_pipeline.evidence.card import write_card
from erasediff_pipeline.evidence.document import collect_evidence

TASK = "unconditional-image-generation"
AUDIT = "kedro run --pipeline=audit"


@pytest.fixture
def evidence(metrics, run):
    return collect_evidence(metrics, run, None, GateSettings(limits={"fid": Gate(at_most=9)}), False, AUDIT)


def test_the_hub_reads_it(evidence):
    card = ModelCard(write_card(evidence, "kedro run --pipeline=unlearn", AUDIT, TASK, {}))
    assert card.data.library_name == "diffusers"
    assert card.data.pipeline_tag == TASK
    assert card.data.tags == ["machine-unlearning"]
    results = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert results == {"forget_accuracy": 0.0, "retain_accuracy": 0.99, "fid": 10.5}


def test_it_says_what_was_done_and_what_fails(evidence):
    text = write_card(evidence, "kedro run --pipeline=unlearn", AUDIT, TASK, {})
    for words in (
        "forget class 0 (142 images) by the method `erasediff`",
        "b" * 64,
        f"`{AUDIT}` tests whether",
        "| FID, retained (0 is best) | 10.0000 | 10.5000 |",
        "**Gates that this model fails:** fid ≤ 9: missed by 1.5000.",
        "Not checked by the run that made the model: forget_accuracy, retain_accuracy,",
    ):
        assert words in text


def test_it_names_the_classes_as_their_source_does(evidence):
    text = write_card(evidence, "kedro run", AUDIT, TASK, {0: "Coat"})
    assert "forget class 0 Coat (142 images) by" in text
    assert ModelCard(text).data.model_name == "erasediff: class 0 Coat (142 images) forgotten"


def test_it_names_the_accuracy_of_the_classifier(evidence):
    for model in ("base", "erased"):
        evidence["metrics"][model] |= {"classifier_accuracy": 0.703, "classifier_images": 120}
    text = write_card(evidence, "kedro run", AUDIT, TASK, {})
    assert "; the classifier assigns 70.3% of 120 unseen real images to their class." in text
    assert "| retain accuracy (1 = retained; the classifier's own is 0.703) |" in text


def test_the_same_figures_give_the_same_bytes(evidence, run):
    first = write_card(evidence, "kedro run", AUDIT, TASK, {})
    evidence["provenance"]["git_commit"] = "another"
    evidence["cost"]["wall_seconds"] = 99.0
    assert write_card(evidence, "kedro run", AUDIT, TASK, {}) == first
