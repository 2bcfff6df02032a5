"""Judges, histories and evidence that were edited or mixed up; stores, disks and places of a project."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from erasediff_pipeline import paths
from erasediff_pipeline.catalog import ClassifierFolder
from erasediff_pipeline.config import CaptionSettings, ClassifierSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.io import HISTORY, ModelWithHistory, load_model, save_model
from erasediff_pipeline.evaluation.classifiers.accuracy import check_judge
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier, train_classifier
from erasediff_pipeline.evaluation.classifiers.pretrained import check_classifier
from erasediff_pipeline.evidence.recorded import (
    AUDITED,
    FILES,
    check_files,
    check_run,
    hash_judge,
    hash_model,
    hash_results,
    list_files,
    seal,
)
from erasediff_pipeline.tracking.store import check_address, check_database, separate_credentials
from tests.helpers.refusals import check, refused
from tests.helpers.requests import answered

WEIGHTS = "diffusion_pytorch_model.safetensors"
TAKEN = "taken"
AGAIN = "make it again with `kedro run --pipeline=judge`"
BROKEN = refused("classifier: ", "cannot be loaded: ", f"restore it, or {AGAIN}")


@pytest.fixture(scope="module")
def saved_judge(toy_images, tmp_path_factory):
    """A judge that knows three classes of 8×8; read only."""
    folder = tmp_path_factory.mktemp("judge") / "classifier"
    settings = ClassifierSettings(channels=8, features=16, epochs=12, batch_size=20)
    ClassifierFolder(str(folder)).save(train_classifier(toy_images, settings, seed=0))
    return folder


def of_weights(change_one):
    def change(folder):
        found = load_file(folder / WEIGHTS)
        change_one(found)
        save_file(found, folder / WEIGHTS, {"format": "pt"})

    return change


def filled(value):
    return of_weights(lambda found: [of.fill_(value) for of in found.values() if of.is_floating_point()])


def exchanged(found):
    """What it says of the first two classes."""
    for name in ("head.weight", "head.bias"):
        found[name] = found[name][[1, 0, *range(2, len(found[name]))]].contiguous()


def settings_of(**values):
    def change(folder):
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return change


def replaced(**values):
    """Another judge, untrained."""

    def change(folder):
        torch.manual_seed(0)
        shutil.rmtree(folder)
        ClassifierFolder(str(folder)).save(Classifier(**{"classes": 3, **values}))

    return change


def written(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def removed(name):
    return lambda folder: (folder / name).unlink()


def pickled(folder):
    torch.save(load_file(folder / WEIGHTS), folder / "diffusion_pytorch_model.bin")
    (folder / WEIGHTS).unlink()


JUDGES = {
    "as it was saved": (lambda folder: None, TAKEN),
    "that was never trained": (replaced(), refused("accuracy", "120 unseen images is below", AGAIN)),
    "that takes each of two classes for the other": (of_weights(exchanged), refused("0.3333", "0 as 1")),
    "of zeros": (filled(0.0), refused("accuracy 0.3333", "is below", AGAIN)),
    "of infinite weights": (filled(float("inf")), refused("not finite", AGAIN)),
    "that answers with what is no number": (filled(float("nan")), refused("not finite", AGAIN)),
    "of fewer classes": (replaced(classes=2), refused("of 2 classes", "of 3", AGAIN)),
    "of more classes": (replaced(classes=10), refused("of 10 classes", "of 3", AGAIN)),
    "of larger images": (replaced(side=16), refused("(1, 16, 16)", "(1, 8, 8)", AGAIN)),
    "of colour images": (replaced(in_channels=3), refused("(3, 8, 8)", "(1, 8, 8)", AGAIN)),
    "whose settings say another size": (settings_of(side=16), BROKEN),
    "whose settings say other classes": (settings_of(classes=7), BROKEN),
    "whose settings are no JSON": (written("config.json", b"{"), BROKEN),
    "whose settings are a list": (written("config.json", b"[]"), BROKEN),
    "of an unknown class": (settings_of(_class_name="BestJudge"), BROKEN),
    "without settings": (removed("config.json"), BROKEN),
    "without weights": (removed(WEIGHTS), BROKEN),
    "of empty weights": (written(WEIGHTS, b""), BROKEN),
    "of a pointer of Git LFS": (written(WEIGHTS, b"version https://git-lfs"), BROKEN),
    "of pickled weights": (pickled, BROKEN),
}
"""A folder with a classifier … → whether it is taken to judge samples."""


@pytest.mark.parametrize("what", JUDGES)
def test_a_judge(saved_judge, toy_images, tmp_path, what):
    change, expected = JUDGES[what]
    folder = tmp_path / "classifier"
    shutil.copytree(saved_judge, folder)
    change(folder)
    unseen = pd.DataFrame({"label": toy_images.labels, "split": "test"})

    def answer():
        judge = ClassifierFolder(str(folder)).load()
        check_classifier(judge, CaptionSettings())
        check_judge(judge, "data/classifier", toy_images, unseen, ClassifierSettings(), seed=0)
        return TAKEN

    check(answer, expected)


ASKED = (answered(0), answered(3), answered(5))


def of_history(change_all):
    def change(folder):
        entries = json.loads((folder / HISTORY).read_text())
        (folder / HISTORY).write_text(json.dumps(change_all(entries)))

    return change


def of_another_model(folder):
    """The history of a model that has forgotten less."""
    other = folder.with_name("other")
    save_model(ModelWithHistory(load_model(folder).pipeline, ASKED[:1]), other)
    shutil.copy(other / HISTORY, folder / HISTORY)


def indented(folder):
    (folder / HISTORY).write_text(json.dumps(json.loads((folder / HISTORY).read_text()), indent=8))


LOST = refused(HISTORY, "restore the file")
HISTORIES = {
    "as it was written": (lambda folder: None, 3),
    "deleted": (removed(HISTORY), LOST),
    "emptied": (of_history(lambda entries: []), LOST),
    "without its first request": (of_history(lambda entries: entries[1:]), LOST),
    "without its last request": (of_history(lambda entries: entries[:-1]), LOST),
    "in another order": (of_history(lambda entries: entries[::-1]), LOST),
    "with a request more": (of_history(lambda entries: [*entries, entries[0]]), LOST),
    "with another class": (
        of_history(lambda entries: [{**entry, "classes": [7]} for entry in entries]),
        LOST,
    ),
    "with another method": (
        of_history(lambda entries: [{**entry, "method": "salun"} for entry in entries]),
        LOST,
    ),
    "of another model": (of_another_model, LOST),
    "formatted anew by an editor": (indented, LOST),
    "that is null": (written(HISTORY, b"null"), LOST),
    "that is an object": (written(HISTORY, b"{}"), LOST),
    "of bytes that are no text": (written(HISTORY, b"\xff\xfe\x00"), LOST),
    "cut off": (lambda f: (f / HISTORY).write_bytes((f / HISTORY).read_bytes()[:-20]), LOST),
}
"""What was done to the history of three requests beside a model's weights → how many are read."""


