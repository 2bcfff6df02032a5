"""A fresh clone has the reference result after ``dvc pull``, and DVC agrees that it is the result."""

import hashlib
import json
import shutil
import time
from io import StringIO

import mlflow
import pandas as pd
import pytest
import yaml
from diffusers import DDPMPipeline
from erasediff_pipeline.experiments.code import hash_source

from erasediff_pipeline.diffusion.pipelines import fingerprint_pipeline
from erasediff_pipeline.experiments.trials import TRAINING_CODE
from erasediff_pipeline.parameters import Parameters
from tests.helpers.project import (
    PATIENCE,
    SHORT,
    clean_environment,
    copy_clone,
    git,
    hash_tree,
    run_command,
)

LOCKS = ("dvc.lock", "benchmarks/dvc.lock", "conf/fashion_mnist/dvc.lock")
RETRAINED = "data/06_models/compare/retrain/class-0-seed-0"

NEEDED = {
    "data/03_primary/images",
    "data/03_primary/manifest.parquet",
    "data/06_models/base",
    "data/06_models/classifier",
    RETRAINED,
    "data/06_models/fashion_mnist/base",
    "data/06_models/fashion_mnist/classifier",
}


@pytest.fixture(scope="module")
def pulled(project):
    """Read only."""
    return project


@pytest.fixture
def own(project, tmp_path):
    """For one test alone."""
    return copy_clone(project, tmp_path / "project")


@pytest.fixture(scope="module")
def dvc(quick_run):
    """What ``dvc`` says."""

    def run_dvc(project, *arguments, **environment):
        run = quick_run.dvc(project, *arguments, **environment)
        assert run.code == 0, run.output
        return run.output

    return run_dvc


def md5_of(path):
    """As DVC defines it: of a folder, the MD5 of the listing of its files, sorted by their paths."""
    if path.is_file():
        return hashlib.md5(path.read_bytes()).hexdigest()
    files = {
        file.relative_to(path).as_posix(): md5_of(file)
        for file in path.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    listing = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def stages_in(file):
    return yaml.safe_load(file.read_text())["stages"]


def locked(project):
    """Path → MD5 of outputs and dependencies; the images of Fashion-MNIST are not in the store."""
    stages = [stage for file in LOCKS for stage in stages_in(project / file).values()]
    entries = {entry["path"]: entry["md5"] for s in stages for entry in s["outs"] + s.get("deps", [])}
    return {
        path: md5 for path, md5 in entries.items() if not path.startswith("data/03_primary/fashion_mnist/")
    }


def wrong(project):
    """The paths whose files are not what dvc.lock says."""
    return {path for path, md5 in locked(project).items() if md5_of(project / path) != md5}


def test_every_stage_is_locked(pulled):
    assert set(stages_in(pulled / "dvc.lock")) == set(stages_in(pulled / "dvc.yaml"))
    assert set(stages_in(pulled / "benchmarks/dvc.lock")) == {"retrain", "table"}
    assert set(stages_in(pulled / "conf/fashion_mnist/dvc.lock")) == {"prepare", "pretrain"}
    assert set(locked(pulled)) >= NEEDED


def test_the_stages_agree(pulled):
    """One stage's dependency is another's output, and the same code is the dependency of many."""
    told = {}
    for stage in (stage for file in LOCKS for stage in stages_in(pulled / file).values()):
        for entry in stage["outs"] + stage.get("deps", []):
            told.setdefault(entry["path"], set()).add(entry["md5"])
    assert {path: hashes for path, hashes in told.items() if len(hashes) > 1} == {}


def test_every_hash(pulled):
    assert wrong(pulled) == set()


def test_compare_finds_the_retrained_model_that_was_pulled(pulled):
    """Else `make compare` would retrain for minutes what it has just pulled."""
    made_from = json.loads((pulled / f"{RETRAINED}/trained/made_from.json").read_text())
    settings = Parameters.model_validate(
        {
            key: value
            for file in (pulled / "conf/base").glob("parameters*.yml")
            for key, value in yaml.safe_load(file.read_text()).items()
        }
    )
    base = DDPMPipeline.from_pretrained(pulled / "data/06_models/base")
    assert made_from["code_sha256"] == hash_source(*TRAINING_CODE, "erasediff_pipeline.unlearning.retrain")
    assert made_from["settings"] == settings.pretrain.model_dump(mode="json")
    assert made_from["base_model_sha256"] == fingerprint_pipeline(base)


def test_a_corrupted_file_is_noticed(own, dvc):
    weights = own / "data/06_models/base/unet/diffusion_pytorch_model.safetensors"
    weights.chmod(0o644)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    assert wrong(own) == {"data/06_models/base"}
    assert "data/06_models/base" in dvc(own, "status")


@pytest.fixture
def make(own, quick_run):
    """``make`` in that project; the stamp keeps it from building a virtual environment."""
    stamp = own / ".venv/.installed"
    stamp.parent.mkdir()
    stamp.touch()
    return lambda target: run_command(own, "make", target, env=clean_environment(own, PATH=quick_run.path))


MANIFEST = "data/03_primary/manifest.parquet"


def damage(store, path, project):
    """Change a byte of the object that ``dvc.lock`` names for ``path``, and leave it as DVC protects it."""
    md5 = locked(project)[path]
    target = project / store / "files/md5" / md5[:2] / md5[2:]
    content = bytearray(target.read_bytes())
    content[100] ^= 1
    target.unlink()  # the other clones have it, too
    target.write_bytes(content)
    target.chmod(0o444)


def test_a_corrupted_object_of_the_store_is_not_laid_out(own, quick_run):
    damage("reference_store", MANIFEST, own)
    shutil.rmtree(own / ".dvc/cache")
    (own / MANIFEST).unlink()
    others = hash_tree(own / "data")
    run = quick_run.dvc(own, "pull", MANIFEST)
    assert run.code != 0
    assert MANIFEST in run.output
    assert hash_tree(own / "data") == others


def test_a_corrupted_object_of_the_cache_is_fetched_anew(own, dvc, make):
    """DVC lays out what is read-only without a look at it; ``make pull`` makes it look."""
    good = (own / MANIFEST).read_bytes()
    damage(".dvc/cache", MANIFEST, own)
    (own / MANIFEST).unlink()
    dvc(own, "checkout", MANIFEST)
    assert (own / MANIFEST).read_bytes() != good  # else the next lines prove nothing
    (own / MANIFEST).unlink()
    run = make("pull")
    assert run.code == 0, run.output
    md5 = locked(own)[MANIFEST]
    assert (
        f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]} is damaged: removed, `dvc pull` fetches it again"
        in run.output
    )
    assert run.output.count("is damaged") == 1
    assert (own / MANIFEST).read_bytes() == good
    assert wrong(own) == set()


