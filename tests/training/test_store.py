import logging
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from erasediff_pipeline.fingerprint import VERSIONS
from erasediff_pipeline.training import store as module
from erasediff_pipeline.training.store import FeatureStore

INPUTS = {"weights": "abc", "seed": 0, "settings": {"batches": 3}}


@pytest.fixture
def model(toy_model):
    return toy_model(lambda model, x_t, t, c: x_t)


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path)


class Compute:
    """Counts its calls; each takes seven images through the denoiser and some time."""

    def __init__(self, model, tensors=None, seconds=0.0):
        self.model, self.seconds, self.calls = model, seconds, 0
        self.tensors = tensors or {"a": torch.arange(4.0), "b": torch.tensor([[True, False]])}

    def __call__(self):
        self.calls += 1
        time.sleep(self.seconds)
        x, t = torch.zeros(7, 1, 8, 8), torch.zeros(7, dtype=torch.int64)
        self.model.denoise(x, t, self.model.null_condition(7))
        return self.tensors


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def equal(left, right):
    same = [left[k].dtype == right[k].dtype and torch.equal(left[k], right[k]) for k in left.keys() & right]
    return left.keys() == right.keys() and all(same)


def test_computed_once_for_the_same_inputs_and_counted_each_time(model, tmp_path):
    folder, compute = tmp_path / "deep" / "er", Compute(model)
    model.count(100)
    for total, inputs in ((107, INPUTS), (114, dict(reversed(INPUTS.items())))):
        assert equal(FeatureStore(folder).once("mask", model, inputs, compute), compute.tensors)
        assert model.evaluations == total
    assert compute.calls == 1
    assert files(folder) == ["mask.safetensors"]


def test_seconds_count_on_reuse_and_only_then(model, tmp_path, store):
    store.once("mask", model, INPUTS, Compute(model, seconds=0.2))
    assert store.reused_seconds == 0
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
def test_other_inputs_are_computed_and_replace_the_file(model, tmp_path, store, change):
    earlier, other = Compute(model), Compute(model, {"a": torch.zeros(2)})
    store.once("mask", model, INPUTS, earlier)
    for _ in range(2):
        assert equal(store.once("mask", model, {**INPUTS, **change}, other), other.tensors)
    assert (earlier.calls, other.calls) == (1, 1)
    store.once("mask", model, INPUTS, earlier)
    assert earlier.calls == 2
    assert files(tmp_path) == ["mask.safetensors"]


def test_another_version_of_the_method_or_of_the_sampling_computes_again(model, tmp_path, monkeypatch):
    compute = Compute(model)
    for version, calls in ((1, 1), (1, 1), (2, 2), (2, 2)):
        FeatureStore(tmp_path, version=version).once("mask", model, INPUTS, compute)
        assert compute.calls == calls
    monkeypatch.setitem(VERSIONS, "sampling", 99)
    for components, calls in (((), 2), (("sampling",), 3), (("sampling",), 3)):
        FeatureStore(tmp_path, version=2, components=components).once("mask", model, INPUTS, compute)
        assert compute.calls == calls


def test_each_name_has_a_file_of_its_own(model, tmp_path, store):
    fisher, replay = Compute(model), Compute(model, {"c": torch.ones(3)})
    for _ in range(2):
        assert equal(store.once("fisher", model, INPUTS, fisher), fisher.tensors)
        assert equal(store.once("replay", model, INPUTS, replay), replay.tensors)
    assert (fisher.calls, replay.calls) == (1, 1)
    assert files(tmp_path) == ["fisher.safetensors", "replay.safetensors"]


@pytest.mark.parametrize("left", [0, 5, 40, -1])
def test_truncated_file_is_computed_again_with_a_warning(model, tmp_path, store, caplog, left):
    path, compute = tmp_path / "mask.safetensors", Compute(model)
    store.once("mask", model, INPUTS, compute)
    path.write_bytes(path.read_bytes()[:left])
    with caplog.at_level(logging.WARNING, module.logger.name):
        for _ in range(2):
            assert equal(store.once("mask", model, INPUTS, compute), compute.tensors)
    assert (compute.calls, model.evaluations) == (2, 3 * 7)
    (record,) = caplog.records
    assert f"{path} is damaged" in record.getMessage()
    assert files(tmp_path) == ["mask.safetensors"]


def test_file_of_another_program_is_replaced(model, tmp_path, store):
    save_file({"a": torch.zeros(1)}, tmp_path / "mask.safetensors")
    compute = Compute(model)
    assert equal(store.once("mask", model, INPUTS, compute), compute.tensors)
    assert compute.calls == 1


def test_without_a_folder_nothing_is_kept(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store, compute = FeatureStore(), Compute(model)
    for calls in (1, 2):
        assert equal(store.once("mask", model, INPUTS, compute), compute.tensors)
        assert (compute.calls, model.evaluations) == (calls, calls * 7)
    assert store.reused_seconds == 0
    assert files(tmp_path) == []


def test_tensors_come_back_plain_and_unchanged(model, tmp_path):
    """Transposed, of a graph, views of one storage, or without axes."""
    shared = torch.arange(6, dtype=torch.int64)
    tensors = {"transposed": torch.randn(3, 2).T, "learnt": torch.randn(2, requires_grad=True) * 2}
    tensors |= {"left": shared[:2], "right": shared[2:].view(2, 2), "scalar": torch.tensor(3).byte()}
    compute = Compute(model, tensors)
    for _ in range(2):
        kept = FeatureStore(tmp_path).once("mask", model, INPUTS, compute)
        assert equal(kept, {name: tensor.detach() for name, tensor in tensors.items()})
        assert not any(tensor.requires_grad for tensor in kept.values())
    assert compute.calls == 1


@pytest.mark.parametrize("fault", ["disk", "computation"])
def test_failure_leaves_the_earlier_file(model, tmp_path, store, monkeypatch, fault):
    store.once("mask", model, INPUTS, Compute(model))
    before = (tmp_path / "mask.safetensors").read_bytes()

    def fail(tensors=None, path=None, metadata=None):
        if path:
            path.write_bytes(b"half")
        raise OSError("No space left on device")

    if fault == "disk":
        monkeypatch.setattr(module, "save_file", fail)
    with pytest.raises(OSError, match="No space"):
        store.once("mask", model, {"seed": 9}, Compute(model) if fault == "disk" else fail)
    assert files(tmp_path) == ["mask.safetensors"]
    assert (tmp_path / "mask.safetensors").read_bytes() == before


def test_inputs_must_be_plain(model, store):
    """An array would be hashed by its printed form, which leaves out most of a large one."""
    with pytest.raises(TypeError):
        store.once("mask", model, {"x": np.zeros(3)}, Compute(model))
