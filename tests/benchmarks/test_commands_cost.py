import runpy
import sys

import pytest
from kedro.pipeline.node import Node

import commands_cost
from tests.helpers.project import ROOT


def test_a_split_is_measured(capsys):
    commands_cost.print_split(10_000)
    seconds, mebibytes = map(float, capsys.readouterr().out.split())
    assert 0 < seconds < 3
    assert mebibytes >= 0


def test_the_nodes_of_a_command_are_timed(capsys, monkeypatch):
    monkeypatch.setattr(Node, "run", Node.run)  # put back afterwards
    monkeypatch.setattr(sys, "argv", ["kedro", "--version"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(ROOT / "benchmarks/timed_kedro.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[-1] == "NODES 0.000"


def test_a_command_that_fails_ends_the_benchmark_with_its_output():
    with pytest.raises(SystemExit, match="half of it"):
        commands_cost.run_apart([sys.executable, "-c", "print('half of it'); exit(1)"])
