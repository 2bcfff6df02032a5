"""Around a run: check before work begins, keep an earlier result until the new one is whole, sum up."""

import fcntl
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, get_args, get_origin

import pandas as pd
from diffusers import StableDiffusionPipeline
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.table import Table

from erasediff_pipeline import paths
from erasediff_pipeline.config import CaptionSettings, Parameters, TrainingSettings
from erasediff_pipeline.data.class_names import names_in
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.prompt_list import find_images, labels_of, read_prompt_list
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.data.split import split_by_request
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.pipelines import model_of
from erasediff_pipeline.diffusion.pretrained import check_named, find_pretrained
from erasediff_pipeline.diffusion.text_to_image import TextToImage, tokenize
from erasediff_pipeline.errors import GatesFailed, InvalidParameter, MissingInput, UserError
from erasediff_pipeline.evaluation.classifiers.pretrained import check_judge
from erasediff_pipeline.evaluation.features import build_extractor
from erasediff_pipeline.evaluation.prompt_images import build_looks
from erasediff_pipeline.evidence.gates import FAILED
from erasediff_pipeline.files import LEFTOVERS, leftovers_of
from erasediff_pipeline.paths import project_root, relative
from erasediff_pipeline.ranks import TRAINING, process_state, rank, world_size
from erasediff_pipeline.reporting.audit import build_audit_table
from erasediff_pipeline.reporting.release import build_release_table, describe_signed, describe_verified
from erasediff_pipeline.reporting.summary import build_comparison, build_prompt_table, build_table
from erasediff_pipeline.training.acceleration import choose_kernels
from erasediff_pipeline.training.optimiser import optimiser_class

REMEDIES = {
    "base_model": "train it with `{pretrain}`",
    "audit.erased_model": "run the pipeline that writes it, or name another model in audit.model",
    "audit.model_metrics": "run the pipeline that makes the model",
    "audit.base_samples": "run the pipeline that makes the model: `release` removes them",
    "release.erased_model": "run the pipeline that writes it, or name another model in release.model",
    "signing.model_folder": "run the pipeline that writes it, or name another model in signing.model",
    "signing.evidence_folder": "run `{audit}` first",
    "signing.model_signature": "run `{sign}` first",
    "signing.evidence_signature": "run `{sign}` first",
    "prompts.erased_model": "run the pipeline that writes it, or name another model in prompts.model",
    "classifier": "train it with `{pretrain}`",
    "images": "make it with `{prepare}`",
    "manifest": "make it with `{prepare}`",
}
WITHOUT_TRAINING = {
    "base_model": "get it with `{load}`",
    "classifier": "make it with `{judge}`",
    "images": "draw them with `{generate}`, or read yours with `{prepare}`",
    "manifest": "draw them with `{generate}`, or read yours with `{prepare}`",
}
"""Where ``denoiser.pretrained`` names a base model that exists."""
OPTIONAL = {"source_report"}
"""Inputs that a run goes on without: classes have no names then, only numbers."""
PULLED = {
    "": "run `dvc pull`, or ",
    "tiny_text_to_image/": "run `make pull-words`, or ",
    "fashion_mnist/": "run `make fashion-mnist`, or ",
}
"""What brings the reference data and models of an environment that has any."""
TORN = (f".checkpoints/**/{LEFTOVERS}", f"04_feature/**/{LEFTOVERS}")
"""Below ``data``: what a killed run was writing outside of the catalog."""
COMMAND = re.compile(r"{(\w+)}")
NEEDED_BYTES = 64 * 2**20


def explain_validation(error: ValidationError) -> str:
    """The first problem as one line: key, value, what is allowed."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if not key:
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        owner: Any = Parameters
        for part in first["loc"][:-1]:
            # A dictionary of settings: all of its values are of one kind.
            within = get_args(owner)[1] if get_origin(owner) is dict else owner.model_fields[part].annotation
            owner = within if get_origin(within) is dict else settings_in(within)
        return f"{key}: unknown parameter: allowed are {', '.join(owner.model_fields)}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = first["msg"].removeprefix("Value error, ")
    return f"{key}: {first['input']!r} is refused: {message}{more}"


def settings_in(annotation: Any) -> Any:
    """The settings class of a field's type, which may also allow None."""
    return next((part for part in get_args(annotation) if part is not type(None)), annotation)


def file_of(catalog: CatalogProtocol, name: str) -> Path | None:
    """Where a dataset is kept; None for one in memory or in MLflow."""
    path = getattr(catalog.get(name), "_filepath", None)
    return None if path is None else Path(str(path))


