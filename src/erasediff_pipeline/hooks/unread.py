"""Refuse a parameter of the command line that the run would not read."""

import logging
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from erasediff_pipeline.config.base import Settings
from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.parameters import Parameters
from erasediff_pipeline.unlearning.registry import METHODS

EVERY_RUN = ("seed", "base", "machine", "report", "tracking")
"""What all runs may be given alike."""
SUBJECT = ("source", "generate", "denoiser", "forget", "prompts")
"""Sections that say what a run works on: unread, they are refused; others, such as a method's, are named."""
MODEL = ("audit", "release", "signing")
"""Sections that name a model: pipelines that work on a finished model refuse those of another one."""
FINISHED = ("audit", "release", "sign", "verify")
TRAINED_BY = {"audit": ("pretrain", *(entry.parameters for entry in METHODS.values()))}
"""Sections that nodes take from all parameters together, by pipeline."""
logger = logging.getLogger(__name__)


class CheckRead:
    """Refuse what was typed for nothing: a user would take the result for one of these settings."""

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Compare ``--params`` with the sections that the nodes read, and with what these read of them."""
        name = (run_params["pipeline_names"] or ["__default__"])[0]
        if given := run_params["runtime_params"]:
            check_read(name, given, pipeline)
            check_idle(given, Parameters.model_validate(catalog.load("parameters")))


def check_read(name: str, given: dict[str, Any], pipeline: Pipeline) -> None:
    """Refuse given parameters that no node reads, or warn of them, see ``SUBJECT``.

    Args:
        name: Of the pipeline.
        given: From the command line, nested.
        pipeline: Its nodes that run.

    Raises:
        InvalidParameter: Names the parameter, and pipelines that read it.
    """
    read = {*_sections(pipeline), *EVERY_RUN, *TRAINED_BY.get(name, ())}
    if "classifier" in pipeline.inputs():
        read.add("classifier")  # for the check of the judge
    refused = (*SUBJECT, *MODEL) if name in FINISHED else SUBJECT
    for section in given:
        if section in Parameters.model_fields and section not in read:
            others = [other for other, nodes in pipelines.items() if section in _sections(nodes)]
            readers = ", ".join(f"`{other}`" for other in others if other not in ("__default__", name))
            said = f"{section}: `{name}` does not read it, so it changes nothing"
            if section in refused:
                raise InvalidParameter(f"{said}: leave it out, or run a pipeline that does: {readers}")
            logger.warning(said)


def check_idle(given: dict[str, Any], parameters: Parameters) -> None:
    """Refuse a given field that another setting makes idle.

    Args:
        given: From the command line, nested.
        parameters: All of them.

    Raises:
        InvalidParameter: Names the field, and why.
    """
    for section, fields in given.items():
        settings = getattr(parameters, section, None)
        idle = settings.unread() if isinstance(settings, Settings) else {}
        for field in fields if isinstance(fields, dict) else ():
            if field in idle:
                raise InvalidParameter(
                    f"{section}.{field}: it would change nothing, {idle[field]}: leave it out"
                )


def _sections(pipeline: Pipeline) -> set[str]:
    return {name.removeprefix("params:") for name in pipeline.inputs() if name.startswith("params:")}