@pytest.mark.parametrize("what", HISTORIES)
def test_a_history(unet_model, tmp_path, what):
    change, expected = HISTORIES[what]
    save_model(ModelWithHistory(unet_model().to_pipeline(), ASKED), tmp_path / "model")
    change(tmp_path / "model")
    check(lambda: len(load_model(tmp_path / "model").history), expected)


def pixels(value):
    return LabelledImages(np.full((2, 1, 8, 8), value, np.uint8), np.array([0, 1]))


class Result:
    """What a run has left, and what its audit has written; a change is an edit by hand."""

    def __init__(self, pipeline, folder):
        self.folder = folder
        self.metrics = {"method": "esd", "erased": {"fid": 10.0, "forget_accuracy": 0.3}}
        self.curves = pd.DataFrame({"step": [1, 2], "loss": [0.5, 0.4]})
        self.base, self.erased = pixels(0), pixels(9)
        self.model, self.judge = ModelWithHistory(pipeline, ASKED[:1]), Classifier(classes=3)
        recorded = {"cost": {"steps": 100}, "provenance": {"parameters": {"seed": 0}}}
        self.run = seal(recorded | {"results": self.hashes()})
        for name in AUDITED:
            (folder / name).write_text("{}")
        (folder / FILES).write_text(json.dumps(list_files(folder, self.run)))

    def hashes(self):
        found = hash_results(self.metrics, self.curves, self.base, self.erased)
        return found | hash_model(self.model) | hash_judge(self.judge)

    def check(self):
        check_run(self.run, self.hashes(), "audit.model: 'esd'")
        check_files(self.folder, self.run)
        return TAKEN


