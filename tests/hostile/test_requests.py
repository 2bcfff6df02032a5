"""What is typed behind ``--params=``, and how it reads in ``parameters.yml``."""

import pandas as pd
import pytest
import yaml
from kedro.framework.cli.utils import _split_params

from erasediff_pipeline.data.split import split_by_request
from erasediff_pipeline.hooks.checks import CheckInputs
from erasediff_pipeline.options import check_params
from erasediff_pipeline.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS
from tests.helpers.project import ROOT
from tests.helpers.refusals import check, refused

DIGITS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
NAMES = ["animals", "faces", "flags", "golf balls", "hands"]


class Context:
    """What the hook sees of a run."""

    def __init__(self, given):
        arguments = {"env": "base", "runtime_params": given, **CONFIG_LOADER_ARGS}
        self.config_loader = CONFIG_LOADER_CLASS(str(ROOT / "conf"), **arguments)


def settings(typed):
    """The parameters of a run that is typed so."""
    check_params(typed)
    hook = CheckInputs()
    hook.after_context_created(Context(_split_params(None, None, typed)))
    return hook.parameters


def classes_of(manifest, typed):
    """The labels of the classes that are forgotten if they are typed so."""
    asked = settings(f"forget.classes={typed}").forget
    return list(split_by_request(manifest, asked).request.classes)


@pytest.fixture(scope="module")
def digits():
    return manifest(10)


@pytest.fixture(scope="module")
def icons():
    named = manifest(len(NAMES))
    return named.assign(**{"class": [NAMES[label] for label in named["label"]]})


