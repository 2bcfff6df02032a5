"""The site of `make docs`: the Markdown of this repository, and a page of the Python API for each package."""

import inspect
import logging
import os
import pkgutil
import pydoc
import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import pydantic

ROOT = Path(__file__).parents[1]
API = ROOT / "docs/reference/api"
PACKAGE = "erasediff_pipeline"
KEPT: dict[str, list[str]] = {}
"""Docstrings of attributes, by name."""

os.environ |= {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "CUDA_VISIBLE_DEVICES": ""}
os.environ["KEDRO_LOGGING_CONFIG"] = str(ROOT / "conf/logging.yml")
logging.getLogger("py.warnings").setLevel(logging.ERROR)
package = import_module(PACKAGE)
# Sphinx imports with typing.TYPE_CHECKING set, which breaks pydantic: import all modules before it does.
MODULES = [info.name for info in pkgutil.walk_packages(package.__path__, f"{PACKAGE}.")]
DOCUMENTED = [name for name in MODULES if inspect.getdoc(import_module(name))]

project = PACKAGE
author = copyright = f"the authors of {PACKAGE}"
release = package.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "docs/**.rst", "benchmarks/*.md"]
exclude_patterns = [
    path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("docs", "benchmarks")
]

myst_heading_anchors = 3
autodoc_default_options = {"members": True, "undoc-members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
nitpicky = True
# A public name of this project must lead somewhere. Those of other libraries would need the network.
nitpick_ignore_regex = [
    ("py:.*", r".*\._\w+"),
    ("py:.*", rf"(?!{PACKAGE}\.).*"),
    ("py:.*", rf"{PACKAGE}\..*\.[A-Z]\w?(_contra)?"),
]

html_theme = "pydata_sphinx_theme"
html_title = PACKAGE
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}
html_context = {"default_mode": "auto"}


def write_api() -> None:
    """A page for each package of the source, found anew: a module that moves needs no edit here."""
    shutil.rmtree(API, ignore_errors=True)
    API.mkdir()
    rooms: dict[str, list[str]] = {}
    for name in DOCUMENTED:
        parts = name.split(".")
        is_package = hasattr(import_module(name), "__path__")
        rooms.setdefault(parts[1] if len(parts) > 2 or is_package else "project", []).append(name)
    for room, names in rooms.items():
        lines = [room, "=" * len(room), ""]
        for name in names:
            short = name.removeprefix(f"{PACKAGE}.")
            if short != room:
                lines += [short, "-" * len(short), ""]
            exports = [":no-members:"] if hasattr(import_module(name), "__path__") else []
            lines += [f".. automodule:: {name}", *(f"   {option}" for option in exports), ""]
        (API / f"{room}.rst").write_text("\n".join(lines))
    table = "\n".join(f"   {room}" for room in sorted(rooms))
    (API / "index.rst").write_text(
        f"Python API\n==========\n\nA page for each package.\n\n.. toctree::\n   :maxdepth: 1\n\n{table}\n"
    )


def add_contents(app, docname: str, source: list[str]) -> None:
    """The table of contents of the site: the pages that a folder's README.md links to."""
    if docname == "docs/README":  # the first page of the folder where it is read as files
        source[0] = f"---\norphan: true\n---\n{source[0]}"
    elif docname.endswith("README"):
        links = dict.fromkeys(re.findall(r"\]\(([\w./-]+)\.md\)", source[0]))
        pages = [link for link in links if not link.startswith("../explanation")]
        if docname == "README":
            sections = ["howto", "reference", "explanation", "experiments"]
            pages = [*(f"docs/{section}/README" for section in sections), "CONTRIBUTING", "CHANGELOG"]
        if docname == "docs/reference/README":
            pages.append("api/index")
        source[0] += "\n```{toctree}\n:hidden:\n\n" + "\n".join(pages) + "\n```\n"


def keep(app, what, name, subject, options, lines: list[str]) -> None:
    """Before napoleon, which takes ``a: b`` of an attribute for a type and its description."""
    if what in ("attribute", "data", "property"):
        KEPT[name] = [*lines]


def finish(app, what, name, subject, options, lines: list[str]) -> None:
    """Attributes as they were, with the default of a setting; |x| is a size and no substitution."""
    lines[:] = KEPT.pop(name, lines)
    owner, _, key = name.rpartition(".")
    found = pydoc.locate(owner) if what == "attribute" else None
    if inspect.isclass(found) and issubclass(found, pydantic.BaseModel) and key in found.model_fields:
        default = found.model_fields[key].default
        if isinstance(default, str | int | float | tuple | None):
            lines += ["", f"Default: ``{default!r}``."]
    lines[:] = [re.sub(r"(?<!\\)\|", r"\\|", line) for line in lines]


def short_signature(app, what, name, subject, options, signature, returns):
    """Settings are listed one by one: no signature of thirty of them."""
    if what == "class" and issubclass(subject, pydantic.BaseModel):
        return "", returns
    return None


def without_validators() -> None:
    """Types of settings as a user sees them: no validators, no ranges."""
    for name in MODULES:
        module = import_module(name)
        for key, found in list(vars(module).items()):
            if get_origin(found) is Annotated:
                setattr(module, key, get_args(found)[0])
            elif (
                inspect.isclass(found) and issubclass(found, pydantic.BaseModel) and found.__module__ == name
            ):
                hints = get_type_hints(found)
                found.__annotations__ = {key: hints[key] for key in found.__annotations__}


def open_readme(app, failure) -> None:
    """The first page under the name that servers and people look for."""
    if not failure and app.builder.format == "html":
        Path(app.outdir, "index.html").write_text(
            '<meta http-equiv="refresh" content="0; url=README.html">\n'
        )


def setup(app) -> None:
    write_api()
    without_validators()
    app.connect("source-read", add_contents)
    app.connect("autodoc-process-docstring", keep, priority=400)
    app.connect("autodoc-process-docstring", finish, priority=600)
    app.connect("autodoc-process-signature", short_signature)
    app.connect("build-finished", open_readme)
