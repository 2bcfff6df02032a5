import json

import pytest
import torch
from diffusers import DDPMPipeline
from erasediff_pipeline.catalog.diffusers_directory import HISTORY
from kedro.io import DatasetError

from erasediff_pipeline.catalog import DiffusersDirectory, history_of
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier
from erasediff_pipeline.hashing import hash_weights

PIPELINE = "diffusers.DDPMPipeline"
CLASSIFIER = "erasediff_pipeline.evaluation.classifiers.classifier.Classifier"


REQUESTS = [{"by": "classes", "classes": [0]}, {"by": "ids", "classes": [1], "ids": ["000007"]}]


@pytest.fixture
def pipeline(unet_model):
    return unet_model().to_pipeline()


def files_of(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_pipeline_comes_back(pipeline, tmp_path):
    dataset = DiffusersDirectory(str(tmp_path / "base"), PIPELINE)
    assert not dataset.exists()
    dataset.save(pipeline)
    assert dataset.exists()
    loaded = dataset.load()
    assert hash_weights(loaded.unet) == hash_weights(pipeline.unet)
    assert loaded.scheduler.to_json_string() == pipeline.scheduler.to_json_string()


def test_single_model_comes_back(tmp_path):
    classifier = Classifier(channels=8, features=16)
    dataset = DiffusersDirectory(str(tmp_path / "judge"), CLASSIFIER)
    dataset.save(classifier)
    assert dataset.exists()
    assert hash_weights(dataset.load()) == hash_weights(classifier)


def test_weights_are_safetensors(pipeline, tmp_path):
    DiffusersDirectory(str(tmp_path / "base"), PIPELINE).save(pipeline)
    suffixes = {p.suffix for p in (tmp_path / "base").rglob("*") if p.is_file()}
    assert suffixes == {".json", ".safetensors"}


def test_same_model_same_bytes(pipeline, tmp_path):
    for name in ("a", "b"):
        DiffusersDirectory(str(tmp_path / name), PIPELINE).save(pipeline)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "a.ckpt", "a.pt", "a.pth", "a.pkl"])
@pytest.mark.parametrize("folder", [".", "unet"])
def test_pickle_is_refused(pipeline, tmp_path, name, folder):
    dataset = DiffusersDirectory(str(tmp_path / "base"), PIPELINE)
    dataset.save(pipeline)
    torch.save({}, tmp_path / "base" / folder / name)
    with pytest.raises(DatasetError, match=rf"{name}.*must be safetensors"):
        dataset.load()


@pytest.mark.parametrize("earlier", [True, False])
def test_failed_save_leaves_the_earlier_model(pipeline, tmp_path, earlier):
    dataset = DiffusersDirectory(str(tmp_path / "base"), PIPELINE)
    if earlier:
        dataset.save(pipeline)
    before = files_of(tmp_path)

    class Broken:
        def save_pretrained(self, path, **options):
            pipeline.scheduler.save_pretrained(path)
            raise OSError("No space left on device")

    with pytest.raises(DatasetError, match="No space"):
        dataset.save(Broken())
    assert files_of(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["base"] * earlier


def test_saved_model_does_not_say_where_it_came_from(pipeline, tmp_path):
    """Else the same model had other bytes in every clone, and the committed one named a path."""
    first, second = (DiffusersDirectory(str(tmp_path / name), "diffusers.DDPMPipeline") for name in "ab")
    first.save(pipeline)
    second.save(first.load())
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert not any(str(tmp_path).encode() in content for content in files_of(tmp_path / "b").values())


def test_history_travels_with_the_weights(pipeline, tmp_path):
    dataset = DiffusersDirectory(str(tmp_path / "erased"), PIPELINE)
    pipeline.request_history = REQUESTS
    dataset.save(pipeline)
    assert json.loads((tmp_path / "erased" / HISTORY).read_text()) == REQUESTS
    assert history_of(dataset.load()) == REQUESTS


def test_history_goes_on_in_another_place(pipeline, tmp_path):
    first, second = (DiffusersDirectory(str(tmp_path / name), PIPELINE) for name in "ab")
    pipeline.request_history = REQUESTS[:1]
    first.save(pipeline)
    model = first.load()
    model.request_history = [*history_of(model), REQUESTS[1]]
    second.save(model)
    assert history_of(second.load()) == REQUESTS
    assert history_of(first.load()) == REQUESTS[:1]


def test_base_model_has_no_history_and_no_file_of_it(pipeline, tmp_path):
    dataset = DiffusersDirectory(str(tmp_path / "base"), PIPELINE)
    assert history_of(pipeline) == []
    dataset.save(pipeline)
    assert not (tmp_path / "base" / HISTORY).exists()
    assert history_of(dataset.load()) == []


def test_history_of_an_earlier_model_does_not_stay(pipeline, unet_model, tmp_path):
    dataset = DiffusersDirectory(str(tmp_path / "model"), PIPELINE)
    pipeline.request_history = REQUESTS
    dataset.save(pipeline)
    dataset.save(unet_model().to_pipeline())
    assert history_of(dataset.load()) == []


def test_model_with_a_history_is_any_diffusers_model(pipeline, tmp_path):
    pipeline.request_history = REQUESTS
    DiffusersDirectory(str(tmp_path / "erased"), PIPELINE).save(pipeline)
    loaded = DDPMPipeline.from_pretrained(tmp_path / "erased", local_files_only=True)
    assert hash_weights(loaded.unet) == hash_weights(pipeline.unet)