def manifest(classes):
    rows = range(classes * 4)
    return pd.DataFrame(
        {
            "id": [f"{row:06d}" for row in rows],
            "label": [row // 4 for row in rows],
            "sha256": [f"{row:064x}" for row in rows],
            "split": ["train", "train", "train", "test"] * classes,
        }
    )


BY_NUMBER = {
    "3": [3],
    "03": [3],
    "[3]": [3],
    "3 5": [3, 5],
    "5 3": [3, 5],
    "3 3": [3],
    "  7  ": [7],
    "3;5": refused("forget.classes", "'3;5'", f"{DIGITS}"),
    "3-5": refused("forget.classes", "'3-5'", f"{DIGITS}"),
    "3 77": refused("forget.classes", "[77] not in the data", f"{DIGITS}"),
    "-1": refused("forget.classes", "[-1] not in the data", f"{DIGITS}"),
    "10": refused("forget.classes", "[10] not in the data", f"{DIGITS}"),
    "99999999999999999999": refused("forget.classes", "99999999999999999999", f"{DIGITS}"),
    "1.0": refused("forget", "1.0", "number or the name of a class"),
    "1.5": refused("forget", "1.5", "number or the name of a class"),
    "1e1": refused("forget", "10.0", "number or the name of a class"),
    "true": refused("forget", "True", "number or the name of a class"),
    "null": refused("forget", "exactly one of classes, ids_file and prompts"),
    "3 ²": refused("forget.classes", "'²'", "no names", f"{DIGITS}"),
    "010": refused("forget.classes", "'010' is 8 in YAML", "without the leading zero"),
    "1_2": refused("forget.classes", "'1_2' is 12 in YAML", "a name in quotes"),
    "+1": refused("forget.classes", "'+1' is 1 in YAML", "a name in quotes"),
    "0x3": refused("forget.classes", "'0x3' is 3 in YAML", "in digits"),
    "0b11": refused("forget.classes", "'0b11' is 3 in YAML", "in digits"),
    "3 #5": refused("forget.classes", "YAML drops what follows ' #'", "in quotes"),
    "3,forget={classes: [4]}": refused("'forget' would replace 'forget.classes'", "give one of them"),
    "3,forget.duplicates=refuse": [3],
    "3:5": refused("forget.classes", "'3:5' is 185 in YAML", "in quotes as '3 5'"),
    "": refused("forget"),
    "two": refused("forget.classes", "'two'", "no names", f"{DIGITS}"),
    "٣": [3],
    "３": [3],
    "all": refused("forget.classes", "'all'", f"{DIGITS}"),
    "0 1 2 3 4 5 6 7 8 9": refused("forget.classes", "every class", "leave at least one"),
}
"""``forget.classes`` of digits, which have no names."""


@pytest.mark.parametrize("typed", BY_NUMBER)
def test_classes_by_number(digits, typed):
    check(lambda: classes_of(digits, typed), BY_NUMBER[typed])


BY_NAME = {
    "flags": [2],
    "2": [2],
    "flags hands": [2, 4],
    "hands 2": [2, 4],
    "golf balls": [3],
    "golf balls flags": refused("forget.classes", "'golf' is no class", "golf balls"),
    "flag": refused("forget.classes", "'flag' is no class, did you mean 'flags'?", *NAMES),
    "Flags": refused("forget.classes", "'Flags'", "did you mean 'flags'?"),
    "zebra": refused("forget.classes", "'zebra' is no class", "choose from animals, faces"),
    "flags/": refused("forget.classes", "'flags/'", "did you mean 'flags'?"),
    "'flags'": [2],
    "flags 9": refused("forget.classes", "[9] not in the data"),
    "animals faces flags 3 hands": refused("forget.classes", "every class"),
}
"""``forget.classes`` of classes with names."""


@pytest.mark.parametrize("typed", BY_NAME)
def test_classes_by_name(icons, typed):
    check(lambda: classes_of(icons, typed), BY_NAME[typed])


NAMED = {
    ("1", "2", "3"): {
        "3": [2],
        "0": [0],
        "1": refused("forget.classes: 1", "another one this name", "1 is '2'", "rename the folders"),
        "'2'": refused("forget.classes: 2", "another one this name", "rename the folders"),
        "02": refused("forget.classes: 2", "another one this name", "rename the folders"),
    },
    ("01", "02", "03"): {
        "03": [2],
        "2": refused("forget.classes: 2", "another one this name", "rename the folders"),
        "7": refused("forget.classes", "[7] not in the data"),
    },
    ("0", "1", "10", "2"): {"0": [0], "10": [2], "2": refused("2 is '10'", "rename the folders")},
    ("1001", "2002"): {"1001": [0], "2002 ": [1], "1": [1], "3003": refused("[3003] not in the data")},
    ("1_1", "1_2"): {
        "'1_2'": [1],
        "1_2": refused("forget.classes", "'1_2' is 12 in YAML", "a name in quotes"),
        "12": refused("forget.classes", "[12] not in the data"),
    },
    ("+1", "+2", "-1"): {
        "'+1'": refused("forget.classes: +1", "another one this name", "rename the folders"),
        "'+2'": refused("forget.classes: +2", "another one this name", "rename the folders"),
        "'-1'": [2],
        "-1": [2],
    },
    ("a", "a #1"): {"'a #1'": [1], "a #1": refused("YAML drops what follows ' #'", "in quotes")},
    ("cats", "cats "): {"cats": refused("classes 0 and 1 are both 'cats'", "spaces", "rename a folder")},
    ("cafe\u0301", "caf\u00e9"): {"1": refused("both 'caf\u00e9'", "the form of é", "rename a folder")},
    ("cats ", "dogs"): {"cats": [0], "'cats '": [0], "1": [1]},
    ("cafe\u0301", "tea"): {"caf\u00e9": [0], "cafe\u0301": [0], "cafe": refused("'cafe' is no class")},
    ("no", "yes"): {
        "'yes'": [1],
        "yes": refused("forget.classes", "True", "number or the name of a class", "needs quotes"),
    },
    ("#1", "&a", "b"): {
        "'#1'": [0],
        "#1": refused("forget.classes: '#1' is empty in YAML", "in quotes"),
        "&a": refused("forget.classes: '&a' is empty in YAML", "in quotes"),
        "~": refused("forget", "exactly one of"),
    },
}
"""Names of the classes → what is typed, and what is forgotten."""


@pytest.mark.parametrize(("names", "typed"), [(n, t) for n, rows in NAMED.items() for t in rows])
def test_names_that_are_numbers_or_are_written_in_several_ways(names, typed):
    rows = manifest(len(names))
    named = rows.assign(**{"class": [names[label] for label in rows["label"]]})
    check(lambda: classes_of(named, typed), NAMED[names][typed])


IN_A_FILE = {
    "classes: [3, 5]": [3, 5],
    "classes: ['3', 5]": [3, 5],
    "classes: 3 5": [3, 5],
    "classes: ['3 5', 7]": [3, 5, 7],
    "classes: []": refused("forget", "at least one"),
    "classes: [[3]]": refused("forget.classes.0", "number or the name"),
    "classes: {3: 5}": refused("forget.classes", "list"),
    "classes: [3, null]": refused("forget.classes.1", "None"),
    "classes: [.nan]": refused("forget.classes.0", "nan"),
    "classes: [3], prompts: [three]": refused("forget", "exactly one of"),
    "classes: [3], ids_file: a.csv": refused("forget", "exactly one of"),
    "classes: [3], id_file: a.csv": refused("forget.id_file", "unknown parameter", "ids_file"),
    "classes: [3], duplicates: ask": refused("forget.duplicates", "'ask'", "'include' or 'refuse'"),
    "classes: [3], templates: []": refused("forget.templates", "at least 1 item"),
    "ids_file: 3": refused("forget.ids_file", "string"),
    "ids_file: [a.csv]": refused("forget.ids_file", "string"),
    "prompts: [three]": refused("forget.prompts", "captions.words"),
    "prompts: []": refused("forget", "at least one"),
    "": refused("forget", "exactly one of"),
}
"""``forget: {…}`` in a file of parameters."""


@pytest.mark.parametrize("written", IN_A_FILE)
def test_a_request_in_a_file(digits, written):
    def answer():
        hook, loader = CheckInputs(), Context({}).config_loader
        given = {**loader["parameters"], "forget": yaml.safe_load(f"{{{written}}}")}
        context = Context({})
        context.config_loader = {"parameters": given, "globals": loader["globals"]}
        hook.after_context_created(context)
        return list(split_by_request(digits, hook.parameters.forget).request.classes)

    check(answer, IN_A_FILE[written])


SETTINGS = {
    "seed=-1": refused("seed", "-1", "greater than or equal to 0"),
    "seed=zero": refused("seed", "'zero'", "integer"),
    "seed=true": refused("seed", "True", "expected a number"),
    "seed=18446744073709551616": refused("seed", "less than 4294967296"),
    "seed=1,seed=2": refused("'seed' occurs 2 times", "each key once"),
    "seed=1,unlearn.steps=5, seed=2": refused("'seed' occurs 2 times", "each key once"),
    "seed=0777": refused("seed", "'0777' is 511 in YAML", "without the leading zero"),
    "unlearn={steps: 5},unlearn.batch_size=4": refused("'unlearn' would replace 'unlearn.batch_size'"),
    "captions.templates={}": refused("captions.templates", "changes nothing", "in quotes"),
    "denoiser.beta_start=0.5": refused("denoiser", "beta_start 0.5", "at most beta_end, 0.02"),
    "prompts.file=lists/...csv": refused("prompts.file", "begins with a dot", "rename it"),
    "tracking.registered_model=' '": refused("tracking.registered_model", "empty", "null"),
    "seed=1.5": refused("seed", "1.5", "integer"),
    "sed=1": refused("sed", "unknown parameter, did you mean 'seed'?"),
    "base=../base": refused("base", "'../base'"),
    "base=/etc": refused("base", "'/etc'"),
    "base=": refused("base"),
    "base=a b": refused("base", "'a b'"),
    "unlearn=5": refused("unlearn", "5"),
    "unlearn.steps=0": refused("unlearn.steps", "0", "greater than or equal to 1"),
    "unlearn.steps=ten": refused("unlearn.steps", "'ten'", "integer"),
    "unlearn.steps=1e2": 100,
    "unlearn.steps=100": 100,
    "unlearn.steps=007": 7,
    "unlearn.steps=1_000": 1000,
    "unlearn.steps=true": refused("unlearn.steps", "True", "expected a number"),
    "unlearn.learning_rate=yes": refused("unlearn.learning_rate", "True", "expected a number"),
    "unlearn.steps=100.5": refused("unlearn.steps", "100.5", "integer"),
    "unlearn.step=3": refused("unlearn.step", "unknown parameter", "steps"),
    "unlearn.steps.more=3": refused("unlearn.steps", "more", "integer"),
    "unlearn.batch_size=-4": refused("unlearn.batch_size", "-4"),
    "unlearn.batch_size=null": refused("unlearn.batch_size", "None", "integer"),
    "unlearn.learning_rate=0": refused("unlearn.learning_rate", "0", "greater than 0"),
    "unlearn.learning_rate=nan": refused("unlearn.learning_rate", "nan"),
    "unlearn.learning_rate=inf": refused("unlearn.learning_rate", "inf"),
    "unlearn.learning_rate=3e-4x": refused("unlearn.learning_rate", "'3e-4x'", "number"),
    "unlearn.ema_decay=1": refused("unlearn.ema_decay", "1", "less than 1"),
    "unlearn.ema_decay=-0.1": refused("unlearn.ema_decay", "-0.1"),
    "unlearn.condition_dropout=2": refused("unlearn.condition_dropout", "2"),
    "unlearn.optimiser=adam": refused("unlearn.optimiser", "'adam'", "'adamw'"),
    "unlearn.optimizer=adamw": refused("unlearn.optimizer", "unknown", "did you mean 'optimiser'?"),
    "unlearn.schedule=cosine": refused("unlearn.schedule", "'cosine'", "'one_cycle'"),
    "unlearn.mixed_precision=fp8": refused("unlearn.mixed_precision", "'fp8'", "'bf16'"),
    "unlearn.control=auto": refused("unlearn.control", "'auto'", "'grad_norm'"),
    "unlearn.forget_target=noise": refused("unlearn.forget_target", "'noise'", "'uniform_noise'"),
    "unlearn.retain_loss=mse": refused("unlearn.retain_loss", "'mse'", "'distillation'"),
    "unlearn.fixed_lambda=-1": refused("unlearn.fixed_lambda", "-1"),
    "unlearn.inner_steps=0": refused("unlearn.inner_steps", "0"),
    "unlearn.checkpoint_every=0": refused("unlearn.checkpoint_every", "0"),
    "sampling.sampler=euler": refused("sampling.sampler", "'euler'", "'dpm_solver'"),
    "sampling.steps=0": refused("sampling.steps", "0"),
    "sampling.steps=5000": refused("sampling.steps 5000", "at most denoiser.timesteps, 1000"),
    "sampling.guidance_scale=-1": refused("sampling.guidance_scale", "-1"),
    "sampling.batch_size=0": refused("sampling.batch_size", "0"),
    "evaluation.forget_samples=0": refused("evaluation.forget_samples", "0"),
    "evaluation.retain_samples=2": refused("evaluation.precision_neighbours 3", "retain_samples, 2"),
    "evaluation.max_samples=0": refused("evaluation.max_samples", "0"),
    "evaluation.fid_backend=clip": refused("evaluation.fid_backend", "'clip'", "'classifier'"),
    "source.side=0": refused("source.side", "0"),
    "source.fit=stretch": refused("source.fit", "'stretch'", "'crop' or 'pad'"),
    "source.rgb=maybe": refused("source.rgb", "'maybe'", "bool"),
    "source.name=mnist": refused("source.name", "'mnist'", "'digits'"),
    "source.test_fraction=0": refused("source.test_fraction", "0"),
    "source.test_fraction=20": refused("source.test_fraction", "20"),
    "source.pth=images": refused("source.pth", "unknown parameter", "path"),
    "denoiser.channels=64": refused("denoiser.channels", "64"),
    "denoiser.timesteps=0": refused("denoiser.timesteps", "0"),
    "denoiser.prediction_type=x0": refused("denoiser.prediction_type", "unknown parameter"),
    "classifier.min_test_accuracy=90": refused("classifier.min_test_accuracy", "90"),
    "classifier.epochs=0": refused("classifier.epochs", "0"),
    "classifier.architecture=vit": refused("classifier.architecture", "'vit'", "'cnn'"),
    "gates.enforce=2": refused("gates.enforce", "2", "bool"),
    "gates.limits=none": refused("gates.limits", "'none'"),
    "gates.limits.forget_accuracy.at_most=5": refused("gates.limits", "share", "always be held"),
    "gates.limits.fidd.at_most=1": refused("gates.limits", "'fidd', did you mean 'fid'?"),
    "audit.samples=0": refused("audit.samples", "0"),
    "audit.model=../x": refused("audit.model", "'../x'"),
    "audit.confidence=95": refused("audit.confidence", "95"),
    "audit.methods=magic": refused("audit.methods", "'magic'", "'erasediff'"),
    "compare.methods=magic": refused("compare.methods", "'magic'", "'erasediff'"),
    "compare.methods=esd salun": 500,
    "compare.methods=esd selun": refused("compare.methods", "did you mean 'salun'?"),
    "compare.seeds=0": refused("compare.seeds", "0"),
    "report.grid_columns=0": refused("report.grid_columns", "0"),
    "tracking.registered_model=a/b": refused("tracking.registered_model", "'a/b'"),
    "machine.workers=-1": refused("machine.workers", "-1"),
    "machine.compile=perhaps": refused("machine.compile", "'perhaps'", "bool"),
    "prompts.limit=0": refused("prompts.limit", "0"),
    "prompts.measures=beauty": refused("prompts.measures.0", "'beauty'", "'objects'"),
    "captions.words.0=cat": refused("captions.words", "'cat'", "list"),
    "captions.templates=a": refused("captions", "template 'a'", "{}"),
    "esd.negative_guidance=-1": refused("esd.negative_guidance", "-1"),
    "salun.mask_fraction=2": refused("salun.mask_fraction", "2"),
    "compare.methods=selun": refused("compare.methods", "did you mean 'salun'?"),
    "erasediff.steps=3": refused("erasediff", "unknown parameter", "unlearn"),
    "params:unlearn.steps=3": refused("params:unlearn", "unknown parameter"),
}
"""``--params`` beyond the request; a number is that of ``unlearn.steps``."""


@pytest.mark.parametrize("typed", SETTINGS)
def test_settings(typed):
    check(lambda: settings(typed).unlearn.steps, SETTINGS[typed])
