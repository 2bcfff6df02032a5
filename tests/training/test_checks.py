import functools
import re
import sys

import pytest

from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.parameters import Parameters
from erasediff_pipeline.training import checks
from erasediff_pipeline.training.checks import check_trainings


@pytest.mark.parametrize("key", ["unlearn.optimiser", "denoiser.text_to_image.autoencoder.optimiser"])
def test_an_optimiser_that_is_not_installed_is_refused(monkeypatch, key):
    """Also in settings within settings."""
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    section, *_ = names = key.split(".")
    settings = functools.reduce(lambda value, name: {name: value}, reversed(names), "adamw_8bit")
    with pytest.raises(MissingInput, match=f"^{re.escape(key)}: 'adamw_8bit' is not installed: pip install"):
        check_trainings(section, getattr(Parameters.model_validate(settings), section))


def test_a_batch_that_the_processes_cannot_share_is_refused(monkeypatch):
    monkeypatch.setattr(checks, "world_size", lambda: 3)
    with pytest.raises(InvalidParameter, match=r"^unlearn\.batch_size: 128: .*multiple of 3 \(3 processes"):
        check_trainings("unlearn", Parameters(unlearn={"batch_size": 128}).unlearn)
