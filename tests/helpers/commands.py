"""What the pages tell a reader to type, and whether it could run: parsed in process, nothing is started."""

import functools
import re
import shlex
import shutil
import tomllib
from operator import getitem

import yaml
from dvc.cli import parse_args
from kedro.framework.project import configure_project, settings
from torch.distributed.run import get_args_parser

from erasediff_pipeline.cli import cli
from erasediff_pipeline.loader import ProjectConfigLoader
from erasediff_pipeline.parameters import Parameters
from erasediff_pipeline.pipeline_registry import register_pipelines
from tests.helpers.project import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(page, language):
    """The code blocks of this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page):
    """Each line of the shell blocks, without its comment."""
    lines = "".join(blocks(page, "bash")).splitlines()
    return [shlex.join(shlex.split(line, comments=True)) for line in lines if line.strip()]


def spans(page):
    """Commands within a sentence; those with a <place> to fill in are left out."""
    found = re.findall(r"`((?:kedro|make|dvc|pip) [^`<…]+)`", page.read_text())
    return [" ".join(span.split()) for span in found]


@functools.cache
def parses(command):
    """Fail where a program, option, pipeline, parameter, stage, target or file of the command is unknown."""
    words = shlex.split(command.removeprefix("export "))
    while words and re.match(r"[A-Za-z_]+=", words[0]):
        words = words[1:]
    if words:
        check = globals().get(f"check_{words[0]}")
        assert check or shutil.which(words[0]), words[0]
        if check:
            check(words[1:])


pipelines = functools.cache(register_pipelines)


def check_kedro(arguments):
    name, *options = arguments
    if name in ("viz", "mlflow"):
        return
    given = cli.commands[name].make_context(name, options).params
    if name == "run":
        assert (given["pipeline"] or "__default__") in pipelines()
        configure_project("erasediff_pipeline")
        chosen = {"env": given["env"] or "base", "runtime_params": given["params"]}
        chosen = settings.CONFIG_LOADER_ARGS | {"default_run_env": "base"} | chosen
        Parameters(**ProjectConfigLoader(str(ROOT / "conf"), **chosen)["parameters"])


def check_make(targets):
    for target in targets:
        assert re.search(rf"^([a-z-]+ )*{target}[ :]", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def check_dvc(arguments):
    given = parse_args(arguments)
    for override in getattr(given, "set_param", None) or []:
        file, keys = override.split("=")[0].split(":")
        functools.reduce(getitem, keys.split("."), yaml.safe_load((ROOT / file).read_text()))
    targets = getattr(given, "targets", None) or []
    for target in [t for t in targets if "$" not in t and given.cmd not in ("add", "push")]:
        file, _, stage = target.rpartition(":")
        path = ROOT / target
        assert path.exists() or stage in yaml.safe_load((ROOT / (file or "dvc.yaml")).read_text())["stages"]


def check_torchrun(arguments):
    given = get_args_parser().parse_args(arguments)
    assert given.module
    assert given.training_script == "kedro"
    check_kedro(given.training_script_args)


def check_pip(arguments):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extras in re.findall(r"\[(.*?)\]", " ".join(arguments)):
        assert set(extras.split(",")) <= project["optional-dependencies"].keys(), extras


def check_paths(arguments):
    for path in arguments:
        assert "/" not in path or (ROOT / path).exists(), path


check_pytest = check_git = check_paths
