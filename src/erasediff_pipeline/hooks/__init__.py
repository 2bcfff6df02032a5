"""Hooks around a run, one file for each concern; ``settings.py`` registers them."""

from erasediff_pipeline.hooks.checks import CheckInputs
from erasediff_pipeline.hooks.gates import EnforceGates
from erasediff_pipeline.hooks.leftovers import DeclarePlaces
from erasediff_pipeline.hooks.loading import LoadOnce
from erasediff_pipeline.hooks.parts import CheckPart
from erasediff_pipeline.hooks.processes import FollowFirstProcess, SyncProcesses
from erasediff_pipeline.hooks.rollback import RollBack
from erasediff_pipeline.hooks.summary import ShowSummary
from erasediff_pipeline.hooks.unread import CheckRead

__all__ = [
    "CheckInputs",
    "CheckPart",
    "CheckRead",
    "DeclarePlaces",
    "EnforceGates",
    "FollowFirstProcess",
    "LoadOnce",
    "RollBack",
    "ShowSummary",
    "SyncProcesses",
]
