"""The short table at the end of a run."""

from functools import partial

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from rich.console import Console
from rich.table import Table

from erasediff_pipeline.data.class_names import names_of
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.hooks.datasets import place_of
from erasediff_pipeline.reporting.audit import build_audit_table
from erasediff_pipeline.reporting.release import build_release_table, describe_signed, describe_verified
from erasediff_pipeline.reporting.summary import build_comparison, build_prompt_table, build_table


class ShowSummary:
    """Show what a run has made, and where it is."""

    @hook_impl(trylast=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Print one table for each method measured, audit, release, prompt list and comparison."""
        made = pipeline.all_outputs()

        place = partial(place_of, catalog)

        def classes() -> dict[int, str]:
            return names_of(catalog.load("manifest"))

        for name in sorted(made):
            method = name.removesuffix(".metrics")
            if name != method and {f"{method}.run", f"{method}.evidence"} <= made:
                metrics, run = catalog.load(name), catalog.load(f"{method}.run")
                gates = catalog.load(f"{method}.evidence")["gates"]
                _show(build_table(metrics, run, gates, place(f"{method}.report"), classes()))
        if {"audit.document", "audit.evidence"} <= made:
            gates = catalog.load("audit.evidence")["gates"]
            _show(build_audit_table(catalog.load("audit.document"), gates, place("audit.report"), classes()))
        if "release.document" in made:
            _show(build_release_table(catalog.load("release.document"), place("release.document")))
        if "signing.model_signature" in made:
            names = ("model_folder", "evidence_folder", "model_signature", "evidence_signature")
            _show(describe_signed(*(place(f"signing.{name}") for name in names)))
        if "signing.verified" in made:
            _show(describe_verified(catalog.load("signing.verified")))
        if "prompts.metrics" in made:
            places = (place(f"prompts.{name}") for name in ("images", "grid"))
            _show(build_prompt_table(catalog.load("prompts.metrics"), *places))
        if {"compare.summary", "compare.report"} <= made:
            request = Request.model_validate(catalog.load("compare.comparison")["forget"])
            table = build_comparison(
                catalog.load("compare.summary"), request, place("compare.report"), classes()
            )
            _show(table)


def _show(what: Table | str) -> None:
    """Print it literally: a word or a class name may look like markup or like an emoji."""
    Console(markup=False, emoji=False).print(what)