def test_the_store_is_small(pulled):
    """15 MB for the digits and their words, 12 MB for Fashion-MNIST."""
    sizes = {file: file.stat().st_size for file in (pulled / "reference_store").rglob("*")}
    models = pulled / "data/06_models/fashion_mnist"
    fashion = sum(file.stat().st_size for file in models.rglob("*") if file.is_file())
    assert fashion < 12e6
    assert sum(sizes.values()) - fashion < 15e6


def test_nothing_is_left_to_do(own, dvc):
    before = hash_tree(own / "data")
    for options in (["--dry"], []):
        output = dvc(own, "repro", "--allow-missing", *options)
        assert "Data and pipelines are up to date" in output
        assert "Running stage" not in output
    assert hash_tree(own / "data") == before
    assert not (own / "mlflow.db").exists()


def test_a_changed_parameter_is_noticed(own, dvc):
    parameters = own / "conf/base/parameters.yml"
    parameters.write_text(parameters.read_text().replace("classes: [0]", "classes: [5]"))
    output = dvc(own, "repro", "--allow-missing", "--dry")
    assert "Running stage 'unlearn'" in output
    assert "Running stage 'pretrain'" not in output


def test_metrics_diff(own, dvc):
    metrics = own / "data/08_reporting/erasediff/metrics.json"
    document = json.loads(metrics.read_text())
    document["erased"]["retain_accuracy"] = 0.125
    metrics.write_text(json.dumps(document))
    output = dvc(own, "metrics", "diff", "HEAD")
    assert "erased.retain_accuracy" in output
    assert "0.125" in output


SMALL = {
    "conf/base/parameters.yml:unlearn.steps": 2,
    "conf/base/parameters.yml:unlearn.batch_size": 32,
    "conf/base/parameters_evaluation.yml:sampling.steps": 3,
    "conf/base/parameters_evaluation.yml:evaluation.retain_samples": 8,
    "conf/base/parameters_evaluation.yml:evaluation.forget_samples": 8,
}


def set_to(values):
    return [word for key, value in values.items() for word in ("-S", f"{key}={value}")]


def test_an_experiment_is_recorded(own, quick_run, dvc):
    output = dvc(own, "exp", "run", *set_to(SMALL), PATH=quick_run.path)
    assert "Running stage 'unlearn'" in output
    assert "Running stage 'pretrain'" not in output
    run = json.loads((own / "data/08_reporting/erasediff/run.json").read_text())
    assert run["cost"]["steps"] == 2
    recorded = dvc(own, "exp", "show", "--csv").splitlines()
    assert len(recorded) == 4  # header, workspace, main, the experiment


