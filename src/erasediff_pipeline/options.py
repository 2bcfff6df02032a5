"""Check the options of ``kedro run`` before Kedro does."""

from collections import Counter
from pathlib import Path
from typing import Any

import click
import yaml

from erasediff_pipeline.config.files import check_file, misread
from erasediff_pipeline.errors import InvalidParameter, did_you_mean

REFUSED = {
    "pipelines": "their checks would be of what is on disk before the run: run one after the other",
    "runner": "nodes that run at the same time would share models and random numbers",
    "is_async": "what is saved from another thread would go to another run of MLflow",
    "only_missing_outputs": "would mix the results of two runs; a stopped training goes on by itself",
    "load_versions": "no dataset of this project has versions",
}
"""Options of ``kedro run`` that are refused, and why."""


def refuse_option(option: click.Parameter, value: Any) -> None:
    """Refuse an option of ``kedro run`` with which a result would not be that of one whole run.

    Raises:
        InvalidParameter: It is one of ``REFUSED``, or names a folder of settings that does not exist.
    """
    if value and option.name in REFUSED and str(value).rpartition(".")[2] != "SequentialRunner":
        if option.name == "pipelines":
            if len(str(value).split(",")) < 2:
                return
            raise InvalidParameter(f"--pipelines={value}: {REFUSED[option.name]}")
        given = f"={value}" if isinstance(value, str) else ""
        raise InvalidParameter(f"{option.opts[0]}{given}: {REFUSED[option.name]}: leave it out")
    if value and option.name == "conf_source" and "://" not in value:
        folder = Path(value)
        if not (folder.is_file() or (folder / "base").is_dir()):  # Kedro reads archives, too
            known = [place.parent.name for place in folder.parent.glob("*/base/")]
            near = did_you_mean(folder.name, known)
            raise InvalidParameter(
                f"--conf-source={value}: expected a folder with the folder base in it, as conf{near}"
            )


def check_params(text: str) -> None:
    """Refuse ``--params`` of which a part would be lost, or read as another number than it shows.

    Raises:
        InvalidParameter: A key occurs twice, or YAML takes a number for an octal or sexagesimal one.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    keys = [key.strip() for key, _, _ in pairs]
    for key, count in Counter(keys).items():
        if count > 1:
            raise InvalidParameter(f"--params={text}: {key!r} occurs {count} times: give each key once")
        if below := [other for other in keys if other.startswith(f"{key}.")]:
            raise InvalidParameter(f"--params={text}: {key!r} would replace {below[0]!r}: give one of them")
    for key, _, value in pairs:
        read = yaml.safe_load(value) if value.strip() else ""
        if read is None and value.strip().lower() not in ("null", "~"):
            raise InvalidParameter(f"{key.strip()}: {value.strip()!r} is empty in YAML: put it in quotes")
        if read == {}:
            quoted = "write a template in quotes: \"'{}'\"" if "templates" in key else "leave it out"
            raise InvalidParameter(f"{key.strip()}: {value.strip()!r} changes nothing: {quoted}")
        if " #" in value and value.strip()[0] not in "'\"[{":
            raise InvalidParameter(
                f"{key.strip()}: YAML drops what follows ' #' in {value.strip()!r}: put it in quotes"
            )
        if said := misread(value.strip()):
            raise InvalidParameter(f"{key.strip()}: {said}")


def check_config(path: str, known: list[str], has_params: bool) -> None:
    """Refuse a file of options that Kedro would not take, or of which a part would be lost.

    Args:
        path: ``--config``.
        known: Names of the options of ``kedro run``.
        has_params: Whether ``--params`` is given, too.

    Raises:
        InvalidParameter: The file is no good, lacks the key ``run``, has an unknown option below it, or both
            have parameters.
    """
    if not Path(path).is_file():
        raise InvalidParameter(f"--config={path} does not exist: expected a file as docs/example_classes.yml")
    check_file(Path(path))
    options = (yaml.safe_load(Path(path).read_text()) or {}).get("run")
    if not isinstance(options, dict):
        raise InvalidParameter(
            f"--config={path}: expected the key `run`, and below it options of `kedro run`, such as params"
        )
    for name in options:
        if name not in known:
            near = did_you_mean(str(name), known)
            raise InvalidParameter(f"--config={path}: run: {name!r} is no option of `kedro run`{near}")
    if has_params and options.get("params"):
        raise InvalidParameter(
            f"--params: it would replace the parameters of --config={path}: write all of them in one place"
        )


def with_checked_options(command: click.Command) -> click.Command:
    """Check each option of ``kedro run`` before Kedro does; click would take the last of two in silence."""
    parse = command.parse_args

    def parse_once(context: click.Context, arguments: list[str]) -> list[str]:
        given, _, order = command.make_parser(context).parse_args(list(arguments))
        for option, count in Counter(order).items():
            if count > 1:
                how = ": put commas between its parameters" if option.name == "params" else ""
                raise InvalidParameter(f"{option.opts[0]}: given {count} times, expected once{how}")
        if given.get("config"):
            check_config(given["config"], [str(option.name) for option in command.params], "params" in given)
        return parse(context, arguments)

    def checked(option: click.Parameter, callback: Any) -> Any:
        def check(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
            refuse_option(option, value)
            try:
                if option.name == "params" and isinstance(value, str):
                    check_params(value)
                return callback(context, parameter, value) if callback else value
            except yaml.YAMLError as error:
                said = getattr(error, "problem", None) or "not YAML"
                raise InvalidParameter(
                    f"{option.opts[0]}={value}: {said}: expected key=value, with a value as in YAML: "
                    "put text with brackets or colons in quotes"
                ) from None

        return check

    command.parse_args = parse_once  # type: ignore[method-assign, assignment]
    for option in command.params:
        if option.name in {*REFUSED, "conf_source", "params"}:
            option.callback = checked(option, option.callback)
    return command