def edit(name, value):
    return lambda result: setattr(result, name, value)


def of_run(**values):
    return lambda result: result.run.update(values)


def sealed_again(result):
    """A forger who knows how: the results of another run, with their own hash."""
    result.run = seal({"results": result.run["results"], "cost": {}})


def one_weight(result):
    result.model.pipeline.unet.conv_in.weight.data.view(-1)[0] += 1


def schedule(result):
    result.model.pipeline.scheduler.register_to_config(beta_end=0.5)


def in_folder(name, content):
    return lambda result: (result.folder / name).write_text(content)


def unlink(name):
    return lambda result: (result.folder / name).unlink()


def differs(name):
    return refused("audit.model: 'esd'", f"{name} is not what its run has recorded", "restore it")


NO_RUN = refused("audit.model: 'esd'", "run.json was edited, or an earlier version wrote it", "again")
EVIDENCE = {
    "as it was written": (lambda result: None, TAKEN),
    "with a lower FID": (lambda result: result.metrics["erased"].update(fid=1.0), differs("metrics.json")),
    "with a figure less": (lambda result: result.metrics["erased"].pop("fid"), differs("metrics.json")),
    "with a figure more": (lambda result: result.metrics.update(note="fine"), differs("metrics.json")),
    "of another method": (lambda result: result.metrics.update(method="uce"), differs("metrics.json")),
    "with smoother curves": (
        lambda result: edit("curves", result.curves.assign(loss=0.1))(result),
        differs("curves.csv"),
    ),
    "with curves cut off": (
        lambda result: edit("curves", result.curves[:1])(result),
        differs("curves.csv"),
    ),
    "with other samples of the base model": (edit("base", pixels(1)), differs("base_samples")),
    "with better samples of the erased model": (edit("erased", pixels(0)), differs("erased_samples")),
    "with one weight changed": (one_weight, differs("the model")),
    "with another noise schedule": (schedule, differs("the model")),
    "with another judge": (edit("judge", Classifier(classes=3)), differs("the classifier")),
    "without a history": (
        lambda result: edit("model", ModelWithHistory(result.model.pipeline))(result),
        differs(HISTORY),
    ),
    "with a longer history": (
        lambda result: edit("model", ModelWithHistory(result.model.pipeline, ASKED))(result),
        differs(HISTORY),
    ),
    "of another seed, says run.json": (of_run(provenance={"parameters": {"seed": 1}}), NO_RUN),
    "that cost less, says run.json": (of_run(cost={"steps": 1}), NO_RUN),
    "with hashes of its own": (of_run(results={}), NO_RUN),
    "of a run.json without a hash": (lambda result: result.run.pop("sha256"), NO_RUN),
    "of an empty run.json": (edit("run", {}), NO_RUN),
    "of another run": (sealed_again, refused("another run of this pipeline", "audit again")),
    "with an edited audit": (in_folder("audit.json", '{"inversion": 0}'), refused("audit.json is not as")),
    "with an edited table": (in_folder("membership.csv", "auc\n0.5\n"), refused("membership.csv is not as")),
    "with an edited page": (in_folder("report.html", "<p>gone</p>"), refused("report.html is not as")),
    "without its picture": (unlink("audit.png"), refused("audit.png is not as", "restore it, or audit")),
    "with a file of one's own": (in_folder("more.csv", "1"), refused("more.csv is not of the audit", "move")),
    "without a list of its files": (unlink(FILES), refused(f"{FILES} is missing or edited", "audit again")),
    "with an empty list of files": (in_folder(FILES, "{}"), refused(f"{FILES} is missing or edited")),
    "with a list of files that is no JSON": (in_folder(FILES, "{"), refused(f"{FILES} is missing or edited")),
}
"""What was done to a run's results or to the files of their audit → whether they are audited and signed."""


@pytest.mark.parametrize("what", EVIDENCE)
def test_evidence(unet_model, tmp_path, what):
    change, expected = EVIDENCE[what]
    result = Result(unet_model().to_pipeline(), tmp_path)
    change(result)
    check(result.check, expected)


