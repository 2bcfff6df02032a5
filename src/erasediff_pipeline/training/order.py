"""The order in which images are visited: a pure function of seed and step, so nothing need be saved."""

from functools import lru_cache

import numpy as np

from erasediff_pipeline.seeding import derive_seed


@lru_cache(maxsize=8)
def _permutation(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n)


def batch_rows(n: int, batch_size: int, step: int, seed: int, stream: str) -> np.ndarray:
    """Rows of the batch at ``step`` (from 0), int64 ``[batch_size]``.

    Every pass visits each of the n rows once, in an order of its own; a batch may straddle passes.
    """
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    passes, within = position // n, position % n
    rows = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(passes):
        order = _permutation(n, derive_seed(seed, "order", stream, int(epoch)))
        here = passes == epoch
        rows[here] = order[within[here]]
    return rows
