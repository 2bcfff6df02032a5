import pytest

from erasediff_pipeline.ranks import RENDEZVOUS, TOGETHER, explain_leftovers, rank, world_size

MEETING = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@pytest.fixture
def environment(monkeypatch):
    """``environment(NAME=value, …)``: these of the variables, and no others."""

    def replace(**values):
        for name in (*TOGETHER, *RENDEZVOUS):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return replace


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, (0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", **MEETING}, (1, 2)),
        ({"RANK": "3", "WORLD_SIZE": "4", **MEETING}, (3, 4)),
        ({"WORLD_SIZE": "1"}, (0, 1)),
        (MEETING, (0, 1)),
    ],
)
def test_processes_that_belong_together(environment, values, expected):
    environment(**values)
    assert explain_leftovers() is None
    assert (rank(), world_size()) == expected


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"RANK": "1"}, "RANK=1: expected a rank below WORLD_SIZE, 1: start with torchrun, or `unset RANK`"),
        ({"LOCAL_RANK": "1"}, "LOCAL_RANK=1: expected a rank below WORLD_SIZE, 1"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2: 2 processes, but RANK and MASTER_ADDR and MASTER_PORT not set"),
        ({"RANK": "1", "WORLD_SIZE": "2"}, "RANK=1, WORLD_SIZE=2: 2 processes, but MASTER_ADDR and"),
        ({"RANK": "2", "WORLD_SIZE": "2", **MEETING}, "expected a rank below WORLD_SIZE, 2"),
        ({"RANK": "x"}, "RANK=x: expected whole numbers"),
        ({"RANK": ""}, "RANK=: expected whole numbers"),
        ({"RANK": "-1", "WORLD_SIZE": "2", **MEETING}, "expected whole numbers"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "expected a rank below WORLD_SIZE, 0"),
    ],
)
def test_leftovers_of_a_shell_are_refused_and_make_no_second_process(environment, values, said):
    environment(**values)
    assert said in explain_leftovers()
    assert (rank(), world_size()) == (0, 1)
