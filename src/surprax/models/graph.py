"""A staged computation as a graph of values: what it reads, what is known, and what each value is computed from.

A jaxpr, with calls opened up: `jit` disappears; a function with a derivative of its own (`custom_jvp`) stays one operation for
whoever evaluates it, and can be looked into by whoever asks how its result depends on rows. Equal operations on equal values
are one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend import core

__all__ = ["Graph", "Operation", "Value", "bound", "evaluate", "frontier", "inputs_of"]

_OPENED = frozenset({"jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "remat2", "custom_lin"})
"""Calls that mean nothing but their body."""

_OWN_DERIVATIVE = frozenset({"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"})
"""Calls whose body gives the value, and something else the derivative."""


@dataclass(eq=False, repr=False)
class Operation:
    """A primitive applied to values. `body`: the results of a function with a derivative of its own, computed step by step."""

    primitive: Any
    params: dict[str, Any]
    inputs: tuple["Value", ...]
    outputs: list["Value"] = field(default_factory=list)
    body: tuple["Value", ...] | None = None

    @property
    def name(self) -> str:
        own = self.params.get("name") if self.body is not None else None
        return str(own or self.primitive.name)


@dataclass(eq=False, repr=False)
class Value:
    """One array of the computation: an input (`name`), a constant (`constant`) or a result of `operation`.

    Attributes:
        known: whether it depends on no input.
    """

    shape: tuple[int, ...]
    dtype: Any
    known: bool
    name: Any = None
    constant: Any = None
    operation: Operation | None = None
    position: int = 0

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def is_input(self) -> bool:
        return self.operation is None and not self.known

    @property
    def inner(self) -> "Value":
        """The same value by way of the body of a call, where there is one."""
        if self.operation is not None and self.operation.body is not None:
            return self.operation.body[self.position].inner
        return self


class Graph:
    """The values of a jaxpr.

    Attributes:
        inputs: one value for each argument, in order, named by `names`.
        outputs: one value for each result, in order.
    """

    def __init__(self, closed: Any, names: Sequence[Any]) -> None:
        self._seen: dict[Any, Operation] = {}
        self._constants: dict[int, Value] = {}
        self.inputs = [
            Value(tuple(v.aval.shape), v.aval.dtype, False, name) for v, name in zip(closed.jaxpr.invars, names)
        ]
        constants = [self._constant(c) for c in closed.consts]
        self.outputs = self._opened(closed.jaxpr, constants, self.inputs)

    def _constant(self, c: Any) -> Value:
        value = self._constants.get(id(c))
        if value is None:
            array = c if hasattr(c, "dtype") else np.asarray(c)
            value = self._constants[id(c)] = Value(tuple(array.shape), array.dtype, True, constant=array)
        return value

    def _opened(self, jaxpr: Any, constants: Sequence[Value], inputs: Sequence[Value]) -> list[Value]:
        place: dict[Any, Value] = dict(zip(jaxpr.constvars, constants)) | dict(zip(jaxpr.invars, inputs))

        def read(atom: Any) -> Value:
            if isinstance(atom, core.Literal):
                aval: Any = atom.aval
                return Value(tuple(aval.shape), aval.dtype, True, constant=np.asarray(atom.val, aval.dtype))
            return place[atom]

        for eqn in jaxpr.eqns:
            results = self._results(eqn, tuple(read(atom) for atom in eqn.invars))
            place.update(zip(eqn.outvars, results))
        return [read(atom) for atom in jaxpr.outvars]

    def _results(self, eqn: Any, inputs: tuple[Value, ...]) -> list[Value]:
        name = eqn.primitive.name
        inner = next((eqn.params[p] for p in ("jaxpr", "call_jaxpr", "fun_jaxpr") if p in eqn.params), None)
        if name in _OPENED and inner is not None:
            return self._inside(inner, inputs)
        label = _label(eqn, inputs)
        if label is not None and label in self._seen:
            return self._seen[label].outputs
        operation = Operation(eqn.primitive, eqn.params, inputs)
        if name in _OWN_DERIVATIVE and inner is not None:
            operation.body = tuple(self._inside(inner, inputs))
        known = all(v.known for v in inputs)
        avals: list[Any] = [v.aval for v in eqn.outvars]
        operation.outputs = [
            Value(tuple(aval.shape), aval.dtype, known, operation=operation, position=i) for i, aval in enumerate(avals)
        ]
        if label is not None:
            self._seen[label] = operation
        return operation.outputs

    def _inside(self, inner: Any, inputs: tuple[Value, ...]) -> list[Value]:
        constants = [self._constant(c) for c in getattr(inner, "consts", ())]
        return self._opened(getattr(inner, "jaxpr", inner), constants, inputs)


def _label(eqn: Any, inputs: tuple[Value, ...]) -> Any:
    """What makes two operations the same; None where that cannot be told."""

    def told(value: Value) -> Any:
        if value.operation is None and value.known and value.shape == ():
            return (
                str(value.dtype),
                np.asarray(value.constant).item() if getattr(value.dtype, "kind", "V") in "biuf" else id(value),
            )
        return id(value)

    if eqn.effects:
        return None
    try:
        label = (eqn.primitive, tuple(sorted(eqn.params.items())), tuple(map(told, inputs)))
        hash(label)
    except TypeError:
        return None
    return label


def inputs_of(values: Iterable[Value]) -> set[Any]:
    """Names of the inputs that values depend on."""
    names: set[Any] = set()
    seen: set[Value] = set()
    stack = list(values)
    while stack:
        value = stack.pop()
        if value in seen or value.known:
            continue
        seen.add(value)
        if value.operation is None:
            names.add(value.name)
        else:
            stack.extend(value.operation.inputs)
    return names


def frontier(values: Iterable[Value]) -> list[Value]:
    """The greatest known values behind these: what can be computed beforehand. Single constant numbers are left out."""
    found: dict[Value, None] = {}
    seen: set[Value] = set()
    stack = list(values)[::-1]
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        if value.known:
            if value.shape or value.operation is not None:
                found[value] = None
        elif value.operation is not None:
            stack.extend(reversed(value.operation.inputs))
    return list(found)


def evaluate(
    values: Iterable[Value], given: Callable[[Value], Any] | Mapping[Value, Any], memo: dict[Value, Any]
) -> list[Any]:
    """The arrays of `values`, from those of the inputs; `memo` holds what has been computed, and is added to."""
    look_up = given if callable(given) else given.__getitem__
    wanted = list(values)
    stack = list(wanted)
    while stack:
        value = stack[-1]
        if value in memo:
            stack.pop()
            continue
        operation = value.operation
        if operation is None:
            memo[value] = value.constant if value.known else look_up(value)
            stack.pop()
            continue
        missing = [v for v in operation.inputs if v not in memo]
        if missing:
            stack.extend(missing)
            continue
        arguments = [memo[v] for v in operation.inputs]
        results = bound(operation, arguments)
        memo.update(zip(operation.outputs, results))
        stack.pop()
    return [memo[value] for value in wanted]


def bound(operation: Operation, arguments: Sequence[Any]) -> Sequence[Any]:
    """The results of an operation on arrays."""
    primitive = operation.primitive
    given = primitive.get_bind_params(operation.params)
    functions, params = given if isinstance(given, tuple) else ((), given)  # a pair until JAX 0.11
    results = primitive.bind(*functions, *(jnp.asarray(a) for a in arguments), **params)
    return results if primitive.multiple_results else [results]
