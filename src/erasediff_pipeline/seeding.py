"""Independent streams of random numbers from one seed."""

import hashlib

import torch


def derive_seed(seed: int, *stream: str | int) -> int:
    """The seed of one stream, in [0, 2**63): the top-level seed hashed with the stream's name.

    Streams with different names are independent, so a longer training does not change the noise that the
    evaluation draws.
    """
    text = "/".join(str(part) for part in (seed, *stream))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def make_generator(seed: int, *stream: str | int) -> torch.Generator:
    """A generator on the CPU for one stream; see :func:`derive_seed`."""
    return torch.Generator().manual_seed(derive_seed(seed, *stream))
