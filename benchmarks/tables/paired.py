"""A paired test of one method against the others."""

import pandas as pd
from scipy import stats

LEVEL = 0.05
SIDES = {"farther": "greater", "nearer": "less"}


def compare_in_pairs(distances: pd.DataFrame, first: str) -> pd.DataFrame:
    """Test a method against every other: Wilcoxon's signed-rank test (1945), with Holm's correction (1979).

    "Is the other farther?" and "is it nearer?" are two questions, each with its own correction: over eight
    digits no two-sided test of nine methods could find anything.

    Args:
        distances: One row per method, one column per request.
        first: The method that is tested.

    Returns:
        By other method: ``median`` of its distance; ``difference``, the median of its distance minus that of
        ``first``; ``farther`` and ``nearer``, one-sided p, corrected for the number of methods.
    """
    others = distances.drop(index=first)
    gaps = others - distances.loc[first]
    found = pd.DataFrame({"median": others.median(axis=1), "difference": gaps.median(axis=1)})
    return found.assign(**{side: _correct(gaps, alternative) for side, alternative in SIDES.items()})


def _correct(gaps: pd.DataFrame, alternative: str) -> pd.Series:
    """One-sided p of each row, with Holm's correction."""
    p = gaps.apply(lambda row: stats.wilcoxon(row, alternative=alternative).pvalue, axis=1).sort_values()
    return (p * range(len(p), 0, -1)).cummax().clip(upper=1)


def describe_ranking(tests: pd.DataFrame, first: str, requests: int) -> str:
    """Say what the tests support, and what not."""
    if len(tests) * 2.0**-requests > LEVEL:  # the smallest p, if all differences have one sign
        return f"{requests} digits are too few for this test of {len(tests)} method{'s' * (len(tests) > 1)}."
    farther, nearer = tests["farther"] <= LEVEL, tests["nearer"] <= LEVEL
    if farther.all():
        return f"`{first}` is nearest to the retrained models."

    def names(which: pd.Series) -> str:
        return ", ".join(f"`{method}`" for method in tests.index[which]) or "none"

    return (
        f"Farther from the retrained models than `{first}`: {names(farther)}. Nearer: {names(nearer)}. "
        f"Cannot be told apart from it: {names(~(farther | nearer))}."
    )
