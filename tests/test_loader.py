import pytest
import yaml
from kedro.config import MissingConfigException
from omegaconf.errors import InterpolationResolutionError

from erasediff_pipeline.loader import ProjectConfigLoader


@pytest.fixture
def make_loader(tmp_path):
    """``make_loader(overlay, **runtime)``: a loader that merges as settings.py has it."""
    (tmp_path / "base").mkdir()
    (tmp_path / "overlay").mkdir()
    base = {"seed": 0, "base": "base", "forget": {"classes": [0]}, "unlearn": {"steps": 40, "eta": 1.0}}
    (tmp_path / "base" / "parameters.yml").write_text(yaml.safe_dump(base))

    def make(overlay=None, resolvers=None, model="models/${parameter:base}", **runtime):
        (tmp_path / "overlay" / "parameters.yml").write_text(yaml.safe_dump(overlay or {}))
        entry = {"type": "MemoryDataset", "metadata": model}
        (tmp_path / "base" / "catalog.yml").write_text(yaml.safe_dump({"base_model": entry}))
        place = {"env": "overlay", "base_env": "base", "default_run_env": "overlay"}
        how = {"merge_strategy": {"parameters": "soft"}, "custom_resolvers": resolvers}
        return ProjectConfigLoader(str(tmp_path), runtime_params=runtime, **place, **how)

    return make


@pytest.fixture
def load(make_loader):
    """``load(overlay, **runtime)``: the parameters."""
    return lambda overlay=None, **runtime: make_loader(overlay, **runtime)["parameters"]


WORDS = {"templates": ["a {}"], "anchor_prompt": "x"}
THREE = {"classes": None, "prompts": ["three"], **WORDS}


@pytest.mark.parametrize(
    ("earlier", "given", "request_"),
    [
        ({}, {"ids_file": "ids.csv"}, {"ids_file": "ids.csv"}),
        ({}, {"classes": 3}, {"classes": 3}),
        # Templates and anchor stay, whatever is forgotten; they do not replace it.
        (THREE, {"prompts": "seven"}, {"prompts": "seven", **WORDS}),
        (THREE, {"classes": 3}, {"classes": 3, **WORDS}),
        (THREE, {"templates": "the {}"}, {**THREE, "templates": "the {}"}),
    ],
)
def test_a_request_of_the_command_line_replaces_that_of_the_files(load, earlier, given, request_):
    assert load({"forget": earlier}, forget=given)["forget"] == request_


def test_one_knob_leaves_the_others(load):
    """Of the command line, and of the environment."""
    parameters = load(unlearn={"steps": 2})
    assert parameters["unlearn"] == {"steps": 2, "eta": 1.0}
    assert parameters["forget"] == {"classes": [0]}
    assert load({"unlearn": {"eta": 0.5}})["unlearn"] == {"steps": 40, "eta": 0.5}


def test_an_environment_extends_another(make_loader, tmp_path):
    """Key by key: the base, then the chain of environments, then the command line."""
    files = {
        "first/globals": {"environment": "first/"},
        "first/parameters": {"unlearn": {"steps": 1, "eta": 0.5}, "source": {"name": "a", "rgb": True}},
        "second/globals": {"environment": "second/", "extends": "first"},
        "second/parameters": {"source": {"name": "b", "side": 64}},
        "overlay/globals": {"environment": "overlay/", "extends": "second"},
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yml").write_text(yaml.safe_dump(content))
    loader = make_loader({"unlearn": {"eta": 0.1}}, unlearn={"lr": 4})
    parameters = loader["parameters"]
    assert parameters["source"] == {"name": "b", "rgb": True, "side": 64}
    assert parameters["unlearn"].items() >= {"steps": 1, "eta": 0.1, "lr": 4}.items()
    assert parameters["forget"] == {"classes": [0]}
    assert loader["globals"]["environment"] == "overlay/"
    (tmp_path / "second" / "globals.yml").write_text("extends: nowhere")
    with pytest.raises(MissingConfigException, match="nowhere"):
        make_loader()["parameters"]


def model_of(loader):
    return loader["catalog"]["base_model"]["metadata"]


def test_catalog_takes_a_parameter_wherever_it_was_set(make_loader):
    assert model_of(make_loader()) == "models/base"
    assert model_of(make_loader({"base": "esd"})) == "models/esd"
    assert model_of(make_loader({"base": "esd"}, base="salun")) == "models/salun"


def test_each_loader_takes_its_own_parameters(make_loader):
    """Resolvers are the whole process's, but a notebook may open a second session."""
    first, second = make_loader(base="esd"), make_loader(base="salun")
    assert model_of(second) == "models/salun"
    assert model_of(first) == "models/esd"


def test_other_resolvers_still_work(make_loader):
    double = {"double": lambda value: 2 * value}
    assert model_of(make_loader(resolvers=double, model="${double:${parameter:seed}}", seed=3)) == 6


def test_unknown_parameter_in_the_catalog_is_an_error(make_loader):
    with pytest.raises(InterpolationResolutionError, match="bass"):
        model_of(make_loader(model="${parameter:bass}"))
