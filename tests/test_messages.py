"""Commands that messages print: each could run, and what is put into one is quoted."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from erasediff_pipeline.diffusion.pretrained import find_pretrained
from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evidence.signature import sign_folder
from erasediff_pipeline.workspace import Workspace
from tests.helpers.commands import parses
from tests.helpers.project import ROOT

COMMAND = re.compile(
    r"`((?:kedro|make|dvc|pip|git|mv|python) [^`]+)`|(pip install \S+)|MLflow: (make [a-z-]+)", re.DOTALL
)
VALUES = {"kedro": "seed=1", "dvc": "pretrain"}
"""In place of a value that is put in, by program: a parameter, and a stage."""
QUOTES = ("shlex.quote", "shlex.join", "driver")


def texts(file):
    """Each string of a file but docstrings, with the expressions in it, which are `\0` in the text."""
    tree = ast.parse(file.read_text())
    skipped = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    for each in ast.walk(tree):
        if isinstance(each, ast.JoinedStr):
            skipped |= {id(part) for part in each.values}
            values = [part.value for part in each.values if isinstance(part, ast.FormattedValue)]
            yield (
                "".join(
                    getattr(part, "value", "") if isinstance(part, ast.Constant) else "\0"
                    for part in each.values
                ),
                values,
            )
        elif isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in skipped:
            yield each.value, []


def found():
    """Each command, with its file and the expressions that it is made with."""
    for file in sorted((ROOT / "src").rglob("*.py")):
        for text, values in texts(file):
            for match in COMMAND.finditer(text):
                before = text[: match.start()].count("\0")
                inside = values[before : before + match[0].count("\0")]
                yield file.name, next(filter(None, match.groups())), [ast.unparse(each) for each in inside]


FOUND = list(found())


def test_commands_are_found():
    commands = {command for _, command, _ in FOUND}
    assert {"kedro run --pipeline=prepare", "dvc pull {place}", "make pull-words", "make ui"} <= commands


@pytest.mark.parametrize(("file", "command", "values"), FOUND, ids=lambda value: str(value)[:40])
def test_a_command_in_a_message_could_run(file, command, values, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert all(value.startswith(QUOTES) for value in values)
    value = VALUES.get(command.split()[0], "package")
    parses(command.replace("\0", value).replace("{place}", value))


NAMES = ["plain", "a b", "it's", 'say "x"', "a[1]", "$HOME", "`id`", "a;b", "a\\b", "ä"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_put_into_a_command_is_one_word_of_it(name, tmp_path):
    command = Workspace(Path("data"), f"{name}/").command("audit", f"forget.prompts={name}")
    assert shlex.split(command) == [
        "kedro",
        "run",
        f"--env={name}",
        "--pipeline=audit",
        f"--params=forget.prompts={name}",
    ]
    with pytest.raises(MissingInput) as error:
        sign_folder(tmp_path, Path(name), "model")
    (command,) = re.findall("make it with `(.*)`", error.value.message)
    assert shlex.split(command) == ["kedro", "keys", f"--private-key={name}"]


@pytest.mark.parametrize("name", NAMES)
def test_the_command_that_converts_a_file_names_it_as_it_is(name, tmp_path):
    file = tmp_path / f"{name}.ckpt"
    file.touch()
    with pytest.raises(MissingInput) as error:
        find_pretrained(str(file), None)
    _, _, command = error.value.message.partition("convert it with ")
    python, option, code = shlex.split(command)
    assert (python, option) == ("python", "-c")
    constants = [each.value for each in ast.walk(ast.parse(code)) if isinstance(each, ast.Constant)]
    assert sorted(constants, reverse=True) == [str(file), str(tmp_path / name)]
