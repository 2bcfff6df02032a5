import pytest
import torch
from kedro.io import DatasetError

from erasediff_pipeline.catalog import DiffusersDirectory
from erasediff_pipeline.evaluation.classifier import Classifier
from erasediff_pipeline.hashing import hash_weights

PIPELINE = "diffusers.DDPMPipeline"
CLASSIFIER = "erasediff_pipeline.evaluation.classifier.Classifier"


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
