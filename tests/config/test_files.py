"""Files of settings that Kedro would refuse unclearly, skip, or misread."""

import re

import pytest

from erasediff_pipeline.config.files import check_environment, check_file, check_folder, misread
from erasediff_pipeline.errors import InvalidParameter
from tests.helpers.project import ROOT
from tests.helpers.refusals import check, refused

KINDS = ("catalog", "parameters", "credentials", "globals")
TAKEN = "taken"
FILES = {
    "": TAKEN,
    "# nothing yet\n": TAKEN,
    "seed: 3\nforget:\n  classes: [flags, '010']\n": TAKEN,
    "unlearn: {steps: 0, learning_rate: 0.0, batch_size: 00, inner_steps: 03}": TAKEN,
    "base: ${globals:environment}\ntimes: '1:30'\n": TAKEN,
    "forget:\n  classes: [010]\n": refused("line 2", "'010' is 8 in YAML", "without the leading zero"),
    "unlearn:\n  steps: 1:30\n": refused("line 2", "'1:30' is 90 in YAML", "[3, 5]"),
    "seed: 1\nunlearn: {}\nseed: 2\n": refused("line 3", "the key 'seed' occurs twice"),
    "unlearn:\n  steps: 1\n  steps: 2\n": refused("line 3", "the key 'steps' occurs twice"),
    "unlearn:\n\tsteps: 3\n": refused("line 2", "cannot start any token"),
    "forget: {classes: [3\n": refused("line 2", "expected ',' or ']'"),
    "seed: 1\n---\nseed: 2\n": refused("line 2", "another document"),
    "base: {{ model }}\n": refused("line 1", "expected a key of text", "in quotes"),
    "- seed: 1\n": refused("line 1", "expected <key>: <value>"),
    "seed = 1\n": refused("line 1", "expected <key>: <value>"),
    "base: @model\n": refused("line 1", "cannot start any token"),
    "base: *other\n": refused("line 1", "undefined alias"),
    "base: café\n".encode("latin-1"): refused("is not UTF-8 (byte 9)", "save it as UTF-8"),
    "seed: 1\n".encode("utf-16"): refused("is not UTF-8 (byte 0)", "save it as UTF-8"),
    b"seed: 1\x00\n": refused("parameters.yml", "special characters are not allowed"),
}
"""What a file of parameters holds → whether it is read."""


@pytest.mark.parametrize("content", FILES, ids=range(len(FILES)))
def test_a_file(tmp_path, content):
    file = tmp_path / "parameters.yml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    check(lambda: check_file(file) or TAKEN, FILES[content])


NAMES = {
    "parameters.yml": TAKEN,
    "parameters_mine.yml": TAKEN,
    "catalog.yaml": TAKEN,
    "dvc.yaml": TAKEN,
    "notes.yml": TAKEN,
    "parameters/mine.yml": TAKEN,
    "params.yml": refused("params.yml is not read", "parameters.yml"),
    "Parameters.yml": refused("Parameters.yml is not read", "parameters.yml"),
    "parameter.yaml": refused("parameter.yaml is not read", "parameters.yml"),
    "global.yml": refused("global.yml is not read", "globals.yml"),
}
"""Name of a file of settings → whether it is read, or nobody expects it."""


@pytest.mark.parametrize("name", NAMES)
def test_a_name(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("seed: 1\n")
    check(lambda: check_folder(tmp_path, KINDS) or TAKEN, NAMES[name])


ENVIRONMENTS = {
    "environment: mine/\n": TAKEN,
    "environment: ''\n": TAKEN,
    "environment: mine/\nextends: icons\n": TAKEN,
    "environment: mine/\ndata_root: /mnt/data\n": TAKEN,
    None: refused("globals.yml: environment: None", "expected 'mine/'", "replace the data and results"),
    "": refused("environment: None", "expected 'mine/'"),
    "extends: icons\n": refused("environment: None", "expected 'mine/'"),
    "environment: mine\n": refused("environment: 'mine'", "expected 'mine/'"),
    "environment: icons/\n": refused("environment: 'icons/'", "expected 'mine/'"),
    "environment: null\n": refused("environment: None", "expected 'mine/'"),
    "environment: ../mine/\n": refused("environment: '../mine/'", "expected 'mine/'"),
    "environment: '*/'\n": refused("environment: '*/'", "expected 'mine/'"),
    "environment: mine/\nextends: [icons]\n": refused("extends: ['icons']", "another environment"),
    "environment: mine/\nextends: icon\n": refused("extends: 'icon'", "did you mean 'icons'?"),
    "environment: mine/\nextends: mine\n": refused("extends: 'mine'", "another environment", "icons"),
    "environment: mine/\nextend: icons\n": refused("'extend' is not read", "did you mean 'extends'?"),
    "environment: mine/\nExtends: icons\n": refused("'Extends' is not read", "did you mean 'extends'?"),
}
"""``globals.yml`` of the environment ``mine`` → whether it is used."""


@pytest.mark.parametrize("content", ENVIRONMENTS)
def test_an_environment_of_ones_own(tmp_path, content):
    for name in ("mine", "icons"):
        (tmp_path / name).mkdir()
    if content is not None:
        (tmp_path / "mine/globals.yml").write_text(content)
    check(lambda: check_environment(tmp_path / "mine") or TAKEN, ENVIRONMENTS[content])


def test_a_file_is_checked_if_it_is_read(tmp_path):
    (tmp_path / "parameters").mkdir()
    for name in ("notes.yml", "parameters/mine.yml"):
        (tmp_path / name).write_text("a: 1\na: 2\n")
    with pytest.raises(InvalidParameter, match=re.escape("parameters/mine.yml, line 2: the key 'a' occurs")):
        check_folder(tmp_path, KINDS)


def test_a_file_that_nobody_reads_is_named(tmp_path, caplog):
    for name in ("forget.yml", "dvc.yaml"):
        (tmp_path / name).touch()
    check_folder(tmp_path, KINDS)
    (said,) = caplog.messages
    assert said.endswith("forget.yml is not read: names begin with catalog, credentials, globals, parameters")


def test_the_projects_own_files_are_fine():
    for folder in (ROOT / "conf").glob("*/"):
        check_folder(folder, KINDS)
        if folder.name not in ("base", "local"):
            check_environment(folder)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        *(("10", ""), ("0", ""), ("007", ""), ("-010", "-8"), ("3:5:1", "11101"), ("-3", "")),
        *(("1_0", "10"), ("1_000", ""), ("+1", "1"), ("0x1F", "31"), ("0b11", "3"), ("cat_1", "")),
    ],
)
def test_numbers_of_another_base(text, read):
    assert misread(text).partition(" is ")[2].partition(" in YAML")[0] == read
