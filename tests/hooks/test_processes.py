from types import SimpleNamespace

import pytest
from kedro.io import DataCatalog
from kedro.pipeline import node, pipeline
from kedro_datasets.json import JSONDataset

from erasediff_pipeline.errors import UserError
from erasediff_pipeline.hooks import FollowFirstProcess, SyncProcesses, processes
from erasediff_pipeline.ranks import TRAINING

NAMES = ("seen", "model", "metrics")


def start(monkeypatch, rank, *tags):
    """Start a pipeline in one of two processes; whether each dataset is still on disk."""
    monkeypatch.setattr(processes, "world_size", lambda: 2)
    state = SimpleNamespace(wait_for_everyone=lambda: None)
    monkeypatch.setattr(processes, "process_state", lambda: state)
    chain = pipeline(
        [node(abs, "seen", "model", tags=tags[:1]), node(len, "model", "metrics", tags=tags[1:])]
    )
    catalog = DataCatalog({name: JSONDataset(filepath=f"{name}.json") for name in NAMES})
    (FollowFirstProcess() if rank else SyncProcesses()).before_pipeline_run(chain, catalog)
    return [isinstance(catalog.get(name), JSONDataset) for name in NAMES]


def test_of_two_processes_the_first_alone_writes(monkeypatch):
    assert start(monkeypatch, 0, TRAINING) == [True, True, True]
    assert start(monkeypatch, 1, TRAINING) == [True, False, False]


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ([], "2 processes: this pipeline trains 0 models: start one process"),
        ([TRAINING, TRAINING], "trains 2 models: train one at a time"),
    ],
)
def test_a_pipeline_without_exactly_one_training_is_refused(monkeypatch, tags, said):
    with pytest.raises(UserError, match=said):
        start(monkeypatch, 0, *tags)
