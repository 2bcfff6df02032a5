import logging
import time

import numpy as np
import pytest
import torch

from erasediff_pipeline.training import store as module
from erasediff_pipeline.training.store import FeatureStore

INPUTS = {"weights": "abc", "seed": 0, "settings": {"batches": 3}}


@pytest.fixture
def model(toy_model):
    return toy_model(lambda model, x_t, t, c: x_t)


class Compute:
    """Counts its calls; each takes ``cost`` images through the denoiser and some time."""

    def __init__(self, model, tensors=None, cost=7, seconds=0.0):
        self.model, self.cost, self.seconds, self.calls = model, cost, seconds, 0
        self.tensors = tensors or {"a": torch.arange(4.0), "b": torch.tensor([[True, False]])}

    def __call__(self):
        self.calls += 1
        time.sleep(self.seconds)
        x = torch.zeros(self.cost, 1, 8, 8)
        self.model.denoise(x, torch.zeros(self.cost, dtype=torch.int64), self.model.null_condition(self.cost))
        return self.tensors


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def equal(left, right):
    return left.keys() == right.keys() and all(
        left[k].dtype == right[k].dtype and torch.equal(left[k], right[k]) for k in left
    )


def test_computed_once_for_the_same_inputs(model, tmp_path):
    compute = Compute(model)
    first = FeatureStore(tmp_path).once("mask", model, INPUTS, compute)
    again = FeatureStore(tmp_path).once("mask", model, dict(reversed(INPUTS.items())), compute)
    assert compute.calls == 1
    assert equal(first, compute.tensors)
    assert equal(again, compute.tensors)
    assert files(tmp_path) == ["mask.safetensors"]


def test_folder_is_made(model, tmp_path):
    FeatureStore(tmp_path / "deep" / "er").once("mask", model, INPUTS, Compute(model))
    assert files(tmp_path / "deep" / "er") == ["mask.safetensors"]


def test_evaluations_count_on_reuse_as_if_it_were_computed(model, tmp_path):
    model.count(100)
    FeatureStore(tmp_path).once("mask", model, INPUTS, Compute(model, cost=7))
    assert model.evaluations == 107
    for total in (114, 121):
        FeatureStore(tmp_path).once("mask", model, INPUTS, Compute(model, cost=7))
        assert model.evaluations == total


def test_seconds_count_on_reuse_and_only_then(model, tmp_path):
    computing = FeatureStore(tmp_path)
    computing.once("mask", model, INPUTS, Compute(model, seconds=0.2))
    assert computing.reused_seconds == 0
    reusing = FeatureStore(tmp_path)
    started = time.perf_counter()
    reusing.once("mask", model, INPUTS, Compute(model))
    assert time.perf_counter() - started < 0.2 <= reusing.reused_seconds
    once = reusing.reused_seconds
    reusing.once("mask", model, INPUTS, Compute(model))
    assert reusing.reused_seconds == pytest.approx(2 * once)


@pytest.mark.parametrize(
    "change", [{"weights": "abd"}, {"seed": 1}, {"settings": {"batches": 4}}, {"more": None}]
)
def test_other_inputs_are_computed_and_replace_the_file(model, tmp_path, change):
    store = FeatureStore(tmp_path)
    earlier, other = Compute(model), Compute(model, {"a": torch.zeros(2)})
    store.once("mask", model, INPUTS, earlier)
    assert equal(store.once("mask", model, {**INPUTS, **change}, other), other.tensors)
    store.once("mask", model, {**INPUTS, **change}, other)
    assert (earlier.calls, other.calls) == (1, 1)
    assert store.reused_seconds > 0
    store.once("mask", model, INPUTS, earlier)
    assert earlier.calls == 2
    assert files(tmp_path) == ["mask.safetensors"]


