import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from erasediff_pipeline.errors import InvalidParameter
from erasediff_pipeline.training.processes import Share, share_of
from erasediff_pipeline.unlearning.erasediff import EraseDiffSettings
from tests.helpers.project import PATIENCE
from tests.helpers.runs import STEPPED, Killed, kill_at, run, without_class_0
from tests.helpers.toys import build_toy_unet, draw_toy_images

SCRIPT = Path(__file__).parents[1] / "helpers/two_processes.py"
TORCHRUN = Path(sys.executable).parent / "torchrun"


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What the script has left; before it, a training in one process was killed."""
    folder = tmp_path_factory.mktemp("together")
    data = without_class_0(draw_toy_images())
    place = folder / "killed.safetensors"
    with pytest.raises(Killed):
        run("erasediff", build_toy_unet(dropout=0.2), data, place, before_step=kill_at(9), accumulation=2)
    assert place.exists()
    command = [TORCHRUN, "--standalone", "--nproc-per-node", "2", SCRIPT, folder, *STEPPED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("accumulation", "process", "share", "rows"),
    [
        (1, 0, Share(range(0, 1), 2), slice(0, 6)),
        (1, 1, Share(range(1, 2), 2), slice(6, 12)),
        (4, 1, Share(range(2, 4), 4), slice(6, 12)),
        (3, 0, Share(range(0, 3), 6), slice(0, 6)),
    ],
)
def test_each_process_takes_as_many_parts(accumulation, process, share, rows):
    assert shared_by(2, process, accumulation) == share
    assert share.rows(12) == rows


def shared_by(processes, process, accumulation):
    accelerator = SimpleNamespace(num_processes=processes, process_index=process)
    return share_of(accelerator, EraseDiffSettings(batch_size=12, accumulation=accumulation), "erasediff")


def test_a_batch_that_cannot_be_shared_is_refused():
    said = r"batch_size of erasediff: 12: use a multiple of 8 \(8 processes, accumulation 4\)"
    with pytest.raises(InvalidParameter, match=said):
        shared_by(8, 0, accumulation=4)


@torch.no_grad()
def predict(model):
    """Not the weights: one before a norm has no gradient but rounding, which Adam takes for a direction."""
    x = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return model.eval().denoise(x, torch.arange(16) * 60, model.condition(torch.arange(16) % 3))


@pytest.mark.parametrize("name", STEPPED)
def test_two_processes_train_what_one_does(together, data, tmp_path, name):
    """Curves, predictions and cost: of every method, what one process makes in two parts."""
    told = json.loads((together / f"{name}.json").read_text())
    alone, both = build_toy_unet(dropout=0.2), build_toy_unet()
    history, cost, _ = run(name, alone, data, tmp_path / "c", accumulation=2)
    assert told["history"] == [pytest.approx(point, rel=1e-3, abs=1e-5) for point in history]
    both.load_state_dict(load_file(together / f"{name}.safetensors"))
    assert_close(predict(both), predict(alone), rtol=1e-3, atol=1e-3)
    assert told["evaluations"] == cost.denoiser_evaluations
    assert not (together / f"{name}-checkpoint.safetensors").exists()


def test_a_whole_batch_is_not_the_same(together, data, tmp_path):
    """Or the tolerance above would say nothing."""
    whole, _, _ = run("erasediff", build_toy_unet(dropout=0.2), data, tmp_path / "c")
    told = json.loads((together / "erasediff.json").read_text())
    assert told["history"][-1] != pytest.approx(whole[-1], rel=1e-3, abs=1e-5)


REFUSED = {
    "other weights": "erasediff: the processes have read different models, images or parameters",
    "odd batch": "batch_size of unlearn: 3: use a multiple of 2 (2 processes, accumulation 1)",
    "other disk": "erasediff: the processes would continue from steps 4, 0: put data/ on one file system",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_processes_that_differ_are_refused(together, fault):
    assert [(together / f"{fault}-{rank}.txt").read_text() for rank in (0, 1)] == [REFUSED[fault]] * 2
