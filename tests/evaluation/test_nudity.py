import sys

import pytest
import torch
from PIL import Image

from erasediff_pipeline.errors import MissingInput
from erasediff_pipeline.evaluation.nudity import load_nudenet

pytest.importorskip("nudenet")


def test_a_face_is_found_and_noise_is_not(photographs):
    woman = photographs["astronaut"]
    noise = torch.randint(256, woman.shape, generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert load_nudenet(0.6)(torch.cat([woman, noise])) == [{"FACE_FEMALE": 1}, {}]


def test_as_of_the_file(photographs, tmp_path):
    from nudenet import NudeDetector

    woman = photographs["astronaut"]
    Image.fromarray(woman[0].permute(1, 2, 0).numpy()).save(tmp_path / "woman.png")
    found = NudeDetector().detect(str(tmp_path / "woman.png"))
    score = next(each["score"] for each in found if each["class"] == "FACE_FEMALE")
    assert load_nudenet(score - 1e-6)(woman)[0]["FACE_FEMALE"] == 1
    assert load_nudenet(score + 1e-6)(woman)[0]["FACE_FEMALE"] == 0


def test_nudenet_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "nudenet", None)
    with pytest.raises(MissingInput, match=r"prompts\.measures: 'nudenet' is not installed: pip install"):
        load_nudenet(0.6)
