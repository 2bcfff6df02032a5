"""``kedro run --pipeline=audit``: is it really gone? As a user types it."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from erasediff_pipeline.config import GateSettings
from tests.helpers.project import QUICK, TINY, configure, copy_clone

SMALL = {
    "samples": 10,
    "bootstrap": 100,
    "relearning": {"steps": 2, "images": 8, "batch_size": 8},
    "inversion": {"steps": 2, "restarts": 1, "batch_size": 8},
}
EVALUATION = {**TINY["evaluation"], "membership_timesteps": 2, "membership_noises": 1}


@pytest.fixture(scope="module")
def small(project, tmp_path_factory):
    """A project whose settings are whole but small."""
    target = copy_clone(project, tmp_path_factory.mktemp("audit") / "project")
    configure(target, {**TINY, "evaluation": EVALUATION, "audit": SMALL})
    text = target / "conf/tiny_text_to_image/parameters.yml"
    settings = yaml.safe_load(text.read_text())
    for name in ("unlearn", "pretrain"):
        settings[name] = {**settings.get(name, {}), "steps": 2, "batch_size": 8}
    text.write_text(yaml.safe_dump({**settings, "evaluation": EVALUATION, "audit": SMALL}))
    return target


def read(project, environment="."):
    folder = project / "data/08_reporting" / environment / "audit/erasediff"
    return folder, json.loads((folder / "audit.json").read_text())


def test_on_the_base_model_every_audit_finds_the_class(audited):
    """The positive control; that of membership is a model that has learnt its images by heart, in
    ``evaluation/test_membership.py``: this one has not."""
    base = read(audited[0])[1]["models"]["base"]
    assert base["relearning"]["forgotten"]["forget_accuracy"]["0"] >= 0.9
    assert base["relearning"]["retained"]["steps_to_half"] == 0
    assert base["inversion"]["0"]["best_from_random"] >= 0.9
    assert base["leakage"]["unconditional"] >= 0.05
    assert base["damage"]["worst"] >= 0.9


def test_on_the_retrained_model_none_does(audited):
    """The negative control; a few steps of relearning do not bring it back, either."""
    base, retrained = (read(audited[0])[1]["models"][which] for which in ("base", "retrained"))
    assert retrained["inversion"]["0"]["best"] <= base["inversion"]["0"]["best"] - 0.2
    assert retrained["leakage"]["unconditional"] <= 0.02
    assert retrained["relearning"]["forgotten"]["forget_accuracy"]["0"] <= 0.1
    assert retrained["relearning"]["forgotten"]["forget_accuracy"]["1"] <= 0.1
    assert max(retrained["relearning"]["retained"]["forget_accuracy"].values()) <= 0.25
    assert retrained["leakage"]["retained"] <= 0.05
    assert retrained["membership"]["auc"] <= 0.6


def test_the_retrained_model_that_was_pulled_is_not_trained_again(audited):
    assert "/60 [" in audited[1].output  # the bars of trainings have their steps
    assert "/2500 [" not in audited[1].output


def test_the_tables_say_what_the_document_says(audited):
    folder, document = read(audited[0])
    relearning = pd.read_csv(folder / "relearning.csv")
    assert relearning.groupby(["model", "taught"])["step"].apply(list).map(str).unique() == "[0, 1, 2, 4]"
    inversion = pd.read_csv(folder / "inversion.csv")
    for model, found in document["models"].items():
        best = inversion["forget_accuracy"][inversion["model"] == model].max()
        assert found["inversion"]["0"]["best"] == pytest.approx(best, abs=1e-5)
    assert len(pd.read_csv(folder / "damage.csv")) == 3 * 9


def test_table_and_figure(audited):
    folder, _ = read(audited[0])
    for words in (
        "audit of erasediff",
        "steps to relearn half",
        "inversion, class 0",
        "membership AUC",
        "gates: 10 passed",
        "report.html",
    ):
        assert words in audited[1].output
    assert np.asarray(Image.open(folder / "audit.png").convert("L")).std() > 10


def test_the_models_are_as_they_were(audited, unlearned):
    for place in ("data/06_models/erasediff", "data/06_models/base"):
        files = [sorted((root / place).rglob("*.safetensors")) for root in (audited[0], unlearned.project)]
        assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]


def test_a_word_is_audited_by_the_same_files(small, quick_run):
    for pipeline in ("unlearn", "audit"):
        quick_run(small, "--env=tiny_text_to_image", f"--pipeline={pipeline}", f"--params={QUICK}")
    folder, document = read(small, "tiny_text_to_image")
    assert set(document["models"]) == {"base", "erased", "retrained"}
    assert set(document["models"]["erased"]["inversion"]) == {"3"}
    assert document["not_checked"] == []
    evidence = json.loads((folder / "evidence.json").read_text())
    checked = {gate["figure"] for gate in evidence["gates"] if gate["status"] in ("passed", "failed")}
    assert checked == set(GateSettings().limits)
    assert quick_run.command(small, "keys").code == 0
    for pipeline in ("sign", "verify", "release"):
        quick_run(small, "--env=tiny_text_to_image", f"--pipeline={pipeline}")
    assert not (small / "data/07_model_output/tiny_text_to_image/erasediff/base_samples").exists()


def test_single_images_are_audited_where_they_can_be(small, quick_run, tmp_path):
    own = copy_clone(small, tmp_path / "project")
    request = "forget.ids_file=docs/example_ids.csv"
    for pipeline in ("unlearn", "audit"):
        run = quick_run(own, f"--pipeline={pipeline}", f"--params={request},audit.retrained=false")
    document = read(own)[1]
    assert [line.split(":")[0] for line in document["not_checked"]] == [
        "retrained",
        "relearning",
        "inversion",
        "leakage",
    ]
    assert 0 <= document["models"]["erased"]["membership"]["auc"] <= 1
    assert "not checked: inversion" in run.output


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("audit.model=esd", ("audit.erased_model: data/06_models/esd is missing",)),
        (
            "forget.classes=3",
            ("audit.model: 'erasediff' has not been asked to forget class 3", "but class 0"),
        ),
        ("base=erasediff,forget.classes=1", ("base: 'erasediff' has the weights", "was made of")),
        (
            "audit.samples=10,evaluation.precision_neighbours=12",
            ("evaluation.precision_neighbours: 12", "audit.samples (10)"),
        ),
        ("audit.relearning.ema_decay=0.9", ("audit.relearning.ema_decay", "less than or equal to 0")),
    ],
)
def test_a_bad_input_is_one_line_and_nothing_is_lost(audited, quick_run, params, said):
    quick_run.refuses(audited[0], "--pipeline=audit", f"--params={params}", said=said)


def test_every_method_on_a_digit_makes_rows(project, quick_run, tmp_path):
    """With one method beside EraseDiff."""
    own = copy_clone(project, tmp_path / "project")
    settings = {**TINY, "evaluation": EVALUATION, "audit": SMALL}
    (own / "conf/sweep/parameters.yml").write_text(yaml.safe_dump(settings))
    table = tmp_path / "table.csv"
    command = ["benchmarks/audits.py", "--digits", "4", "--methods", "finetune", "--output", table]
    quick_run.script(own, *command)
    rows = pd.read_csv(table)
    assert set(rows["model"]) == {"base", "erasediff", "retrain", "finetune"}
    assert set(rows["digit"]) == {4}
    text = table.with_suffix(".md").read_text()
    assert "Unfinished: only 4." in text
    assert "| `finetune` | 1 |" in text
