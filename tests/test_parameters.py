import pytest
import yaml
from kedro.config import OmegaConfigLoader
from pydantic import ValidationError

from erasediff_pipeline.config import DenoiserSettings, ForgetRequest, SamplingSettings, TrainingSettings
from erasediff_pipeline.parameters import Parameters, fill_in
from erasediff_pipeline.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS
from erasediff_pipeline.unlearning.erasediff import EraseDiffSettings
from erasediff_pipeline.unlearning.registry import METHODS
from tests.helpers.project import ROOT


def load(environment):
    return CONFIG_LOADER_CLASS(str(ROOT / "conf"), env=environment, **CONFIG_LOADER_ARGS)


@pytest.fixture(scope="module")
def written():
    """``conf/base/parameters*.yml``, without what the project's loader fills in."""
    return OmegaConfigLoader(str(ROOT / "conf"), base_env="base", default_run_env="base")["parameters"]


def test_files_repeat_the_defaults(written):
    assert Parameters.model_validate(written) == Parameters()


ENVIRONMENTS = [p.parent.name for p in sorted((ROOT / "conf").glob("*/globals.yml"))]
RECIPE = {"control", "fixed_lambda", "forget_target", "retain_loss", "learning_rate", "schedule", "ema_decay"}


@pytest.mark.parametrize("method", ["unlearn", "erasediff_robust"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_environment_tunes_erasediff(environment, method, written):
    """Only Stable Diffusion, which is a hundred times larger, has another rate: the published one."""
    own, base = load(environment)["parameters"][method], written[method]
    large = {"learning_rate", "schedule"} if environment in ("stable_diffusion", "nudity") else set()
    assert {key for key in RECIPE if own[key] != base[key]} == large


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_environments_that_come_along_are_valid(environment):
    loader = load(environment)
    Parameters.model_validate(loader["parameters"])
    assert loader["globals"]["environment"] == ("" if environment == "base" else f"{environment}/")


def test_files_name_every_setting(written):
    """DVC tracks parameters in files. Only a method may be left out: DVC tracks its defaults as code."""
    defaults = Parameters().model_dump()
    assert set(defaults) - {entry.parameters for entry in METHODS.values()} <= set(written)
    for name, section in written.items():
        if name == "forget":
            assert len(section) == 1
        elif isinstance(section, dict):
            assert set(section) == set(defaults[name]), name


def test_a_method_that_the_files_leave_out_has_its_defaults(written):
    filled = fill_in({name: section for name, section in written.items() if name != "esd"})
    assert filled | written == filled
    assert filled["esd"] == Parameters().esd.model_dump()
    assert fill_in({"esd": {"steps": 3}})["esd"] == {"steps": 3}


def test_all_methods_can_be_audited_without_naming_them():
    audit = fill_in({"audit": {"methods": "all", "samples": 20}})["audit"]
    assert audit == {"methods": list(METHODS), "samples": 20}


@pytest.mark.parametrize("section", [n for n, v in Parameters().model_dump().items() if isinstance(v, dict)])
def test_unknown_key_is_refused(section):
    for values in ({section: {"no_such_key": 1}}, {f"{section}s": {}}):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            Parameters.model_validate(values)


OUT_OF_RANGE = """
unlearn: {steps: [0, 1.5], learning_rate: [0, .nan], eta: [-0.1, .inf], fixed_lambda: [-1], inner_steps: [0],
  ema_decay: [1], condition_dropout: [-0.1], control: [none], forget_target: [own_class], subset: [half],
  mixed_precision: [fp8]}
finetune: {subset: [half]}
neggrad: {retain_weight: [-0.1, 1]}
random_label: {aim: [label], retain_weight: [-1]}
salun: {mask_fraction: [0, 1.1], mask_batches: [0], weight_decay: [0.01]}
selective_amnesia: {ewc_weight: [-1], replay_images: [0], fisher_batches: [0]}
esd: {negative_guidance: [-1], retain_weight: [-1]}
blindspot: {proxy_steps: [0], proxy_learning_rate: [0]}
pretrain: {batch_size: [0], schedule: [cosine]}
source: {test_fraction: [1]}
denoiser: {thresholding: [sometimes], channels: [[32], [8, 12], [8, 0]], beta_end: [1], revision: [main],
  text_to_image: [{text_encoder: {width: 64, heads: 3}}]}
sampling: {sampler: [euler], guidance_scale: [-1]}
evaluation: {retain_samples: [1], fid_backend: [inception]}
classifier: {min_test_accuracy: [1.1]}
report: {grid_columns: [0]}
"""
"""Section, parameter, and values that it must not have."""


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        (section, key, value)
        for section, keys in yaml.safe_load(OUT_OF_RANGE).items()
        for key, values in keys.items()
        for value in values
    ],
)
def test_out_of_range_is_refused(section, key, value):
    with pytest.raises(ValidationError) as error:
        Parameters.model_validate({section: {key: value}})
    assert error.value.errors()[0]["loc"][0] == section


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Parameters().seed = 3


