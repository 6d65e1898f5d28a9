"""Training the terms of a formula: what their factors learn from all rows.

A factor learns its categories, and what transforms such as `center(x)` remember. Categories are read off the values that
occur; transforms see every row, because a mean or a quantile weighs each.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from formulaic import ModelSpec
from formulaic.parser.types import Factor, Term

from surprax.regression.combinations import combined, frame_of_rows, frame_of_values
from surprax.regression.encoding import Discrete, Variable
from surprax.regression.evaluation import evaluated, untrained
from surprax.regression.syntax import Context, Piece, pieces
from surprax.regression.terms import Terms
from surprax.regression.variables import Variables

__all__ = ["Whole", "trained"]

CATEGORIES = 20_000
"""A term of more columns is refused."""


type Whole = Callable[[Sequence[str]], Variables]


def trained(
    text: str, terms: Sequence[Term], variables: Variables, context: Context, whole: Whole | None = None
) -> Terms:
    """The terms of one side of the formula `text`, trained on all rows of the variables.

    Where the variables have some rows only, though all values of the discrete ones, `whole` reads all rows of some columns for
    the factors that have to see them.

    Raises `ValueError`, one sentence, where a term cannot be computed or would have too many columns.
    """
    of_terms = tuple(pieces(term, context, list(variables)) for term in terms)
    distinct = {piece.factor.expr: piece for of_term in of_terms for piece in of_term}
    names = {name for piece in distinct.values() for name in piece.names}
    categorical = frozenset(name for name in names if isinstance(one := variables[name], Discrete) and one.categorical)
    draft = Terms(text, untrained(terms), of_terms, {}, categorical, context)
    columns = draft.prepared(variables)
    transforms: dict[str, Any] = {}
    encoders: dict[str, Any] = {}
    known: dict[str, np.ndarray] = {}
    for piece in distinct.values():
        if (state := _learnt(piece, columns, draft, variables.n, whole)) is not None:
            transforms |= state.transform_state
            encoders |= state.encoder_state
        if piece.source and not piece.open and piece.factor.expr in encoders:
            one = columns[piece.source]
            assert isinstance(one, Discrete)
            known[piece.source] = one.values
    _refuse_many(draft, encoders)
    spec = draft.spec.update(transform_state=transforms, encoder_state=encoders)
    few = frame_of_rows(columns, sorted(names), slice(0, min(3, variables.n)))
    spec = evaluated(spec, few, text, context).model_spec  # which settles what is needed for full rank
    return Terms(text, spec, of_terms, known, categorical, context)


def _learnt(
    piece: Piece, columns: Mapping[str, Variable], draft: Terms, n: int, whole: Whole | None
) -> ModelSpec | None:
    """What a factor learns from all rows; None if nothing."""
    if piece.is_column and piece.source not in draft.categorical:
        return None
    spec = untrained([Term([piece.factor])])
    discrete = {name: one for name in piece.names if isinstance(one := columns[name], Discrete)}
    if piece.source in discrete and not piece.open:
        values = discrete[piece.source].values.tolist()
        return spec.update(encoder_state={piece.factor.expr: (Factor.Kind.CATEGORICAL, {"categories": values})})
    scattered = piece.categories and (len(discrete) < len(piece.names) or (whole is not None and len(piece.names) > 1))
    if piece.stateful or not piece.rowwise or scattered:
        if whole is not None:
            columns = all_rows = whole(piece.names)
            n = all_rows.n
        frame = frame_of_rows(columns, piece.names, slice(0, n))
    elif len(discrete) < len(piece.names):
        return None
    else:
        frame = frame_of_values(discrete, combined(list(discrete.values()), n, observed=True)[1])
    return evaluated(spec, frame, draft.text, draft.context).model_spec


def _refuse_many(draft: Terms, encoders: Mapping[str, Any]) -> None:
    for of_term in draft.pieces:
        found = {piece.factor.expr: encoders.get(piece.factor.expr, (None, {}))[1] for piece in of_term}
        sizes = {name: len(state["categories"]) for name, state in found.items() if "categories" in state}
        if (count := int(np.prod([float(size) for size in sizes.values()]))) > CATEGORIES:
            raise ValueError(
                f"A term must have at most {CATEGORIES:,} columns: {':'.join(sizes)} of {draft.text!r} has {count:,} "
                "combinations of categories; group rare ones, or leave it out"
            )