class CheckFirst:
    """Refuse what cannot work, before MLflow opens a run and before anything is written."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Hold all parameters against their types, and note the environment's place in ``data/``."""
        try:
            self.parameters = Parameters.model_validate(context.config_loader["parameters"])
        except ValidationError as error:
            raise InvalidParameter(explain_validation(error)) from None
        choose_kernels(self.parameters.machine)
        paths.environment = context.config_loader["globals"]["environment"]

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Look for the inputs, hold the request against the manifest, try the places to write to."""
        # The models first: the rest is missing with them.
        for name in sorted(pipeline.inputs(), key=lambda name: (not name.endswith("_model"), name)):
            path = file_of(catalog, name)
            if path is not None and name not in OPTIONAL and not catalog.exists(name):
                raise MissingInput(
                    f"{name}: {relative(path)} is missing: {find_remedy(name, self.parameters)}"
                )
            section = name.removeprefix("params:")
            if section != name:
                check_trainings(section, getattr(self.parameters, section))
        for name in sorted(pipeline.outputs() | pipeline.all_outputs()):
            path = file_of(catalog, name)
            if path is not None:
                check_writable(path)
        # Once, for all that is held against it: real ones are of gigabytes.
        start = catalog.load("base_model") if "base_model" in pipeline.inputs() else None
        if "params:forget" in pipeline.inputs() and "manifest" in pipeline.inputs():
            manifest = catalog.load("manifest")
            split = split_by_request(
                manifest, self.parameters.forget, start.history if start else (), self.parameters.captions
            )
            if "params:audit" in pipeline.inputs():
                check_neighbours(self.parameters, manifest, split.table)
        if "base_model" in pipeline.all_outputs() and self.parameters.base != "base":
            raise InvalidParameter(
                f"base: {self.parameters.base!r} is where pretraining would write: allowed is 'base'"
            )
        denoiser = self.parameters.denoiser
        if "base_model" in pipeline.all_outputs() and denoiser.pretrained is not None:
            find_pretrained(denoiser.pretrained, denoiser.revision)
        if "base_model" in pipeline.all_outputs() and "params:pretrain" not in pipeline.inputs():
            check_named(denoiser)
        if "classifier" in pipeline.inputs():
            check_judge(catalog.load("classifier"), self.parameters.captions)
        if "params:prompts" in pipeline.inputs() and start is not None:
            check_prompts(self.parameters, start, catalog)
        if start is not None:
            model, where = model_of(start.pipeline), relative(file_of(catalog, "base_model") or Path())
            check_condition(model, where, self.parameters.captions)
            if "images" in pipeline.inputs():
                check_shape(model, where, catalog.load("images"))


def find_remedy(name: str, parameters: Parameters) -> str:
    """What brings a missing input, as commands of this environment."""
    if name == "base_model" and parameters.base != "base":
        return "run the pipeline that writes it, or leave out the parameter base"
    remedies = REMEDIES | (WITHOUT_TRAINING if parameters.denoiser.pretrained else {})
    remedy = COMMAND.sub(
        lambda found: paths.kedro_run(found[1]), remedies.get(name, "run the pipeline that writes it")
    )
    pulled = name in ("base_model", "classifier", "images", "manifest") and not parameters.denoiser.pretrained
    return (PULLED.get(paths.environment, "") if pulled else "") + remedy


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


def check_neighbours(parameters: Parameters, manifest: pd.DataFrame, table: pd.DataFrame) -> None:
    """Refuse an audit whose precision and recall of single classes have too few images."""
    neighbours, samples = parameters.evaluation.precision_neighbours, parameters.audit.samples
    retained = manifest["label"][manifest["id"].isin(table["id"][table["set"] == "retain"])].value_counts()
    if min(samples, retained.min()) <= neighbours:
        raise InvalidParameter(
            f"evaluation.precision_neighbours: {neighbours}: allowed is less than audit.samples ({samples}) "
            f"and the images of each retained class (class {retained.idxmin()} has {retained.min()})"
        )


def check_trainings(key: str, settings: Any) -> None:
    """Refuse, in these settings or within, what this device or so many processes cannot train with."""
    if isinstance(settings, TrainingSettings):
        optimiser_class(settings.optimiser, process_state().device, f"{key}.optimiser")
        settings.parts_for(world_size(), f"{key}.batch_size")
    if isinstance(settings, BaseModel):
        for name, value in settings:
            check_trainings(f"{key}.{name}", value)


def check_prompts(parameters: Parameters, start: ModelWithHistory, catalog: CatalogProtocol) -> None:
    """Refuse a list that cannot be drawn, and measures that cannot be taken."""
    settings = parameters.prompts
    if settings.file is None:
        raise InvalidParameter("prompts.file: null: needed is a CSV with the column 'prompt'")
    sampling = parameters.sampling
    rows = read_prompt_list(settings.file, parameters.seed, sampling.guidance_scale, settings.limit)
    if not isinstance(start.pipeline, StableDiffusionPipeline):
        raise InvalidParameter(
            f"prompts.file: {settings.file}: base_model is asked by class: allowed is a text-to-image model"
        )
    if "objects" in settings.measures:
        labels_of(rows, parameters.captions)
    tokenize(start.pipeline.tokenizer, list(rows["prompt"]), settings.truncate)
    judge = catalog.load("classifier")
    build_looks(settings, judge, parameters.captions)
    real = len(rows) if settings.real is None else len(find_images(settings.real))
    if "fid" in settings.measures:
        build_extractor(parameters.evaluation.fid_backend, judge)
        neighbours = parameters.evaluation.precision_neighbours
        if min(len(rows), real) <= neighbours:
            raise InvalidParameter(
                f"evaluation.precision_neighbours {neighbours}: fewer than the {len(rows)} rows and the "
                f"{real} images that they are compared with"
            )


def check_condition(model: DiffusionModel, where: str, captions: CaptionSettings) -> None:
    """Refuse words for a model that is asked by class, and a model that is asked by words without any."""
    by_words = isinstance(model, TextToImage)
    if by_words != bool(captions.words):
        there = f"words for the classes {list(captions.words)}" if captions.words else "no words"
        asked = "words: name them for each class" if by_words else "class: allowed are none"
        raise InvalidParameter(f"captions.words: {there}, and base_model {where} is asked by {asked}")


def check_shape(model: DiffusionModel, where: str, images: LabelledImages) -> None:
    """Refuse a base model that was trained on images of another shape, or on fewer classes."""
    needed = max(images.classes) + 1
    classes = getattr(model, "classes", needed)  # a text-to-image model has no number of them
    if model.image_shape != images.shape or classes < needed:
        raise MissingInput(
            f"base_model: {where} draws {model.image_shape} (C, H, W) of {classes} classes, the images are "
            f"{images.shape} of {needed}: run `dvc pull`, or `{paths.kedro_run('pretrain')}`, or "
            "mend source.side and source.rgb"
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
    the next one, from the record of what was replaced.
    """

    lock: int | None = None

    @property
    def record(self) -> Path:
        """One line for each output that was replaced, while a run lasts."""
        return project_root() / "data" / ".replaced"

    @hook_impl(tryfirst=True)  # registered after CheckFirst, so called before it: it checks what is restored
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Undo what a killed run has left, and keep a second run away."""
        self.take_lock()
        self.catalog = catalog
        self.replaced: set[Path] = set()
        self.restore()
        for pattern in TORN:
            for torn in self.record.parent.glob(pattern):
                remove(torn)

    @hook_impl
    def before_dataset_saved(self, dataset_name: str) -> None:
        """Set the earlier one aside; written down first, so that a kill in between loses nothing."""
        path = file_of(self.catalog, dataset_name)
        if path is None or path in self.replaced:
            return
        self.replaced.add(path)
        remove(aside_of(path))  # of a run that was killed at its very end
        self.record.parent.mkdir(parents=True, exist_ok=True)
        with self.record.open("a") as file:
            file.write(json.dumps({"path": str(path), "existed": path.exists()}) + "\n")
        if path.exists():
            path.rename(aside_of(path))

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self, error: Exception) -> None:
        """Put everything back, before MLflow's hook, which fails where the disk is full."""
        self.restore()

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """The new result is whole, whatever MLflow says: let go of the earlier one, its record first."""
        self.record.unlink(missing_ok=True)
        for path in self.replaced:
            remove(aside_of(path))
        self.release_lock()

    def take_lock(self) -> None:
        """Refuse to run beside another: it would take that one's record for that of a killed run.

        The system lets go of the lock when the process ends, however it ends.
        """
        if self.lock is None:
            self.record.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.record.parent, os.O_RDONLY)  # the folder itself: no file is left behind
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                raise UserError(
                    f"{relative(self.record.parent)}: another run writes there: wait, or use another clone"
                ) from None
            self.lock = lock
            # Processes that read batches would hold it for seconds after this one was killed.
            os.register_at_fork(after_in_child=self.release_lock)

    def release_lock(self) -> None:
        """At the end of the run, since a notebook goes on."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def restore(self) -> None:
        """Put back what was set aside, and take away what was not there before; may be repeated."""
        if not self.record.exists():
            return
        # The last first: a file within a folder that was replaced, too, goes before the folder comes back.
        for line in reversed(self.record.read_text().splitlines()):
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # cut short by a kill as it was written: nothing had been moved yet
            path = Path(entry["path"])
            for leftover in leftovers_of(path):
                remove(leftover)
            if aside_of(path).exists():
                remove(path)
                aside_of(path).rename(path)
            elif not entry["existed"]:
                remove(path)
        self.record.unlink()


def aside_of(path: Path) -> Path:
    """Beside ``path``, so that setting aside is a rename on the same disk."""
    return path.with_name(f".{path.name}.earlier")


def remove(path: Path) -> None:
    """A file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class GoTogether:
    """Several processes run one pipeline: all of them train, the first one does the rest and keeps all of it.

    The others, see ``Follow``, wait until it has checked everything and again until it is through, and keep
    what they make in memory.
    """

    @hook_impl(trylast=True)
    def after_context_created(self) -> None:
        """Find the others, once the parameters are known to be right."""
        if world_size() > 1:
            process_state()

    @hook_impl(trylast=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Set off together."""
        if world_size() == 1:
            return
        trainings = len(pipeline.only_nodes_with_tags(TRAINING).nodes)
        if trainings != 1:
            remedy = "run it in one" if trainings == 0 else "run its parts one after the other"
            raise UserError(f"{world_size()} processes: this pipeline has {trainings} trainings: {remedy}")
        if rank() == 0:
            process_state().wait_for_everyone()
        else:
            for name in pipeline.all_outputs():
                catalog[name] = MemoryDataset(copy_mode="assign")

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Part together: torchrun stops a machine whose neighbour has been done for five minutes."""
        if world_size() > 1:
            process_state().wait_for_everyone()
            process_state().destroy_process_group()


class Follow(GoTogether):
    """The part of the other processes."""

    @hook_impl(tryfirst=True)  # registered after CheckFirst, so called before it
    def after_context_created(self) -> None:
        """Let the first process check, and say what is wrong, once."""
        process_state().wait_for_everyone()


class ShowSummary:
    """The short table at the end."""

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """One table for each method that the run measured, for a list of prompts, and for a comparison."""
        made = pipeline.all_outputs()
        for name in sorted(made):
            method = name.removesuffix(".metrics")
            if name != method and {f"{method}.run", f"{method}.evidence"} <= made:
                report = relative(file_of(catalog, f"{method}.report") or Path())
                metrics, run = catalog.load(name), catalog.load(f"{method}.run")
                gates = catalog.load(f"{method}.evidence")["gates"]
                show(build_table(metrics, run, gates, report, classes_in(catalog)))
        if {"audit.document", "audit.evidence"} <= made:
            report = relative(file_of(catalog, "audit.report") or Path())
            gates = catalog.load("audit.evidence")["gates"]
            document = catalog.load("audit.document")
            show(build_audit_table(document, gates, report, classes_in(catalog)))
        if "release.document" in made:
            record = relative(file_of(catalog, "release.document") or Path())
            show(build_release_table(catalog.load("release.document"), record))
        if "signing.model_signature" in made:
            names = ("model_folder", "evidence_folder", "model_signature", "evidence_signature")
            places = (file_of(catalog, f"signing.{name}") or Path() for name in names)
            show(describe_signed(*map(relative, places)))
        if "signing.verified" in made:
            show(describe_verified(catalog.load("signing.verified")))
        if "prompts.metrics" in made:
            places = (file_of(catalog, f"prompts.{name}") or Path() for name in ("images", "grid"))
            show(build_prompt_table(catalog.load("prompts.metrics"), *map(relative, places)))
        if {"compare.summary", "compare.report"} <= made:
            report = relative(file_of(catalog, "compare.report") or Path())
            request = Request.model_validate(catalog.load("compare.comparison")["forget"])
            summary = catalog.load("compare.summary")
            show(build_comparison(summary, request, report, classes_in(catalog)))
        for name in sorted(made):
            if name.endswith(".evidence"):
                enforce_gates(catalog.load(name), relative(file_of(catalog, name) or Path()))


def show(what: Table | str) -> None:
    """Print as it is: a word, or the name of a class, may look like markup or like an emoji."""
    Console(markup=False, emoji=False).print(what)


def classes_in(catalog: CatalogProtocol) -> dict[int, str]:
    """What the source calls its classes, by label; none where ``prepare`` has not told."""
    return names_in(catalog.load("source_report"))


def enforce_gates(evidence: dict[str, Any], where: str) -> None:
    """End the run with status 1 where a gate failed, after its results have been kept.

    Raises:
        GatesFailed: Names each gate and by how much it was missed.
    """
    failed = [gate for gate in evidence["gates"] if gate["status"] == FAILED]
    if failed and evidence["enforced"]:
        said = "; ".join(f"{gate['figure']} {gate['limit']}: {gate['why']}" for gate in failed)
        raise GatesFailed(f"gates: {said} (all figures: {where}; gates.enforce=false only reports)")
