"""What MLflow keeps of a run, and the registered model."""

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.helpers.project import client_of, read_json, runs_in
from tests.helpers.servers import pointed_to


@pytest.fixture(scope="module")
def client(unlearned):
    return client_of(unlearned.project)


@pytest.fixture(scope="module")
def run(client):
    """The one run of the one ``kedro run``."""
    (run,) = runs_in(client)
    return run


@pytest.fixture(scope="module")
def draw(unlearned):
    """``draw(label=[…], seed=[…], count=[…])``: images of the registered model."""
    with pointed_to(f"sqlite:///{unlearned.project / 'mlflow.db'}"):
        model = mlflow.pyfunc.load_model("models:/erasediff-erasediff/latest")
    return lambda **asked: model.predict(pd.DataFrame(asked))["images"]


def test_the_run_has_the_pipelines_name_and_flat_parameters(run):
    assert (run.info.run_name, run.info.status) == ("unlearn", "FINISHED")
    names = {"unlearn.steps", "unlearn.control", "sampling.guidance_scale", "forget.classes", "seed"}
    assert names <= set(run.data.params)
    assert not [value for value in run.data.params.values() if value.startswith("{")]


def test_curves_have_steps(client, run):
    for name in ("forget_loss", "retain_loss", "lambda", "gradient_cosine"):
        points = client.get_metric_history(run.info.run_id, name)
        assert sorted(p.step for p in points) == list(range(int(run.data.params["unlearn.steps"])))


def test_metrics_grid_and_report(unlearned, client, run):
    document = read_json(unlearned.report / "metrics.json")
    for which in ("base", "erased"):
        for key in ("forget_accuracy", "retain_accuracy", "fid"):
            assert run.data.metrics[f"{which}.{key}"] == pytest.approx(document[which][key])
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert {"grid.png", "report.html"} <= names


def test_the_version_is_tagged(unlearned, client):
    (version,) = client.search_model_versions("name='erasediff-erasediff'")
    provenance = read_json(unlearned.report / "run.json")["provenance"]
    for key in ("base_model_sha256", "forget_sha256", "git_commit"):
        assert version.tags[key] == provenance[key]


def test_images_for_each_row_the_same_for_the_same_seed(draw):
    images = draw(label=[1, 2], seed=[0, 0], count=[3, 2])
    assert images.shape == (5, 1, 8, 8)
    assert images.dtype == np.uint8
    first, again, other = (draw(label=[1], seed=[seed], count=[4]) for seed in (7, 7, 8))
    assert (first == again).all()
    assert (first != other).any()


def test_an_unknown_label_is_refused(draw):
    with pytest.raises(ValueError, match="labels from 0 to 9"):
        draw(label=[10], seed=[0], count=[1])
