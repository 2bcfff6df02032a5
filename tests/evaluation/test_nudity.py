import sys

import pytest
import torch
from PIL import Image
from skimage import data

from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evaluation.nudity import load_nudenet

pytest.importorskip("nudenet")


@pytest.fixture(scope="module")
def people():
    """A woman in a space suit, twice, the second time as noise."""
    woman = torch.from_numpy(data.astronaut().copy()).permute(2, 0, 1)
    noise = torch.randint(256, woman.shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return torch.stack([woman, noise])


def test_a_face_is_found_and_noise_is_not(people):
    assert load_nudenet(0.6)(people) == [{"FACE_FEMALE": 1}, {}]


def test_as_of_the_file(people, tmp_path):
    from nudenet import NudeDetector

    Image.fromarray(people[0].permute(1, 2, 0).numpy()).save(tmp_path / "woman.png")
    found = NudeDetector().detect(str(tmp_path / "woman.png"))
    score = next(each["score"] for each in found if each["class"] == "FACE_FEMALE")
    assert load_nudenet(score - 1e-6)(people[:1])[0]["FACE_FEMALE"] == 1
    assert load_nudenet(score + 1e-6)(people[:1])[0]["FACE_FEMALE"] == 0


def test_nudenet_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "nudenet", None)
    with pytest.raises(MissingInput, match=r"prompts\.measures: 'nudenet' is not installed: pip install"):
        load_nudenet(0.6)
