"""Check the files of settings before Kedro reads them: what it would refuse unclearly, skip, or misread."""

import logging
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path

import yaml

from erasediff_pipeline.errors import InvalidParameter, did_you_mean
from erasediff_pipeline.paths import relative

logger = logging.getLogger(__name__)
GLOBALS = ("environment", "extends")
"""Keys of ``globals.yml``."""
OTHERS = ("dvc.yaml", "mlflow.yml", "logging.yml")
"""Files of other programs."""
NUMBERS = {
    r"[+-]?0[0-7_]*[0-7]": "write it without the leading zero",
    r"[+-]?[1-9]\d*(:[0-5]?\d)+": "write a list as [3, 5], or in quotes as '3 5'",
    r"[+-]?\d[\d_]*_[\d_]*|[+-]?0[xb][\da-fA-F_]+|\+\d+": "write the number in digits, or a name in quotes",
}
"""Forms of an integer that YAML reads, and that a reader may take for another one, or for a name."""


def misread(text: str) -> str:
    """What YAML makes of an integer that is not written plainly, and a remedy; else empty."""
    if re.fullmatch(r"[+-]?[1-9]\d{0,2}(_\d{3})+", text):
        return ""  # thousands
    for form, remedy in NUMBERS.items():
        if re.fullmatch(form, text) and str(read := yaml.safe_load(text)) != (text.lstrip("0") or "0"):
            return f"{text!r} is {read} in YAML: {remedy}"
    return ""


def check_folder(folder: Path, kinds: Iterable[str]) -> None:
    """Refuse a folder of settings with a file that is no good, or that is not read.

    Args:
        folder: Of one environment.
        kinds: How the names of files begin that Kedro reads, as ``parameters``.

    Raises:
        InvalidParameter: Names the file, and the line if there is one.
    """
    known = sorted(kinds)
    for file in sorted([*folder.rglob("*.yml"), *folder.rglob("*.yaml")]):
        if any(part.startswith(kind) for part in file.relative_to(folder).parts for kind in known):
            check_file(file)
        elif near := get_close_matches(file.stem.lower(), known, n=1):
            name = f"{near[0]}.yml or {near[0]}_<…>.yml"
            raise InvalidParameter(f"{relative(file)} is not read: name it {name}")
        elif file.name not in OTHERS:
            logger.warning("%s is not read: names begin with %s", relative(file), ", ".join(known))


def check_environment(folder: Path) -> None:
    """Refuse an environment whose data and results would replace those of another one.

    Args:
        folder: Of the environment, as ``conf/icons``; its ``globals.yml`` must have ``environment: icons/``,
            or an empty one to work on the data of ``conf/base``.

    Raises:
        InvalidParameter: It says something else, ``extends`` names no other environment, or it has another
            key that is like one of these.
    """
    file = folder / "globals.yml"
    said = (yaml.safe_load(file.read_text()) or {}) if file.exists() else {}
    place = said.get("environment")
    if place not in (f"{folder.name}/", ""):
        raise InvalidParameter(
            f"{relative(file)}: environment: {place!r}: expected '{folder.name}/', or '' to use and replace "
            "the data and results of conf/base"
        )
    for key in said:  # others are for a catalog of one's own
        if key not in GLOBALS and (near := did_you_mean(str(key).lower(), GLOBALS)):
            raise InvalidParameter(f"{relative(file)}: {key!r} is not read{near}: rename it")
    others = sorted(place.name for place in folder.parent.iterdir() if place.is_dir() and place != folder)
    if (parent := said.get("extends")) is not None and parent not in others:
        near = did_you_mean(str(parent), others)
        raise InvalidParameter(
            f"{relative(file)}: extends: {parent!r}: expected another environment{near}: "
            f"one of {', '.join(others)}"
        )


def check_file(file: Path) -> None:
    """Refuse a file of YAML that has a fault.

    Raises:
        InvalidParameter: It is no YAML of keys and values, has a key twice, or a number of ``NUMBERS``.
    """
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        fault = f"is not UTF-8 (byte {error.start}): save it as UTF-8"
        raise InvalidParameter(f"{relative(file)} {fault}") from None
    except yaml.MarkedYAMLError as error:
        raise _at(file, error.problem_mark, str(error.problem)) from None
    except yaml.YAMLError as error:
        raise InvalidParameter(f"{relative(file)}: {' '.join(str(error).split())}") from None
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise _at(file, root.start_mark, "expected <key>: <value>")
    for node, fault in _faults(root):
        raise _at(file, node.start_mark, fault)


def _at(file: Path, mark: yaml.Mark | None, fault: str) -> InvalidParameter:
    line = f", line {mark.line + 1}" if mark else ""
    return InvalidParameter(f"{relative(file)}{line}: {fault}")


def _faults(node: yaml.Node) -> Iterator[tuple[yaml.Node, str]]:
    """Walk through a document."""
    if isinstance(node, yaml.ScalarNode):
        if node.style is None and (said := misread(node.value)):
            yield node, said
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _faults(value)
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                yield key, "expected a key of text: put a value with braces in quotes"
            elif key.value in seen:
                yield key, f"the key {key.value!r} occurs twice"
            else:
                seen.add(key.value)
            yield from _faults(value)
