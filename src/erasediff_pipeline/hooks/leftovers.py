"""Tell ``release`` what the catalog's places may hold of the forgotten data."""

from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol, MemoryDataset
from kedro.pipeline import Pipeline

from erasediff_pipeline.evidence.leftovers import Place, read_places

PLACES = "release.places"


class DeclarePlaces:
    """Hand ``release`` the catalog, which nodes cannot see."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the loader, which knows the environment."""
        self.loader: Any = context.config_loader

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Add the places to the catalog, if the pipeline asks for them."""
        if PLACES in pipeline.inputs():
            source = self.loader["parameters"]["source"]["name"]
            downloads = [Place(f"data/01_raw/{source}{part}", "images") for part in ("", ".part")]
            catalog[PLACES] = MemoryDataset([*read_places(self.loader.catalog_of_any_run()), *downloads])
