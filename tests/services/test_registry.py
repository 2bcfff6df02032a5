"""What MLflow keeps of a run, and the registered model."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.helpers.servers import pointed_to


@pytest.fixture(scope="module")
def client(unlearned):
    with pointed_to(f"sqlite:///{unlearned.project / 'mlflow.db'}") as client:
        yield client


@pytest.fixture(scope="module")
def run(client):
    """The one run of the one ``kedro run``."""
    experiment = client.get_experiment_by_name("erasediff_pipeline")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1
    return runs[0]


@pytest.fixture(scope="module")
def version(client):
    versions = client.search_model_versions("name='erasediff-erasediff'")
    assert len(versions) == 1
    return versions[0]


@pytest.fixture(scope="module")
def model(client):
    return mlflow.pyfunc.load_model("models:/erasediff-erasediff/latest")


def request(label, seed, count):
    return pd.DataFrame({"label": label, "seed": seed, "count": count})


def test_the_run_has_the_pipelines_name(run):
    assert run.info.run_name == "unlearn"
    assert run.info.status == "FINISHED"


def test_parameters_are_flat(run):
    parameters = run.data.params
    assert {"unlearn.steps", "unlearn.control", "sampling.guidance_scale", "forget.classes", "seed"} <= set(
        parameters
    )
    assert not [value for value in parameters.values() if value.startswith("{")]


def test_curves_have_steps(client, run):
    for name in ("forget_loss", "retain_loss", "lambda", "gradient_cosine"):
        points = client.get_metric_history(run.info.run_id, name)
        steps = sorted(point.step for point in points)
        assert steps == list(range(int(run.data.params["unlearn.steps"])))


def test_metrics_of_both_models(unlearned, run):
    document = json.loads((unlearned.report / "metrics.json").read_text())
    for which in ("base", "erased"):
        for key in ("forget_accuracy", "retain_accuracy", "fid"):
            assert run.data.metrics[f"{which}.{key}"] == pytest.approx(document[which][key])


def test_grid_and_report_are_artifacts(client, run):
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"grid.png", "report.html"} <= names


def test_the_version_is_tagged(unlearned, version):
    provenance = json.loads((unlearned.report / "run.json").read_text())["provenance"]
    for key in ("base_model_sha256", "forget_sha256", "git_commit"):
        assert version.tags[key] == provenance[key]


def test_images_for_each_row(model):
    images = model.predict(request([1, 2], [0, 0], [3, 2]))["images"]
    assert images.shape == (5, 1, 8, 8)
    assert images.dtype == np.uint8


def test_the_same_seed_draws_the_same_images(model):
    first, again, other = (model.predict(request([1], [seed], [4]))["images"] for seed in (7, 7, 8))
    assert (first == again).all()
    assert (first != other).any()


def test_an_unknown_label_is_refused(model):
    with pytest.raises(ValueError, match="labels 0 to 9"):
        model.predict(request([10], [0], [1]))
