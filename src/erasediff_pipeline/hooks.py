"""Around a run: check before work begins, keep an earlier result until the new one is whole, sum up."""

import os
import shutil
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import BaseModel, ValidationError
from rich.console import Console

from erasediff_pipeline.config import Parameters
from erasediff_pipeline.data.request import split_by_request
from erasediff_pipeline.errors import InvalidParameter, MissingInput, UserError
from erasediff_pipeline.paths import PROJECT_ROOT
from erasediff_pipeline.reporting.summary import build_table

REMEDIES = {
    "base_model": "run `dvc pull`, or train it with `kedro run --pipeline=pretrain`",
    "classifier": "run `dvc pull`, or train it with `kedro run --pipeline=pretrain`",
    "images": "run `dvc pull`, or make it with `kedro run --pipeline=prepare`",
    "manifest": "run `dvc pull`, or make it with `kedro run --pipeline=prepare`",
}
NEEDED_BYTES = 64 * 2**20


def explain_validation(error: ValidationError) -> str:
    """The first problem as one line: key, value, what is allowed."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "parameters"
    if first["type"] == "extra_forbidden":
        owner: Any = Parameters
        for part in first["loc"][:-1]:
            owner = owner.model_fields[part].annotation
        return f"{key}: unknown parameter: allowed are {', '.join(owner.model_fields)}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {first['input']!r} is refused: {message}{more}"


def file_of(catalog: CatalogProtocol, name: str) -> Path | None:
    """Where a dataset is kept; None for one in memory or in MLflow."""
    path = getattr(catalog.get(name), "_filepath", None)
    return None if path is None else Path(str(path))


def relative(path: Path) -> str:
    """As the user sees it from the project's root."""
    return str(path.relative_to(PROJECT_ROOT) if path.is_relative_to(PROJECT_ROOT) else path)


class CheckFirst:
    """Refuse what cannot work, before MLflow opens a run and before anything is written."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Hold all parameters against their types."""
        try:
            self.parameters = Parameters.model_validate(context.config_loader["parameters"])
        except ValidationError as error:
            raise InvalidParameter(explain_validation(error)) from None

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Look for the inputs, hold the request against the manifest, try the places to write to."""
        for name in sorted(pipeline.inputs()):
            path = file_of(catalog, name)
            if path is not None and not catalog.exists(name):
                remedy = REMEDIES.get(name, "run the pipeline that writes it")
                raise MissingInput(f"{name}: {relative(path)} is missing: {remedy}")
        for name in sorted(pipeline.outputs() | pipeline.all_outputs()):
            path = file_of(catalog, name)
            if path is not None:
                check_writable(path)
        if "params:forget" in pipeline.inputs() and "manifest" in pipeline.inputs():
            split_by_request(catalog.load("manifest"), self.parameters.forget)
        if {"base_model", "images"} <= pipeline.inputs():
            check_shape(catalog)


def check_writable(path: Path) -> None:
    """Refuse a read-only or nearly full place; ``path`` itself need not exist yet."""
    place = path.parent
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        raise UserError(f"{relative(path)}: {relative(place)} is read-only: make it writable")
    free = shutil.disk_usage(place).free
    if free < NEEDED_BYTES:
        raise UserError(
            f"{relative(path)}: {free // 2**20} MiB are free there, {NEEDED_BYTES // 2**20} MiB are needed"
        )


def check_shape(catalog: CatalogProtocol) -> None:
    """Refuse a base model that was trained on images of another shape, or on fewer classes."""
    unet, images = catalog.load("base_model").unet, catalog.load("images")
    side = unet.config.sample_size
    height, width = (side, side) if isinstance(side, int) else side
    shape = (unet.config.in_channels, height, width)
    classes = (unet.config.num_class_embeds or 0) - 1
    if shape != images.shape or classes <= max(images.classes):
        raise MissingInput(
            f"base_model: {relative(file_of(catalog, 'base_model') or Path())} draws {shape} (C, H, W) of "
            f"{max(classes, 0)} classes, the images are {images.shape} of {max(images.classes) + 1}: run "
            "`dvc pull`, or `kedro run --pipeline=pretrain`"
        )


class FlatParameters:
    """Hand kedro-mlflow plain values, so that ``unlearn.steps`` is a column of its own in the UI."""

    @hook_impl(tryfirst=True)
    def before_node_run(self, node: Node, inputs: dict[str, Any]) -> None:
        """``inputs`` is the hooks' own copy: the node still gets the typed settings."""
        inputs.pop("parameters", None)
        for name, value in inputs.items():
            if isinstance(value, BaseModel):
                inputs[name] = value.model_dump()


class KeepEarlierResult:
    """Set each earlier output aside just before it is replaced, and put all of them back on failure.

    So what stands under ``data/`` is always of one run. A run that was killed outright is put right by
    the next one.
    """

    ASIDE = PROJECT_ROOT / "data" / ".earlier"

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Undo what a killed run has left."""
        self.catalog = catalog
        self.written: list[Path] = []
        if self.ASIDE.exists():
            self._restore()

    @hook_impl
    def before_dataset_saved(self, dataset_name: str) -> None:
        """Set the earlier one aside."""
        path = file_of(self.catalog, dataset_name)
        if path is None or path in self.written:
            return
        self.written.append(path)
        aside = self.ASIDE / relative(path)
        aside.parent.mkdir(parents=True, exist_ok=True)
        # Written down first: a path without an earlier version must go away again on failure.
        with (self.ASIDE / "written").open("a") as record:
            record.write(f"{relative(path)}\n")
        if path.exists():
            path.rename(aside)

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Put everything back."""
        self._restore()

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """The new result is whole: let go of the earlier one."""
        shutil.rmtree(self.ASIDE, ignore_errors=True)

    def _restore(self) -> None:
        record = self.ASIDE / "written"
        for name in record.read_text().splitlines() if record.exists() else []:
            path, aside = PROJECT_ROOT / name, self.ASIDE / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            if aside.exists():
                aside.rename(path)
        shutil.rmtree(self.ASIDE, ignore_errors=True)


class ShowSummary:
    """The short table at the end."""

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """One table for each method that the run measured."""
        for name in sorted(pipeline.all_outputs()):
            if name.endswith(".metrics"):
                method = name.removesuffix(".metrics")
                report = file_of(catalog, f"{method}.report")
                table = build_table(
                    catalog.load(name), catalog.load(f"{method}.run"), relative(report or Path())
                )
                Console().print(table)
