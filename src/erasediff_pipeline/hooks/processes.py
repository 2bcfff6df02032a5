"""Several processes run one pipeline: all of them train, the first one does the rest and saves everything."""

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol, MemoryDataset
from kedro.pipeline import Pipeline

from erasediff_pipeline.errors import UserError
from erasediff_pipeline.ranks import TRAINING, process_state, world_size
from erasediff_pipeline.tracking.hooks import ON_LOG


class SyncProcesses:
    """Synchronise the processes: the first one checks everything before any of them starts.

    The others, see ``FollowFirstProcess``, keep their outputs in memory.
    """

    @hook_impl(trylast=True)
    def after_context_created(self) -> None:
        """Connect the processes, once the parameters are valid."""
        if world_size() > 1:
            process_state()

    @hook_impl(trylast=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Start together: the first process has checked the inputs by now."""
        if world_size() == 1:
            return
        trainings = len(pipeline.only_nodes_with_tags(TRAINING).nodes)
        if trainings != 1:
            remedy = "train one at a time" if trainings else "start one process"
            raise UserError(f"{world_size()} processes: this pipeline trains {trainings} models: {remedy}")
        process_state().wait_for_everyone()

    @hook_impl
    def after_pipeline_run(self) -> None:
        """End together: torchrun stops a machine five minutes after another one has finished."""
        if world_size() > 1:
            process_state().wait_for_everyone()
            process_state().destroy_process_group()


class FollowFirstProcess(SyncProcesses):
    """The part of the other processes."""

    @hook_impl(tryfirst=True)  # registered after CheckInputs, so called before it
    def after_context_created(self) -> None:
        """Let the first process check, and report what is wrong, once."""
        process_state().wait_for_everyone()

    @hook_impl(trylast=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Keep outputs in memory, and log nothing."""
        for name in pipeline.all_outputs():
            catalog[name] = MemoryDataset(copy_mode="assign")
        catalog[ON_LOG] = MemoryDataset(lambda step, scalars: None, copy_mode="assign")
