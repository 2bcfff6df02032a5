"""One answer to "was this made from the same inputs?"."""

import hashlib
import json
from typing import Any

VERSIONS = {
    "data": 1,  # split, conditions and the order of samples
    "training": 1,  # the loop: order, noise, optimiser, running mean
    "sampling": 2,
    "evaluation": 7,  # what metrics.json holds
    "relearning": 2,
    "inversion": 2,
}
"""Version of each component whose results are kept on disk; raise it when its results change.

The registry holds the versions of methods. A test compares small results of every component with recorded
ones, and names each component whose results have changed without a new version.
"""


def describe_inputs(
    *components: str, versions: dict[str, int] | None = None, **inputs: Any
) -> dict[str, Any]:
    """All that decides a result, as plain JSON: versions of the components, settings, hashes of inputs.

    Args:
        components: Keys of ``VERSIONS``.
        versions: Versions of other components, such as methods.
        inputs: Settings, seeds and hashes.

    Raises:
        TypeError: JSON cannot hold an input.
    """
    known = {name: VERSIONS[name] for name in components} | (versions or {})
    described = {"versions": known, **inputs}
    return json.loads(json.dumps(described, sort_keys=True))


def fingerprint(*components: str, versions: dict[str, int] | None = None, **inputs: Any) -> str:
    """SHA-256 of :func:`describe_inputs`."""
    return hash_json(describe_inputs(*components, versions=versions, **inputs))


def hash_json(values: dict[Any, Any]) -> str:
    """SHA-256 of plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