def test_each_name_has_a_file_of_its_own(model, tmp_path):
    store = FeatureStore(tmp_path)
    fisher, replay = Compute(model), Compute(model, {"c": torch.ones(3)})
    for _ in range(2):
        assert equal(store.once("fisher", model, INPUTS, fisher), fisher.tensors)
        assert equal(store.once("replay", model, INPUTS, replay), replay.tensors)
    assert (fisher.calls, replay.calls) == (1, 1)
    assert files(tmp_path) == ["fisher.safetensors", "replay.safetensors"]


@pytest.mark.parametrize("left", [0, 5, 40, -1])
def test_truncated_file_is_computed_anew_with_a_warning(model, tmp_path, caplog, left):
    path = tmp_path / "mask.safetensors"
    store, compute = FeatureStore(tmp_path), Compute(model)
    store.once("mask", model, INPUTS, compute)
    whole = path.read_bytes()
    path.write_bytes(whole[:left])
    before = model.evaluations
    with caplog.at_level(logging.WARNING, module.logger.name):
        assert equal(store.once("mask", model, INPUTS, compute), compute.tensors)
    assert compute.calls == 2
    assert model.evaluations == before + 7
    assert store.reused_seconds == 0
    (record,) = caplog.records
    assert f"{path} is damaged" in record.getMessage()
    store.once("mask", model, INPUTS, compute)
    assert compute.calls == 2
    assert files(tmp_path) == ["mask.safetensors"]


def test_file_of_another_program_is_replaced(model, tmp_path):
    module.save_file({"a": torch.zeros(1)}, tmp_path / "mask.safetensors")
    compute = Compute(model)
    assert equal(FeatureStore(tmp_path).once("mask", model, INPUTS, compute), compute.tensors)
    assert compute.calls == 1


def test_without_a_folder_nothing_is_kept(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store, compute = FeatureStore(), Compute(model)
    for calls in (1, 2):
        assert equal(store.once("mask", model, INPUTS, compute), compute.tensors)
        assert compute.calls == calls
    assert model.evaluations == 2 * 7
    assert store.reused_seconds == 0
    assert files(tmp_path) == []


def test_tensors_come_back_plain_and_unchanged(model, tmp_path):
    """Transposed, of a graph, views of one storage, or without axes."""
    shared = torch.arange(6, dtype=torch.int64)
    tensors = {
        "transposed": torch.randn(3, 2).T,
        "learnt": torch.randn(2, requires_grad=True) * 2,
        "left": shared[:2],
        "right": shared[2:].view(2, 2),
        "scalar": torch.tensor(3, dtype=torch.uint8),
    }
    compute = Compute(model, tensors)
    first = FeatureStore(tmp_path).once("mask", model, INPUTS, compute)
    again = FeatureStore(tmp_path).once("mask", model, INPUTS, compute)
    assert compute.calls == 1
    for kept in (first, again):
        assert equal(kept, {name: tensor.detach() for name, tensor in tensors.items()})
        assert not any(tensor.requires_grad for tensor in kept.values())


@pytest.fixture
def kept(model, tmp_path):
    """A folder with a file, and the bytes of it."""
    FeatureStore(tmp_path).once("mask", model, INPUTS, Compute(model))
    return tmp_path, (tmp_path / "mask.safetensors").read_bytes()


def test_failed_write_leaves_the_earlier_file(model, kept, monkeypatch):
    folder, before = kept

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(module, "save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        FeatureStore(folder).once("mask", model, {"seed": 9}, Compute(model))
    assert files(folder) == ["mask.safetensors"]
    assert (folder / "mask.safetensors").read_bytes() == before


def test_failed_computation_leaves_the_earlier_file(model, kept):
    folder, before = kept

    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureStore(folder).once("mask", model, {"seed": 9}, fail)
    assert files(folder) == ["mask.safetensors"]
    assert (folder / "mask.safetensors").read_bytes() == before


def test_inputs_must_be_plain(model, tmp_path):
    """An array would be hashed by its printed form, which leaves out most of a large one."""
    with pytest.raises(TypeError):
        FeatureStore(tmp_path).once("mask", model, {"x": np.zeros(3)}, Compute(model))
