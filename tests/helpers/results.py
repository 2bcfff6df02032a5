"""Small results of every component that has a version; run as a program, it records them anew."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from erasediff_pipeline import config
from erasediff_pipeline.audits.inversion import invert
from erasediff_pipeline.audits.relearning import relearn
from erasediff_pipeline.diffusion.sampling import SCHEDULERS, stream_samples
from erasediff_pipeline.evaluation.classifiers.classifier import Classifier
from erasediff_pipeline.evaluation.judge import build_judge
from erasediff_pipeline.evaluation.membership import proximal_errors
from erasediff_pipeline.evaluation.metrics import evaluate_samples
from erasediff_pipeline.fingerprint import VERSIONS
from erasediff_pipeline.tracking.numbers import flatten
from erasediff_pipeline.training.denoising import Denoising
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.unlearning.registry import METHODS
from tests.helpers.runs import STEPPED, run, without_class_0
from tests.helpers.tasks import toy_task
from tests.helpers.toys import build_toy_unet, draw_toy_images

RECORD = Path(__file__).with_name("results.json")
LABELS = torch.tensor([0, 1, 2, 0, 1])


def versions():
    """The version of every component that has recorded results."""
    return VERSIONS | {name: METHODS[name].version for name in STEPPED}


def of_data():
    task = toy_task(draw_toy_images())
    numbers = task.plan(config.EvaluationSettings(forget_samples=3, retain_samples=4))["number"]
    return [*(task.split["set"] == "forget"), *numbers, *task.forget.labels, *task.unseen().labels]


def of_training():
    settings = METHODS["finetune"].settings(steps=4, batch_size=8, log_every=1, learning_rate=1e-3)
    model = build_toy_unet(dropout=0.1)
    history, _ = train(model, Denoising(settings), TrainingData(draw_toy_images()), settings, 0)
    return values_of(history, model)


def of_method(name):
    model = build_toy_unet()
    history, _, _ = run(name, model, without_class_0(draw_toy_images()), steps=2)
    return values_of(history, model)


def of_sampling():
    found = []
    for sampler in SCHEDULERS:
        settings = config.SamplingSettings(sampler=sampler, steps=4, guidance_scale=1.0)
        drawn = torch.cat(list(stream_samples(build_toy_unet(), LABELS, 0, settings))).float()
        found += [float(drawn.mean()), float(drawn.std())]
    return found


def of_evaluation():
    torch.manual_seed(0)
    classifier = Classifier(channels=8, features=4, classes=3, rejects=True)
    images = draw_toy_images()
    samples = images.select(np.arange(30))
    roles = np.where(samples.labels == 0, "forget", "retain")
    settings = config.EvaluationSettings()
    judge = build_judge(classifier, images.select(images.labels != 0), settings)
    measured = evaluate_samples(judge.look(samples), roles, judge)
    errors = proximal_errors(build_toy_unet(), samples, settings, 256)
    numbers = [value for value in flatten(measured).values() if isinstance(value, int | float)]
    return [*numbers, *errors[:5].tolist()]


def of_relearning():
    settings = config.RelearningSettings(steps=2, images=8, batch_size=4)
    curve = relearn(build_toy_unet(), draw_toy_images(), lambda model, step: sizes(model)[0], settings, 0)
    return [*curve["step"], *curve["forget_accuracy"]]


def of_inversion():
    given = build_toy_unet(), without_class_0(draw_toy_images()).forget, torch.tensor([1, 2])
    settings = config.InversionSettings(steps=2, restarts=1, batch_size=4)
    size = lambda model: float(model.embedding["table 0"].detach().norm())  # noqa: E731
    with TemporaryDirectory() as folder:
        found = invert(*given, size, settings, 0, Path(folder) / "checkpoint")
    return [*found["loss"], *found["forget_accuracy"]]


def sizes(model):
    """What the weights come to, in a few numbers."""
    flat = torch.cat([p.detach().flatten() for p in model.parameters()]).double()
    return [float(flat.norm()), float(flat.abs().mean()), float(flat[::97].sum())]


def values_of(history, model):
    return [*(value for point in history for value in point.values()), *sizes(model)]


def result_of(component):
    """Numbers that change when the results of the component do."""
    torch.manual_seed(0)
    compute = globals().get(f"of_{component}") or (lambda: of_method(component))
    return [round(float(value), 6) for value in compute()]


if __name__ == "__main__":
    torch.set_num_threads(1)
    record = {name: {"version": v, "values": result_of(name)} for name, v in versions().items()}
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
