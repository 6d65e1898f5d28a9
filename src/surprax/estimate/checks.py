"""What is asked of an estimate, checked: levels, keys, labels, numbers and clusters, refused in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

__all__ = [
    "by_name",
    "checked_key",
    "checked_label",
    "checked_level",
    "cluster_codes",
    "finite_numbers",
    "whole_number",
]


def checked_level(level: Any) -> float:
    """A share between 0 and 1.

    >>> checked_level(95)
    Traceback (most recent call last):
    ValueError: A level is a share between 0 and 1; got 95: write 0.95 for 95 %.
    """
    number = _number(level)
    if number is not None and 0 < number < 1:
        return number
    hint = f": write {number / 100:g} for {number:g} %" if number is not None and 1 < number < 100 else ""
    raise ValueError(f"A level is a share between 0 and 1; got {level!r}{hint}.")


def checked_key(key: Any, what: str) -> Any:
    """A JAX random key."""
    if key is None:
        raise ValueError(f"{what} at random: pass a key, jax.random.key(0).")
    try:
        jax.random.key_data(key)
    except (TypeError, ValueError):
        if getattr(key, "dtype", None) != np.uint32:  # as jax.random.PRNGKey makes them
            raise ValueError(f"A key is one of JAX's, such as jax.random.key(0); got {_told(key)}.") from None
    return key


def checked_label(label: Any, labels: Sequence[str]) -> str:
    """One of the labels."""
    if not isinstance(label, str) or label not in labels:
        known = f"{', '.join(labels[:12])}{' …' * (len(labels) > 12)}"
        one = "" if isinstance(label, str) else " (one at a time, by its name)"
        raise KeyError(f"Parameters are {known}; got {label!r}{one}.")
    return label


def finite_numbers(values: Any, what: str) -> np.ndarray:
    """Numbers as float64, none of them infinite or missing; `what` begins the sentence, "Values of scale are"."""
    try:
        out = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{what} numbers; got {_told(values)}.") from None
    if not np.all(np.isfinite(out)):
        raise ValueError(f"{what} finite numbers; got {out[~np.isfinite(out)].flat[0] if out.ndim else out[()]}.")
    return out


def by_name(given: Any, argument: str) -> Mapping[str, Any]:
    """A mapping from names, or none."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(f"{argument} has values by name, {argument}={{'x': 0.0}}; got {_told(given)}.")
    return given


def whole_number(value: Any, least: int, what: str) -> int:
    """A whole number from `least` on."""
    number = _number(value)
    if number is None or number != round(number) or number < least:
        raise ValueError(f"{what} at least {least}, a whole number; got {_told(value)}.")
    return int(number)


def cluster_codes(clusters: Any, n: int) -> tuple[np.ndarray, int]:
    """Which cluster each of n rows is in, and how many clusters there are.

    >>> cluster_codes(["b", "a", "b"], 3)
    (array([1, 0, 1]), 2)
    """
    labels = np.asarray(clusters)
    if labels.shape != (n,):
        raise ValueError(
            f"There is one label of a cluster for each of {n} rows; got {_told(clusters)} of shape {labels.shape}."
        )
    missing = np.zeros(n, bool)
    if labels.dtype.kind in "fmM":
        missing = np.isnan(labels) if labels.dtype.kind == "f" else np.isnat(labels)
    elif labels.dtype.kind == "O":
        missing = np.array([one is None or one != one for one in labels.tolist()], bool)
    if np.any(missing):
        raise ValueError(
            f"Every row has a label of its cluster; {int(missing.sum()):,} of {n:,} have none, the first of them row"
            f" {int(np.argmax(missing))}. Give each a label of its own if each is a cluster."
        )
    try:
        found, code = np.unique(labels, return_inverse=True)
    except TypeError:  # of several types, without an order
        places: dict[Any, int] = {}
        code = np.array([places.setdefault(one, len(places)) for one in labels.tolist()])
        found = np.arange(len(places))
    if len(found) < 2:
        raise ValueError("A covariance by clusters needs at least two of them; all rows have one label.")
    return code, len(found)


def _number(value: Any) -> float | None:
    if isinstance(value, str | bytes) or np.ndim(value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _told(value: Any) -> str:
    told = repr(value)
    return told if len(told) <= 60 and "\n" not in told else type(value).__name__
