from types import SimpleNamespace

from kedro.io import DataCatalog
from kedro.pipeline import node, pipeline

from erasediff_pipeline.evidence.leftovers import Place
from erasediff_pipeline.hooks.leftovers import PLACES, DeclarePlaces


class Loader(dict):
    def catalog_of_any_run(self):
        return {"images": {"filepath": "data/03_primary/images", "metadata": {"holds": "images"}}}


def test_downloads_are_among_the_places():
    """Those of this source alone: `cifar10*` would be cifar100, too."""
    hook, catalog = DeclarePlaces(), DataCatalog()
    loader = Loader(parameters={"source": {"name": "cifar10"}})
    hook.after_context_created(SimpleNamespace(config_loader=loader))
    hook.before_pipeline_run(pipeline([node(list, PLACES, "found", name="find")]), catalog)
    paths = ("data/03_primary/images", "data/01_raw/cifar10", "data/01_raw/cifar10.part")
    assert catalog.load(PLACES) == [Place(path, "images") for path in paths]
