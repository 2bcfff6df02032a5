"""The methods: one line each, the name of a file of this package.

The file holds a class with that ``name``, a ``Method`` made from its ``settings_class``. Its ``pipeline`` and
its ``parameters``, the top-level key of its settings, have the same name unless the class says otherwise.
"""

from importlib import import_module
from typing import Any, NamedTuple

from diffusers import DiffusionPipeline

from erasediff_pipeline.config.base import Settings
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.diffusion.models.registry import FAMILIES

NAMES = [
    "erasediff",
    "erasediff_robust",
    "finetune",
    "neggrad",
    "random_label",
    "salun",
    "selective_amnesia",
    "esd",
    "blindspot",
    "uce",
    "retrain",
]


class Entry(NamedTuple):
    """A method, its settings, and their names."""

    build: type[Any]
    """A ``Method``, made from its settings."""

    settings: type[Settings]

    pipeline: str
    """Name of the Kedro pipeline."""

    parameters: str
    """Top-level key of the parameters."""

    version: int
    """Raised when the results of the method change, see ``fingerprint``."""

    components: tuple[str, ...]
    """Components of ``fingerprint`` that the results depend on, besides ``data`` and ``training``."""

    classes_only: bool
    """Works on a condition as a whole: refuses a request by ids, and a comparison by ids leaves it out."""

    prompts_only: bool
    """Needs a text-to-image model."""

    closed_form: bool
    """Has no steps: it changes the weights at once, see ``training.method.ClosedForm``."""


def _find_method(name: str) -> Entry:
    """Import the method from its file."""
    found = vars(import_module(f"{__package__}.{name}")).values()
    build = next((c for c in found if isinstance(c, type) and vars(c).get("name") == name), None)
    if build is None or "settings_class" not in vars(build):
        raise ImportError(f"unlearning/{name}.py: expected a class with name = {name!r} and a settings_class")
    own = vars(build)  # not what it inherits: a subclass is another method
    names = own.get("pipeline", name), own.get("parameters", name)
    made_by = own.get("version", 1), own.get("components", ())
    flags = (getattr(build, flag, False) for flag in ("classes_only", "prompts_only", "closed_form"))
    return Entry(build, own["settings_class"], *names, *made_by, *flags)


METHODS = {name: _find_method(name) for name in NAMES}


def reason_to_leave_out(method: str, request: Request, pipeline: DiffusionPipeline) -> str | None:
    """Return why the method does not support this request or model; None if it does."""
    entry = METHODS[method]
    if request.keeps_classes and entry.classes_only:
        return "it forgets classes, not single images"
    if not request.names_words and entry.prompts_only:
        return "it is for text-to-image models"
    if entry.prompts_only and not hasattr(FAMILIES.get(type(pipeline)), "attended_tokens"):
        return "this model has no cross-attention to a text"
    return None
