"""One top-level seed, many independent streams of random numbers."""

import hashlib

import torch


def derive_seed(seed: int, *stream: str | int) -> int:
    """Mix ``seed`` with the name of a stream into a seed in [0, 2**63).

    Streams with different names are independent, so a longer training run does not change the noise
    that the evaluation draws.
    """
    text = "/".join(str(part) for part in (seed, *stream))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def make_generator(seed: int, *stream: str | int) -> torch.Generator:
    """A generator, on the CPU, for one named stream; see :func:`derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, *stream))
