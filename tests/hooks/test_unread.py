"""Parameters of the command line that a pipeline does not read."""

import pytest
from kedro.framework.project import configure_project, pipelines

from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.hooks.unread import check_idle, check_read
from erasediff_pipeline.parameters import Parameters


@pytest.fixture(scope="module", autouse=True)
def project():
    configure_project("erasediff_pipeline")


READ = [
    ("unlearn", "forget", "unlearn", "sampling", "evaluation", "gates", "seed", "base", "tracking"),
    ("audit", "forget", "audit", "pretrain", "seed", "machine"),
    ("compare", "forget", "compare", "unlearn", "esd", "seed", "base"),
    ("unlearn", "classifier"),
    ("sign", "signing", "seed"),
    ("__default__", "source", "denoiser", "classifier", "pretrain", "unlearn", "forget"),
]


@pytest.mark.parametrize(("name", "section"), [(name, section) for name, *read in READ for section in read])
def test_a_section_that_is_read_may_be_given(name, section):
    check_read(name, {section: {}}, pipelines[name])


UNREAD = [
    ("unlearn", "source", "generate"),
    ("unlearn", "denoiser", "load"),
    ("prompts", "forget", "unlearn"),
    ("sign", "audit", "audit"),
    ("release", "audit", "audit"),
    ("prepare", "forget", "unlearn"),
]


@pytest.mark.parametrize(("name", "section", "reader"), UNREAD)
def test_a_section_that_no_node_reads_is_refused(name, section, reader):
    said = f"^{section}: `{name}` does not read it.*`{reader}`"
    with pytest.raises(InvalidParameter, match=said):
        check_read(name, {section: {"name": 1}}, pipelines[name])


def test_a_section_of_another_method_is_named(caplog):
    check_read("finetune", {"unlearn": {"steps": 2}, "finetune": {}}, pipelines["finetune"])
    assert caplog.messages == ["unlearn: `finetune` does not read it, so it changes nothing"]


IDLE = [
    ({"unlearn": {"eta": 5}}, {}),
    ({"unlearn": {"inner_steps": 5}}, {}),
    ({"unlearn": {"control": "cosine", "fixed_lambda": 3}}, {"unlearn": {"control": "cosine"}}),
    ({"forget": {"classes": 3, "templates": ["a {}"]}}, {}),
    ({"forget": {"anchor_prompt": ""}}, {}),
    ({"forget": {"duplicates": "refuse"}}, {}),
]


@pytest.mark.parametrize(("given", "settings"), IDLE)
def test_a_field_that_another_setting_makes_idle_is_refused(given, settings):
    said = r"^(unlearn|forget)\.\w+: it would change nothing, .*leave it"
    with pytest.raises(InvalidParameter, match=said):
        check_idle(given, Parameters(**settings))


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({"unlearn": {"fixed_lambda": 3}}, {}),
        ({"unlearn": {"control": "value_gap", "eta": 3}}, {"unlearn": {"control": "value_gap"}}),
        ({"forget": {"duplicates": "refuse"}}, {"forget": {"ids_file": "ids.csv"}}),
        ({"seed": 3}, {}),
    ],
)
def test_a_field_that_is_read_may_be_given(given, settings):
    check_idle(given, Parameters(**settings))
