"""Expressions that are affine in what they look up: data + Σ (data) × (row-free).

    value of row r = offset_r + Σ_t weight_tr · node_t(keys of r)

A *node* depends on the row only through keys, so that it takes as many values as there are combinations of these. Sums, products
with data, selections by data and matrix products with data keep this form; so does what is taken of a single node, and exp of a sum
whose only data are an offset.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from surprax.models.cells import is_plain, keys_of
from surprax.models.expressions import Apply, Column, Expression, Key, Table, at_places, leaves_of, picked

__all__ = ["Affine", "SharedTerm", "Term", "affine_form", "affine_forms", "shared_terms"]

MOST_TERMS = 512


@dataclass(frozen=True, eq=False)
class Term:
    """weight × node; a weight of None is 1."""

    weight: np.ndarray | None
    node: Expression


@dataclass(frozen=True, eq=False)
class Affine:
    """offset + Σ terms; an offset of None is 0. Offsets and weights: shape (rows,) or (1,)."""

    offset: np.ndarray | None
    terms: tuple[Term, ...]


def affine_form(e: Expression) -> Affine | None:
    """The affine form of an expression of numbers, with as few terms as can be seen; None where it has none."""
    form = _Reader().read(e) if not e.extra else None
    return None if form is None else _merged(form)


def affine_forms(expressions: Sequence[Expression]) -> list[Affine] | None:
    """The same of several expressions, whose weights are the same arrays where they are the same data."""
    reader = _Reader()
    forms = [reader.read(e) for e in expressions]
    return None if any(form is None for form in forms) else [_merged(form) for form in forms]  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class SharedTerm:
    """A term of several forms at once: one weight, and a node for each form, which look up no more than `keys`."""

    weight: np.ndarray | None
    keys: list[Key]
    nodes: tuple[Expression, ...]


def shared_terms(forms: Sequence[Affine]) -> list[SharedTerm]:
    """The terms of several forms lined up; where a form has no such term, its node is zero."""
    wanted: dict[int, list[tuple[np.ndarray | None, list[Key]]]] = {}
    for term in (t for form in forms for t in form.terms):
        wanted.setdefault(id(term.weight), []).append((term.weight, keys_of([term.node])))
    shared = []
    for same in wanted.values():
        same.sort(key=lambda one: -len(one[1]))
        widest: list[list[Key]] = []
        for _, keys in same:
            if not any(set(keys) <= set(have) for have in widest):
                widest.append(keys)
        of = [[_nodes_at(form, same[0][0], widest, i) for form in forms] for i in range(len(widest))]
        shared += [SharedTerm(same[0][0], keys, tuple(nodes)) for keys, nodes in zip(widest, of)]
    return shared


def _nodes_at(form: Affine, weight: np.ndarray | None, widest: Sequence[list[Key]], place: int) -> Expression:
    """What a form has of this weight in the first of the sets of keys that include those of its node, where that is `place`."""
    found = [
        term.node
        for term in form.terms
        if term.weight is weight
        and place == next(i for i, have in enumerate(widest) if set(keys_of([term.node])) <= set(have))
    ]
    return _added(found) if found else Column(np.zeros(1))


def _is_data(form: Affine) -> bool:
    return not form.terms


class _Reader:
    def __init__(self) -> None:
        self.products: dict[Any, np.ndarray] = {}
        self.kept: list[Any] = []

    def times(self, a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
        if a is None or b is None:
            return b if a is None else a
        label = frozenset((id(a), id(b))) if a is not b else id(a)
        if label not in self.products:
            self.kept += [a, b]
            self.products[label] = np.asarray(a) * np.asarray(b)
        return self.products[label]

    def read(self, e: Expression) -> Affine | None:
        if isinstance(e, Column):
            return Affine(np.asarray(e.values), ())
        if is_plain(e):
            if not any(isinstance(leaf, Table) for leaf in leaves_of([e])):
                return Affine(_value(e), ())
            inside = self._inside(e)
            return inside if inside is not None and len(inside.terms) > 1 else Affine(None, (Term(None, e),))
        return self._inside(e)

    def _inside(self, e: Expression) -> Affine | None:
        assert not isinstance(e, Column)
        rule: Callable[[Apply], Affine | None] | None = (
            getattr(self, f"_{e.name}", None) if isinstance(e, Apply) else None
        )
        return rule(e) if rule is not None else None  # type: ignore[arg-type]

    def _both(self, e: Apply) -> tuple[Affine, Affine] | None:
        a, b = (self.read(argument) for argument in e.arguments)
        return None if a is None or b is None else (a, b)

    def _add(self, e: Apply) -> Affine | None:
        both = self._both(e)
        return None if both is None else _sum(both)

    def _sub(self, e: Apply) -> Affine | None:
        both = self._both(e)
        return None if both is None else _sum((both[0], _scaled(both[1], -1.0)))

    def _neg(self, e: Apply) -> Affine | None:
        inside = self.read(e.arguments[0])
        return None if inside is None else _scaled(inside, -1.0)

    def _mul(self, e: Apply) -> Affine | None:
        both = self._both(e)
        return None if both is None else self._product(*both)

    def _product(self, a: Affine, b: Affine) -> Affine | None:
        if _is_data(b):
            a, b = b, a
        if _is_data(a):
            return Affine(
                None if b.offset is None else self.times(a.offset, b.offset),
                tuple(_weighed(t, a.offset, self.times) for t in b.terms),
            )
        if len(a.terms) * len(b.terms) > MOST_TERMS:
            return None
        parts = [
            Affine(
                None,
                tuple(Term(self.times(s.weight, t.weight), _times(s.node, t.node)) for s in a.terms for t in b.terms),
            )
        ]
        if a.offset is not None:
            parts.append(Affine(None, tuple(_weighed(t, a.offset, self.times) for t in b.terms)))
        if b.offset is not None:
            parts.append(
                Affine(
                    None if a.offset is None else self.times(a.offset, b.offset),
                    tuple(_weighed(t, b.offset, self.times) for t in a.terms),
                )
            )
        return _sum(parts)

    def _div(self, e: Apply) -> Affine | None:
        both = self._both(e)
        if both is None:
            return None
        a, b = both
        if _is_data(b):
            assert b.offset is not None
            return self._product(a, Affine(1.0 / b.offset, ()))
        if b.offset is None and len(b.terms) == 1:
            term = b.terms[0]
            one = Term(
                None if term.weight is None else 1.0 / term.weight, _of("reciprocal", lambda v: 1.0 / v, term.node)
            )
            return self._product(a, Affine(None, (one,)))
        return None

    def _same(self, e: Apply) -> Affine | None:
        return self.read(e.arguments[0])

    _copy = _copy_p = _stop_gradient = _same

    def _convert_element_type(self, e: Apply) -> Affine | None:
        return self._same(e) if jnp.issubdtype(e.params["new_dtype"], jnp.floating) else None

    def _select_n(self, e: Apply) -> Affine | None:
        chosen, *cases = e.arguments
        if not isinstance(chosen, Column) or len(cases) != 2:
            return None
        forms = [self.read(case) for case in cases]
        if any(form is None for form in forms):
            return None
        second = np.asarray(chosen.values)
        parts = []
        for form, share in zip(forms, (np.where(second, 0.0, 1.0), np.where(second, 1.0, 0.0))):
            assert form is not None
            # Where a case is not chosen its data may be anything.
            clean = Affine(
                None if form.offset is None else np.where(share > 0, form.offset, 0.0),
                tuple(
                    Term(share if t.weight is None else np.where(share > 0, t.weight, 0.0), t.node) for t in form.terms
                ),
            )
            parts.append(clean)
        return _sum(parts)

    def _exp(self, e: Apply) -> Affine | None:
        inside = self.read(e.arguments[0])
        if inside is None or not inside.terms or any(t.weight is not None for t in inside.terms):
            return None
        node = _of("exp", jnp.exp, _added([t.node for t in inside.terms]))
        return Affine(None, (Term(None if inside.offset is None else np.exp(inside.offset), node),))

    def _power(self, e: Apply, of_data: Callable[[Any], Any], of_node: Callable[[Any], Any]) -> Affine | None:
        inside = self.read(e.arguments[0])
        if inside is None or inside.offset is not None or len(inside.terms) != 1:
            return None
        (term,) = inside.terms
        if term.weight is not None and np.min(term.weight) < 0:
            return None
        return Affine(
            None, (Term(None if term.weight is None else of_data(term.weight), _of(e.name, of_node, term.node)),)
        )

    def _sqrt(self, e: Apply) -> Affine | None:
        return self._power(e, np.sqrt, jnp.sqrt)

    def _rsqrt(self, e: Apply) -> Affine | None:
        return self._power(e, lambda w: 1.0 / np.sqrt(w), lax.rsqrt)

    def _square(self, e: Apply) -> Affine | None:
        return self._power(e, np.square, jnp.square)

    def _integer_pow(self, e: Apply) -> Affine | None:
        y = e.params["y"]
        return self._power(e, lambda w: np.asarray(w, np.float64) ** y, lambda v: v**y)

    def _dot(self, e: Apply) -> Affine | None:
        left, right = e.arguments
        return self._over(left.extra, lambda j: self._mul(_times(picked(left, j), picked(right, j))))

    def _reduce_sum(self, e: Apply) -> Affine | None:
        (inside,) = e.arguments
        return self._over(inside.extra, lambda j: self.read(picked(inside, j)))

    def _pick(self, e: Apply) -> Affine | None:
        return None

    def _over(self, extra: Sequence[int], at: Callable[[tuple[int, ...]], Affine | None]) -> Affine | None:
        if np.prod(extra) > MOST_TERMS:
            return None
        forms = [at(tuple(int(i) for i in j)) for j in np.ndindex(*extra)]
        return None if any(form is None for form in forms) else _sum(forms)  # type: ignore[arg-type]


def _value(e: Expression) -> np.ndarray:
    return np.asarray(at_places(e, lambda leaf: leaf.values))


def _of(name: str, function: Callable[[Any], Any], node: Expression) -> Apply:
    return Apply(name, function, (node,))


def _times(a: Expression, b: Expression) -> Apply:
    return Apply("mul", jnp.multiply, (a, b))


def _added(nodes: Sequence[Expression]) -> Expression:
    total = nodes[0]
    for node in nodes[1:]:
        total = Apply("add", jnp.add, (total, node))
    return total


def _sum(forms: Sequence[Affine]) -> Affine:
    offsets = [f.offset for f in forms if f.offset is not None]
    total = offsets[0] if offsets else None
    for offset in offsets[1:]:
        total = total + offset
    return Affine(total, tuple(t for f in forms for t in f.terms))


def _scaled(form: Affine, factor: float) -> Affine:
    """By a number, which goes to the nodes: weights are data, and stay the same arrays."""
    return Affine(
        None if form.offset is None else factor * form.offset,
        tuple(Term(t.weight, _of("scaled", lambda v: factor * v, t.node)) for t in form.terms),
    )


def _weighed(term: Term, data: np.ndarray | None, times: Any) -> Term:
    """A term times data; a number goes to the node."""
    if data is not None and len(data) == 1:
        factor = data
        return Term(term.weight, _of("scaled", lambda v: jnp.asarray(factor) * v, term.node))
    return Term(times(term.weight, data), term.node)


def _merged(form: Affine) -> Affine:
    """Terms of the same weight are one where the keys of one include those of the other; constant terms of data are offset."""
    groups: dict[int, list[Term]] = {}
    for term in form.terms:
        groups.setdefault(id(term.weight), []).append(term)
    terms: list[Term] = []
    for same in groups.values():
        same.sort(key=lambda t: -len(keys_of([t.node])))
        kept: list[tuple[set[Any], list[Expression]]] = []
        for term in same:
            keys = set(keys_of([term.node]))
            for have, nodes in kept:
                if keys <= have:
                    nodes.append(term.node)
                    break
            else:
                kept.append((keys, [term.node]))
        terms += [Term(same[0].weight, _added(nodes)) for _, nodes in kept]
    return Affine(form.offset, tuple(terms))
