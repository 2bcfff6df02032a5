import numpy as np
import pytest

from erasediff_pipeline.training.order import batch_rows


def visit(n, batch_size, steps, seed=0, stream="retain"):
    return np.concatenate([batch_rows(n, batch_size, step, seed, stream) for step in range(steps)])


@pytest.mark.parametrize(("n", "batch_size"), [(12, 4), (10, 4), (3, 8), (1, 5)])
def test_every_pass_visits_each_row_once(n, batch_size):
    rows = visit(n, batch_size, 3 * n)
    passes = rows[: len(rows) // n * n].reshape(-1, n)
    assert (np.sort(passes, axis=1) == np.arange(n)).all()


def test_each_pass_has_an_order_of_its_own():
    first, second = visit(50, 50, 2).reshape(2, 50)
    assert (first != second).any()


def test_a_step_needs_no_earlier_step():
    assert (batch_rows(10, 4, 7, 0, "retain") == visit(10, 4, 8)[-4:]).all()


def test_order_depends_on_seed_and_stream():
    orders = [
        visit(50, 50, 1, seed, stream) for seed, stream in ((0, "retain"), (1, "retain"), (0, "forget"))
    ]
    assert len({order.tobytes() for order in orders}) == 3