def test_one_value_may_stand_for_a_list():
    """As in ``--params=forget.classes=3``: the command line cannot type a list."""
    assert ForgetRequest(classes=3).classes == [3]
    assert ForgetRequest(classes=0).classes == [0]
    assert ForgetRequest(prompts=3).prompts == ["3"]
    assert ForgetRequest(prompts=["three", 3]).prompts == ["three", "3"]


@pytest.mark.parametrize("classes", [True, "", [1.5], ["a", True], [None]])
def test_what_is_no_class_is_refused(classes):
    with pytest.raises(ValidationError):
        ForgetRequest(classes=classes)


DOG_FOR_A_DOG = {"prompts": ["dog"], "templates": ["a {}"], "anchor_prompt": "a dog"}
MAGIC = {"methods": ["esd", "magic"]}
LATENT = "thresholding: true does not work with text_to_image"
TOO_FEW = "precision_neighbours 3: use less than evaluation.retain_samples, 3"
UNKNOWN = "'magic' is unknown: choose from 'erasediff', .*'retrain'"
BAD_NAMES, NO_PLACEHOLDER = ("a{b}", "a/b", "{method", "a:b"), "no placeholder but {method}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"forget": {}}, "exactly one of classes, ids_file and prompts"),
        ({"forget": {"classes": [0], "ids_file": "ids.csv"}}, "exactly one of classes, ids_file and prompts"),
        ({"forget": {"classes": []}}, "at least one class"),
        ({"forget": DOG_FOR_A_DOG}, "'a dog' is one of the prompts to forget"),
        ({"denoiser": {"thresholding": True, "text_to_image": {}}}, LATENT),
        ({"sampling": {"steps": 1001}}, r"sampling.steps 1001: at most denoiser.timesteps, 1000"),
        ({"evaluation": {"retain_samples": 3}}, TOO_FEW),
        *(({"tracking": {"registered_model": name}}, NO_PLACEHOLDER) for name in BAD_NAMES),
        ({"audit": MAGIC}, f"audit.methods: {UNKNOWN}"),
        ({"compare": MAGIC}, f"compare.methods: {UNKNOWN}"),
    ],
)
def test_what_does_not_fit_together_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Parameters.model_validate(values)


def test_good_edges_are_accepted():
    assert ForgetRequest(classes=[0, 2]).ids_file is None
    assert ForgetRequest(ids_file="ids.csv").classes is None
    assert DenoiserSettings(channels=[8, 16, 24]).channels == (8, 16, 24)
    assert SamplingSettings(guidance_scale=0).guidance_scale == 0
    assert EraseDiffSettings(eta=0, ema_decay=0, fixed_lambda=0).eta == 0


def test_training_needs_its_steps_and_rates():
    with pytest.raises(ValidationError, match="steps"):
        TrainingSettings(learning_rate=1e-3, ema_decay=0)


def test_null_and_no_survive_yaml():
    settings = Parameters.model_validate({"unlearn": {"forget_target": None, "mixed_precision": False}})
    assert settings.unlearn.forget_target == "null"
    assert settings.unlearn.mixed_precision == "no"


@pytest.mark.parametrize("audit", [3, None])
def test_a_section_that_is_no_section_is_left_to_validation(audit):
    assert fill_in({"audit": audit})["audit"] == audit