STORES = {
    "http://localhost:5000": TAKEN,
    "https://user:secret@host/mlflow": TAKEN,
    "http://[::1]:5000": TAKEN,
    "sqlite:////data/a@b.db": TAKEN,
    "postgresql://me:secret@host/mlflow": TAKEN,
    "databricks": TAKEN,
    "./runs": TAKEN,
    "http://[::1": refused("MLFLOW_TRACKING_URI", "Invalid IPv6 URL", "http://<host>:<port>"),
    "http://[nonsense]:5000": refused("MLFLOW_TRACKING_URI", "http://<host>:<port>"),
    "http://localhost:port": refused("MLFLOW_TRACKING_URI", "'port'", "http://<host>:<port>"),
    "http://localhost:5000:5000": refused("MLFLOW_TRACKING_URI", "http://<host>:<port>"),
    "http://localhost:-1": refused("MLFLOW_TRACKING_URI", "http://<host>:<port>"),
    "http://user:secret@localhost:99999": refused("MLFLOW_TRACKING_URI", "0-65535", "http://<host>:<port>"),
}
"""``MLFLOW_TRACKING_URI`` → whether a run asks there."""


@pytest.mark.parametrize("uri", STORES)
def test_an_address_of_mlflow(monkeypatch, uri):
    for name in ("USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    def answer():
        separate_credentials()
        check_address()
        return TAKEN

    check(answer, STORES[uri])


DAMAGED = refused("mlflow.db is damaged", "restore it, or begin a new one: `mv ")
DATABASES = {
    "empty": (b"", TAKEN),
    "a text": (b"notes\n" * 500, DAMAGED),
    "a page of HTML": (b"<html>Sign in</html>", DAMAGED),
    "only the head of one": (b"SQLite format 3\0", DAMAGED),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n" * 3, DAMAGED),
}
"""What ``mlflow.db`` is → whether MLflow may fill it."""


@pytest.mark.parametrize("what", DATABASES)
def test_a_file_of_mlflow(tmp_path, what):
    content, expected = DATABASES[what]
    (tmp_path / "mlflow.db").write_bytes(content)
    check(lambda: check_database(tmp_path / "mlflow.db") or TAKEN, expected)


MIB = 2**20
DISKS = {
    "with room": (10_000 * MIB, True, TAKEN),
    "with just enough room": (64 * MIB, True, TAKEN),
    "with little room": (15 * MIB, True, refused("runs/report.html", "15 MiB are free", "at least 64 MiB")),
    "without a byte": (0, True, refused("runs/report.html", "0 MiB are free", "free at least 64 MiB")),
    "that is read-only": (10_000 * MIB, False, refused("runs/report.html", "is read-only", "writable")),
}
"""Free bytes, whether it is writable → whether a run begins."""


@pytest.mark.parametrize("what", DISKS)
def test_a_disk(tmp_path, monkeypatch, what):
    free, writable, expected = DISKS[what]
    monkeypatch.setattr(paths.shutil, "disk_usage", lambda place: SimpleNamespace(free=free))
    monkeypatch.setattr(paths.os, "access", lambda place, how: writable)
    check(lambda: paths.check_writable(tmp_path / "runs/report.html") or TAKEN, expected)


ELSEWHERE = "move the project to another folder"
FOLDERS = {
    "erase": TAKEN,
    "my project": TAKEN,
    'it\'s a #1 "clone"; ä': TAKEN,
    "a%20b": refused("take % in the name", ELSEWHERE),
    "what?": refused("take ? in the name", ELSEWHERE),
    "a*": refused("take * in the name", ELSEWHERE),
    "set [1]": refused("take [ and ] in the name", ELSEWHERE),
    "{name}": refused("take { and } in the name", ELSEWHERE),
}
"""Name of a folder above the project → whether a run begins."""


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_the_project(tmp_path, monkeypatch, name):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path / name / "project")
    check(lambda: paths.check_root() or TAKEN, FOLDERS[name])


ENCODINGS = {
    "UTF-8": TAKEN,
    "utf8": TAKEN,
    "ANSI_X3.4-1968": refused("LC_ALL or LANG", "ascii, not UTF-8", "`export PYTHONUTF8=1`"),
    "ISO-8859-1": refused("LC_ALL or LANG", "iso8859-1, not UTF-8"),
    "cp1252": refused("LC_ALL or LANG", "cp1252, not UTF-8"),
}
"""Encoding of the locale → whether a run begins."""


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_locale(monkeypatch, encoding):
    monkeypatch.setattr(paths.locale, "getpreferredencoding", lambda: encoding)
    check(lambda: paths.check_encoding() or TAKEN, ENCODINGS[encoding])
