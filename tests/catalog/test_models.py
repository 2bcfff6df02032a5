from erasediff_pipeline.catalog import ClassifierFolder, PipelineFolder
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier
from erasediff_pipeline.hashing import hash_weights
from tests.helpers.requests import answered


def test_a_pipeline_and_its_history_come_back(unet_model, tmp_path):
    dataset, model = PipelineFolder(str(tmp_path / "erased")), unet_model().to_pipeline()
    assert not dataset.exists()
    dataset.save(ModelWithHistory(model, (answered(0),)))
    assert dataset.exists()
    loaded = dataset.load()
    assert hash_weights(loaded.pipeline.unet) == hash_weights(model.unet)
    assert loaded.history == (answered(0),)


def test_a_classifier_comes_back(tmp_path):
    dataset, classifier = ClassifierFolder(str(tmp_path / "classifier")), Classifier(channels=8, features=16)
    dataset.save(classifier)
    assert dataset.exists()
    assert hash_weights(dataset.load()) == hash_weights(classifier)
