"""λ of EraseDiff: how far a step follows the forget gradient."""

from typing import Literal

Control = Literal["grad_norm", "value_gap", "cosine", "fixed"]

EPSILON = 1e-12
"""Keeps λ finite if the forget gradient vanishes."""

ETA = {"grad_norm": 1.0, "value_gap": 10.0, "cosine": 1.0, "fixed": 0.0}
"""η by control. On the digits the gap is about a tenth of ‖∇L_f‖²: both then give a λ of about 1."""

_INNER = ("inner_steps", "inner_learning_rate")
IDLE = {"fixed": ("eta", *_INNER), "value_gap": ("fixed_lambda",)}
IDLE |= dict.fromkeys(("grad_norm", "cosine"), ("fixed_lambda", *_INNER))
"""Settings that a control does not read."""


def find_lambda(
    control: str, inner: float, retain_norm: float, forget_norm: float, a: float, fixed: float
) -> float:
    """λ, the weight of the forget gradient.

    Args:
        control: ``fixed``, ``cosine``, ``grad_norm`` or ``value_gap``; the last two use the formula of
            ``erasediff``.
        inner: ⟨∇L_r, ∇L_f⟩.
        retain_norm: ‖∇L_r‖.
        forget_norm: ‖∇L_f‖.
        a: η‖∇L_f‖² (``grad_norm``), η times the value gap (``value_gap``), or η (``cosine``).
        fixed: λ under ``fixed``.

    Returns:
        λ ≥ 0, or NaN if an argument is NaN, so that the loop sees a gradient that is not finite.
    """
    if control == "fixed":
        return fixed
    if control == "cosine":
        return max(a - inner / (retain_norm * forget_norm + EPSILON), 0.0)
    return max((a - inner) / (forget_norm**2 + EPSILON), 0.0)  # in this order NaN stays NaN
