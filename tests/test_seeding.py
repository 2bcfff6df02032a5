import hashlib

import torch

from erasediff_pipeline.seeding import derive_seed, make_generator


def test_seed_is_a_hash_of_seed_and_stream():
    digest = hashlib.sha256(b"7/noise/3").digest()
    assert derive_seed(7, "noise", 3) == int.from_bytes(digest[:8], "big") // 2


def test_seeds_fit_torch_and_never_meet():
    seeds = {derive_seed(seed, name, i) for seed in range(5) for name in ("a", "b") for i in range(100)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generator_of_a_stream_is_the_same_again():
    draws = [torch.randn(3, generator=make_generator(1, *stream)) for stream in ("a", "a", "b")]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
