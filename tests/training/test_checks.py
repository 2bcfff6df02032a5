import re
import sys

import pytest

from erasediff_pipeline.errors import InvalidParameter, MissingInput
from erasediff_pipeline.parameters import Parameters
from erasediff_pipeline.training import checks
from erasediff_pipeline.training.checks import check_trainings

WITHIN = {"text_to_image": {"autoencoder": {"optimiser": "adamw_8bit"}}}


@pytest.mark.parametrize(
    ("section", "settings", "key"),
    [
        ("unlearn", {"optimiser": "adamw_8bit"}, "unlearn.optimiser"),
        ("denoiser", WITHIN, "denoiser.text_to_image.autoencoder.optimiser"),
    ],
)
def test_an_optimiser_that_is_not_installed_is_refused(monkeypatch, section, settings, key):
    """Also in settings within settings."""
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    parameters = Parameters.model_validate({section: settings})
    with pytest.raises(MissingInput, match=f"^{re.escape(key)}: 'adamw_8bit' is not installed: pip install"):
        check_trainings(section, getattr(parameters, section))


def test_a_batch_that_the_processes_cannot_share_is_refused(monkeypatch):
    monkeypatch.setattr(checks, "world_size", lambda: 3)
    with pytest.raises(InvalidParameter, match=r"^unlearn\.batch_size: 128: .*multiple of 3 \(3 processes"):
        check_trainings("unlearn", Parameters(unlearn={"batch_size": 128}).unlearn)
