"""The order in which Kedro calls the hooks, which decides what each of them finds."""

import pytest
from kedro.framework.hooks.manager import _create_hook_manager, _register_hooks

from erasediff_pipeline.settings import HOOKS


@pytest.mark.parametrize(
    ("hook", "first", "last"),
    [
        ("after_context_created", ["CheckInputs"], ["SyncProcesses"]),
        (
            "before_pipeline_run",
            ["RollBack", "CheckPart", "CheckRead", "LoadOnce", "CheckInputs"],
            ["SyncProcesses"],
        ),
        ("on_pipeline_error", ["RollBack"], []),
        ("after_pipeline_run", ["RollBack"], ["ShowSummary", "EnforceGates"]),
    ],
)
def test_the_order_of_the_hooks(hook, first, last):
    manager = _create_hook_manager()
    _register_hooks(manager, HOOKS)
    called = [type(each.plugin).__name__ for each in reversed(getattr(manager.hook, hook).get_hookimpls())]
    assert called[: len(first)] == first
    assert called[len(called) - len(last) :] == last
