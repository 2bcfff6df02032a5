"""Check what a run needs before it begins."""

import logging
import os
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from pydantic import ValidationError

from erasediff_pipeline.audits.checks import check_neighbours
from erasediff_pipeline.config.explain import explain_validation
from erasediff_pipeline.data.manifest import check_manifest
from erasediff_pipeline.data.split import split_by_request
from erasediff_pipeline.diffusion.checks import check_condition, check_shape, check_train_set, check_works
from erasediff_pipeline.diffusion.pipelines import wrap
from erasediff_pipeline.diffusion.pretrained import check_named, find_pretrained
from erasediff_pipeline.diffusion.sampling import check_sampler
from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.evaluation.checks import check_prompts
from erasediff_pipeline.evaluation.classifiers.accuracy import check_judge
from erasediff_pipeline.evaluation.classifiers.pretrained import check_classifier
from erasediff_pipeline.hooks.datasets import file_of, place_of
from erasediff_pipeline.hooks.remedies import find_remedy
from erasediff_pipeline.parameters import Parameters
from erasediff_pipeline.paths import check_encoding, check_root, check_writable
from erasediff_pipeline.ranks import explain_leftovers
from erasediff_pipeline.training.acceleration import choose_kernels
from erasediff_pipeline.training.checks import check_trainings

logger = logging.getLogger(__name__)
OPTIONAL = {"audit.folder", "release.model_run"}
"""Inputs that a run does without, or makes itself."""


class CheckInputs:
    """Refuse invalid input before MLflow opens a run and before anything is written."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Validate the project's place and all parameters, and that this process knows of the others."""
        check_root()
        check_encoding()
        if leftovers := explain_leftovers():
            raise InvalidParameter(leftovers)
        try:
            self.parameters = Parameters.model_validate(context.config_loader["parameters"])
        except ValidationError as error:
            raise InvalidParameter(explain_validation(error, Parameters)) from None
        choose_kernels(self.parameters.machine)
        if (name := os.environ.get("KEDRO_ENV")) and name == context.env:
            logger.warning("KEDRO_ENV=%s chooses the environment of this run", name)
        self.environment = context.config_loader["globals"]["environment"]

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Check that inputs exist, that outputs can be written, and that settings, data and models fit."""
        inputs, parameters = pipeline.inputs(), self.parameters
        self.inputs, self.outputs = inputs, pipeline.all_outputs()
        _check_existence(inputs, catalog, parameters, self.environment)
        for name in sorted(inputs):
            if name.startswith("params:"):
                section = name.removeprefix("params:")
                check_trainings(section, getattr(parameters, section))
        for name in sorted(pipeline.all_outputs()):
            path = file_of(catalog, name)
            if path is not None:
                check_writable(path)
        if "base_model" in pipeline.all_outputs():
            _check_base(parameters, trained="params:pretrain" in inputs)
        base: Any = catalog.load("base_model") if "base_model" in inputs else None
        classifier: Any = catalog.load("classifier") if "classifier" in inputs else None
        if {"params:forget", "manifest"} <= inputs:
            manifest = catalog.load("manifest")
            if "images" in inputs:
                check_manifest(manifest, catalog.load("images"), place_of(catalog, "manifest"))
            earlier = base.history if base is not None else ()
            split = split_by_request(manifest, parameters.forget, earlier, parameters.captions)
            if "params:audit" in inputs:
                neighbours = parameters.evaluation.precision_neighbours
                check_neighbours(neighbours, parameters.audit.samples, manifest, split.table)
        for name in sorted(inputs):
            if name.endswith("_model") and catalog.exists(name):
                model = base if name == "base_model" else catalog.load(name)
                check_works(wrap(model.pipeline), place_of(catalog, name), name)
        if base is not None:
            model, where = wrap(base.pipeline), place_of(catalog, "base_model")
            check_condition(model, where, parameters.captions)
            check_sampler(model, parameters.sampling)
            if "images" in inputs:
                check_shape(model, where, catalog.load("images"))
            if "manifest" in inputs:
                by_ids = parameters.forget.ids_file is not None
                check_train_set(base.trained_on, where, catalog.load("manifest"), by_ids)
        if classifier is not None:
            check_classifier(classifier, parameters.captions)
            if catalog.exists("images") and catalog.exists("manifest"):  # `prompts` has a judge alone
                check_judge(
                    classifier,
                    place_of(catalog, "classifier"),
                    catalog.load("images"),
                    catalog.load("manifest"),
                    parameters.classifier,
                    parameters.seed,
                )
        if "params:prompts" in inputs and base is not None:
            check_prompts(
                parameters.prompts,
                parameters.sampling,
                parameters.evaluation,
                parameters.captions,
                parameters.seed,
                base.pipeline,
                classifier,
            )

    @hook_impl
    def after_node_run(self, outputs: dict[str, Any], catalog: CatalogProtocol) -> None:
        """Check what is made in the run as soon as it is there, before a base model is trained."""
        if "params:forget" in self.inputs and "manifest" in outputs:
            split_by_request(outputs["manifest"], self.parameters.forget, (), self.parameters.captions)
        images = "images" in self.inputs | self.outputs  # of this run: others may be of an earlier model
        if images and "base_model" in outputs and self.parameters.denoiser.pretrained:
            model, where = wrap(outputs["base_model"].pipeline), place_of(catalog, "base_model")
            check_condition(model, where, self.parameters.captions)
            check_shape(model, where, catalog.load("images"))


def _check_existence(
    inputs: set[str], catalog: CatalogProtocol, parameters: Parameters, environment: str
) -> None:
    """Refuse to run without an input.

    Raises:
        MissingInput: Names it, its place and a command that makes it.
    """
    # The models first: the rest is missing with them.
    for name in sorted(inputs, key=lambda name: (not name.endswith("_model"), name)):
        if name not in OPTIONAL and file_of(catalog, name) is not None and not catalog.exists(name):
            place = place_of(catalog, name)
            remedy = find_remedy(name, place, parameters, environment)
            raise MissingInput(f"{name}: {place} is missing: {remedy}")


def _check_base(parameters: Parameters, trained: bool) -> None:
    """Refuse to overwrite another model by a base model, and to load one that cannot be found.

    Args:
        parameters: All of them.
        trained: Whether the pipeline trains a base model if none is named.

    Raises:
        InvalidParameter: ``base`` names another model, or no base model is named.
        MissingInput: The named base model cannot be found.
    """
    if parameters.base != "base":
        raise InvalidParameter(
            f"base: {parameters.base!r}: pretraining would overwrite this model: use 'base'"
        )
    denoiser = parameters.denoiser
    if denoiser.pretrained is not None:
        find_pretrained(denoiser.pretrained, denoiser.revision)
    elif not trained:
        check_named(denoiser)