def run_queued(dvc, project, experiments, **environment):
    """DVC's worker, which goes on by itself, until all have succeeded; a row for each of them.

    A worker that does not tell DVC within a second that it is busy is ended after its experiment.
    """
    assert dvc(project, "queue", "status").count("Queued") == experiments
    dvc(project, "queue", "start", "--jobs", "1", **environment)
    deadline, polls_without = time.monotonic() + PATIENCE, 0
    try:
        while (status := dvc(project, "queue", "status")).count("Success") < experiments:
            assert "Failed" not in status, status
            assert time.monotonic() < deadline, status
            polls_without = polls_without + 1 if "0 active, 0 idle" in status else 0
            if polls_without and polls_without % 3 == 0:
                dvc(project, "queue", "start", "--jobs", "1", **environment)
            time.sleep(3)
    finally:
        dvc(project, "queue", "stop", "--kill")
    assert not git(project, "status", "--short")
    table = pd.read_csv(StringIO(dvc(project, "exp", "show", "--csv")))
    return table[table["State"] == "Success"]


def tracked_runs(store):
    client = mlflow.MlflowClient(store)
    return client.search_runs([client.get_experiment_by_name("erasediff_pipeline").experiment_id])


@pytest.fixture
def tracking(own, quick_run):
    """Environment of DVC's worker: it works in copies of the project, which share this store."""
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{own / 'mlflow.db'}", "PATH": quick_run.path}


def test_a_sweep_is_queued_and_run_by_a_worker(own, tracking, dvc):
    parameters = "conf/base/parameters.yml"
    grid = set_to({**SMALL, f"{parameters}:forget.classes": "[1],[2]", f"{parameters}:seed": "3,4"})
    # Of one stage: a seed is also that of the data's split and of the base model.
    dvc(own, "exp", "run", "--queue", "--single-item", *grid, "unlearn", **tracking)
    found = run_queued(dvc, own, 4, **tracking)
    crossed = [("[1]", 3), ("[1]", 4), ("[2]", 3), ("[2]", 4)]
    assert sorted(zip(found["forget.classes"], found["seed"], strict=True)) == crossed
    assert found["erased.fid"].nunique() == 4
    runs = tracked_runs(tracking["MLFLOW_TRACKING_URI"])
    assert (
        sorted((run.data.params["forget.classes"], int(run.data.params["seed"])) for run in runs) == crossed
    )


def test_methods_are_an_axis_of_a_sweep(own, tracking, dvc):
    methods = "conf/base/parameters_methods.yml"
    asked = {
        "conf/base/parameters.yml:forget.classes": [1],
        "conf/base/parameters.yml:seed": 3,
        f"{methods}:compare.methods": "[finetune],[neggrad]",
        **{f"{methods}:{name}.{key}": n for name in ("finetune", "neggrad") for key, n in SHORT.items()},
    }
    stage = "benchmarks/dvc.yaml:table"
    dvc(own, "exp", "run", "--queue", "--single-item", *set_to({**SMALL, **asked}), stage, **tracking)
    found = run_queued(dvc, own, 2, **tracking)
    assert sorted(found["compare.methods"]) == ["['finetune']", "['neggrad']"]
    assert set(found["forget.classes"]) == {"[1]"}
    for commit, methods in zip(found["rev"], found["compare.methods"], strict=True):
        table = git(own, "show", f"{commit}:data/08_reporting/compare/summary.csv")
        assert list(pd.read_csv(StringIO(table))["method"]) == ["base", *yaml.safe_load(methods)]
    runs = tracked_runs(tracking["MLFLOW_TRACKING_URI"])
    assert sorted(run.info.run_name for run in runs) == [
        "base",
        "base",
        "compare",
        "compare",
        "finetune",
        "neggrad",
    ]


def test_plots_show(own, dvc):
    output = dvc(own, "plots", "show")
    page = own / "dvc_plots/index.html"
    assert page.name in output
    assert "forget_loss" in page.read_text()


def test_make_pull_brings_what_is_missing_and_leaves_a_run_of_your_own(own, dvc, make):
    """`make unlearn` twice, or `make test` after it: a plain `dvc pull` would refuse to overwrite."""
    erased = own / "data/06_models/erasediff/unet/config.json"
    erased.unlink()
    erased.write_text("{}")
    shutil.rmtree(own / "data/06_models/classifier")
    run = make("pull")
    assert run.code == 0, run.output
    assert "data/06_models/classifier" in run.output
    assert erased.read_text() == "{}"
    assert wrong(own) == {"data/06_models/erasediff"}
    assert make("pull").output.strip() == ""

    words = own / "data/06_models/tiny_text_to_image/base"
    shutil.rmtree(words)
    assert make("pull-words").code == 0
    assert (words / "model_index.json").exists()
    assert erased.read_text() == "{}"

    dvc(own, "pull", "--force")  # the README's way back to the reference result
    assert not wrong(own)
