from unittest.mock import Mock

from diffusers import DiffusionPipeline
from kedro.framework.hooks.manager import _create_hook_manager, _register_hooks
from kedro.io import DataCatalog
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner

from erasediff_pipeline.catalog import PipelineFolder
from erasediff_pipeline.hooks import CheckInputs, LoadOnce
from erasediff_pipeline.parameters import Parameters


def test_a_base_model_is_loaded_once_a_run_and_freed_after_its_last_reader(unet_model, tmp_path, monkeypatch):
    unet_model().to_pipeline().save_pretrained(tmp_path)
    load = Mock(wraps=DiffusionPipeline.from_pretrained)
    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", load)
    catalog = DataCatalog({"base_model": PipelineFolder(str(tmp_path))})
    cached, seen = [], []

    def read(model, *_):
        """Note which model it is, and whether it is kept for later."""
        seen.append(model)
        return "read"

    def read_nothing(*_):
        cached.append(bool(catalog["base_model"].load.cache_info().currsize))
        return "done"

    steps = [
        (read, "base_model", "first"),
        (read_nothing, "first", "between"),
        (read, ["base_model", "between"], "second"),
        (read_nothing, "second", "after"),
    ]
    chain = pipeline([node(*step, name=step[-1]) for step in steps])
    check = CheckInputs()
    check.parameters, check.environment = Parameters(), ""
    manager = _create_hook_manager()
    _register_hooks(manager, [check, LoadOnce()])
    manager.hook.before_pipeline_run(run_params={}, pipeline=chain, catalog=catalog)
    SequentialRunner().run(chain, catalog, manager)
    assert load.call_count == 1
    assert seen[0] is seen[1]
    assert cached == [True, False]
