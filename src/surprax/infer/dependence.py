"""How a value that a model computes depends on the entries of its latent sites, as the operations on the way to it tell.

Nothing is tried out: a function that happens to be straight, or flat, at some points is not taken for one that always is.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from surprax.models.graph import Operation, Value, bound
from surprax.models.rows import ELEMENTWISE, SHAPES

__all__ = ["NONE", "SEVERAL", "entries_behind", "is_affine", "is_smooth"]

NONE, SEVERAL = -1, -2
"""Behind what depends on no entry, and on more than one."""

_MOVES = SHAPES | {"slice", "gather", "dynamic_slice", "concatenate", "stack", "rev"}
"""Operations that put entries elsewhere, and leave them as they are."""

_LINEAR = SHAPES | {"add", "add_any", "sub", "neg", "copy", "copy_p", "reduce_sum", "cumsum", "slice", "concatenate"}
_LINEAR |= {"stack", "rev", "pad", "real"}

_BILINEAR = {"mul", "dot_general", "einsum"}
"""Linear where only one of their operands depends on latent sites."""

_EDGES = frozenset(
    """
    abs and argmax argmin ceil clamp eq floor ge gt le lt max min ne nextafter not or reduce_and reduce_max reduce_min
    reduce_or rem round select_n sign sort top_k xor
    """.split()  # noqa: SIM905
)
"""Operations that jump, or bend, somewhere."""

_SMOOTH_CALLS = frozenset(
    ("logaddexp", "softplus", "expit", "sigmoid", "log_sigmoid", "logit", "xlogy", "xlog1py", "silu", "gelu")
)


def entries_behind(value: Value, entries: Mapping[Any, np.ndarray], known: Callable[[Value], Any]) -> np.ndarray:
    """For each element of a value, the one entry of the inputs that it depends on, NONE, or SEVERAL.

    Args:
        entries: numbers of the entries of each input, in its shape.
        known: arrays of values that depend on no input.
    """
    found: dict[Value, Any] = {}
    stack = [value]
    while stack:
        v = stack[-1]
        if v in found:
            stack.pop()
            continue
        if v.known:
            found[v] = jnp.full(v.shape, NONE)
            continue
        operation = v.inner.operation
        if operation is None:
            found[v] = jnp.asarray(entries[v.inner.name])
            continue
        missing = [i for i in operation.inputs if i not in found]
        if missing:
            stack.extend(missing)
            continue
        found[v] = _through(operation, v, [found[i] for i in operation.inputs], known)
    result = np.asarray(found[value])
    return np.where(result < SEVERAL, SEVERAL, result)


def _through(operation: Operation, value: Value, behind: list[Any], known: Callable[[Value], Any]) -> Any:
    name = operation.name
    several = jnp.full(value.shape, SEVERAL)
    if name in ELEMENTWISE:
        if any(b.shape not in ((), value.shape) for b in behind):
            return several
        total = jnp.full(value.shape, NONE)
        for b in behind:
            total = jnp.where(total == NONE, b, jnp.where((b == NONE) | (b == total), total, SEVERAL))
        return total
    if name in _MOVES:
        if name in ("gather", "dynamic_slice"):
            if not all(i.known for i in operation.inputs[1:]):
                return several
            behind = [behind[0], *(jnp.asarray(known(i)) for i in operation.inputs[1:])]
        return bound(operation, behind)[value.inner.position]
    return several


def is_affine(value: Value) -> bool:
    """Whether a value is an affine function of all inputs at once, whatever they are."""
    return all(map(_is_linear, _operations(value)))


def _is_linear(operation: Operation) -> bool:
    name, inputs = operation.name, operation.inputs
    unknown = [i for i, v in enumerate(inputs) if not v.known]
    if name in _BILINEAR:
        return len(unknown) == 1
    if name == "div":
        return unknown == [0]
    if name in ("gather", "dynamic_slice"):
        return unknown == [0]
    if name == "select_n":
        return 0 not in unknown
    if name == "convert_element_type":
        return bool(jnp.issubdtype(operation.params["new_dtype"], jnp.floating))
    if name in ("scatter-add", "scatter_add"):
        return 1 not in unknown
    return name in _LINEAR


def is_smooth(value: Value) -> bool:
    """Whether nothing on the way to a value jumps or bends."""
    return not any(
        operation.name in _EDGES
        or (
            operation.name == "convert_element_type" and not jnp.issubdtype(operation.params["new_dtype"], jnp.floating)
        )
        for operation in _operations(value, _SMOOTH_CALLS)
    )


def _operations(value: Value, whole: frozenset[str] = frozenset()) -> list[Operation]:
    """All operations on the way from the inputs to a value; calls of these names are not looked into."""
    seen: set[Value] = set()
    found: list[Operation] = []
    stack = [value]
    while stack:
        v = stack.pop()
        if v in seen or v.known:
            continue
        seen.add(v)
        call = v.operation
        operation = call if call is not None and call.body is not None and call.name in whole else v.inner.operation
        if operation is not None:
            found.append(operation)
            stack.extend(operation.inputs)
    return found
