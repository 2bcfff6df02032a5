"""The order of the images: a pure function of seed and step, so a checkpoint need not keep it."""

from functools import lru_cache

import numpy as np

from erasediff_pipeline.seeding import derive_seed


@lru_cache(maxsize=8)
def _permutation(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n)


def batch_rows(n: int, batch_size: int, step: int, seed: int, stream: str) -> np.ndarray:
    """Rows of the batch at ``step``.

    Every pass over the set visits each row once, in an order of its own. A batch may span two passes.

    Args:
        n: Rows of the set.
        batch_size: Rows of a batch.
        step: Number of the step, from 0.
        seed: Seed of the order.
        stream: Name of the set; each has an order of its own.

    Returns:
        ``[batch_size]`` int64.
    """
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    passes, within = position // n, position % n
    rows = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(passes):
        order = _permutation(n, derive_seed(seed, "order", stream, int(epoch)))
        here = passes == epoch
        rows[here] = order[within[here]]
    return rows
