"""Formulas taken apart: their terms, the columns they read, and which of their factors go row by row.

A factor goes row by row if its value in a row depends on that row alone (given what stateful transforms such as `center`
have learnt from all rows); only then may it be evaluated once per distinct value.
"""

import ast
import builtins
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from formulaic import Formula
from formulaic.errors import FormulaicError
from formulaic.parser.types import Factor, Term
from formulaic.transforms import TRANSFORMS
from formulaic.transforms.contrasts import Contrasts
from formulaic.utils.code import sanitize_variable_names

__all__ = ["Parsed", "Piece", "columns_of_matrix", "one_line", "parsed", "pieces"]

type Context = Mapping[str, Any]

_ELEMENTWISE = (
    *(abs, round),
    *(np.where, np.select, np.clip, np.round, np.around, np.nan_to_num, np.isin, np.digitize, np.interp),
    *(np.array, np.asarray),
    *(TRANSFORMS[name] for name in ("C", "I", "Q", "Treatment", "exp10", "hashed")),
)
"""Functions, besides ufuncs and what learns a state, whose result in a row depends on that row alone."""
_CATEGORIES = (TRANSFORMS["C"], TRANSFORMS["hashed"])
_NO_COLUMNS = {"float", "int", "str", "bool", "complex", "object", "len", "abs", "round"}


@final
@dataclass(frozen=True)
class Parsed:
    """A formula's two sides as terms, and the names of the columns that each reads, in the order of their appearance."""

    text: str
    left: tuple[Term, ...]
    right: tuple[Term, ...]
    responses: tuple[str, ...]
    covariates: tuple[str, ...]


@final
@dataclass(frozen=True)
class Piece:
    """A factor of a formula and what can be said of it without data.

    Attributes:
        factor: as formulaic has it.
        names: the columns it reads.
        rowwise: whether its value in a row depends on that row alone.
        stateful: whether it learns from all rows first.
        categories: whether it makes categories of what it reads.
        source: the column whose values are its categories as they are, if there is one: of x, C(x) and hashed(x).
        open: whether categories may come up later that were not there in training.
    """

    factor: Factor
    names: tuple[str, ...]
    rowwise: bool = True
    stateful: bool = False
    categories: bool = False
    source: str | None = None
    open: bool = False

    @property
    def is_column(self) -> bool:
        """Whether it is a column as it is."""
        return self.factor.eval_method is Factor.EvalMethod.LOOKUP


def parsed(formula: str, columns: Sequence[str] | None = None, context: Context | None = None) -> Parsed:
    """The formula, taken apart; `columns` are what `.` stands for. Raises `ValueError` where it is no formula."""
    if not isinstance(formula, str):
        raise ValueError(f"A formula must be text such as 'y ~ x': found {type(formula).__name__}")
    available = {} if columns is None else {"__formulaic_variables_available__": list(columns)}
    try:
        found = Formula(formula, _context=available)
    except FormulaicError as error:
        raise ValueError(_unparsable(formula, error, columns is None)) from None
    except SyntaxError as error:  # of Python within {} or a call
        code = f" at {error.text.strip()!r}" if error.text else ""
        raise ValueError(
            f"A formula must read like 'y ~ x + C(z)': {formula!r} has what is no Python{code} ({error.msg}); correct it"
        ) from None
    structure = getattr(found, "_structure", None)
    left, right = (found.lhs, found.rhs) if structure and set(structure) == {"lhs", "rhs"} else ((), found)
    if not all(isinstance(term, Term) for side in (left, right) for term in side):
        raise ValueError(
            f"A formula must have one left and one right side: {formula!r} has more parts; remove each '|'"
        )
    sides = tuple(left), tuple(right)
    responses, covariates = (_read(side, columns, context or {}) for side in sides)
    return Parsed(formula, *sides, responses, covariates)


def columns_of_matrix(names: Sequence[str], *, intercept: bool) -> tuple[Term, ...]:
    """The terms that take columns as they are."""
    one = [Factor("1", eval_method="literal")] if intercept else []
    return tuple(Term([factor]) for factor in [*one, *(Factor(name, eval_method="lookup") for name in names)])


def pieces(term: Term, context: Context, columns: Sequence[str]) -> tuple[Piece, ...]:
    """The factors of a term that are more than a number."""
    factors = [factor for factor in term.factors if factor.eval_method is not Factor.EvalMethod.LITERAL]
    return tuple(_piece(factor, context, columns) for factor in factors)


def one_line(text: str) -> str:
    """A message of formulaic's in one line, without colours and marks."""
    return re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", text)).strip()


def _unparsable(formula: str, error: FormulaicError, wildcard: bool) -> str:
    message = str(error)
    if wildcard and "`.` operator" in message:
        return f"The formula {formula!r} must name its columns: what '.' stands for is not known here; list them"
    place = re.search("⧛(.*?)⧚", message, re.DOTALL)
    where = f" at {one_line(place[1])!r}" if place and one_line(place[1]) else ""
    before = one_line(message.split("\n\n")[0]).rstrip(".")
    return f"A formula must read like 'y ~ x + C(z)': {formula!r} does not{where} ({before}); correct it"


def _read(terms: Sequence[Term], columns: Sequence[str] | None, context: Context) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for term in terms:
        for factor in term.factors:
            names.update(dict.fromkeys(_names(factor, context, columns)))
    return tuple(names)


def _names(factor: Factor, context: Context, columns: Sequence[str] | None = None) -> tuple[str, ...]:
    """The columns a factor reads: what it names that neither formulaic nor the context provide."""
    if factor.eval_method is Factor.EvalMethod.LOOKUP:
        return (str(factor.expr),)
    if factor.eval_method is Factor.EvalMethod.LITERAL or (tree := _tree(factor)) is None:
        return ()
    root, aliases = tree
    calls = [node for node in ast.walk(root) if isinstance(node, ast.Call)]
    functions = {id(node.func) for node in calls}
    bound = {node.arg for node in ast.walk(root) if isinstance(node, ast.arg)}
    bound |= {node.id for node in ast.walk(root) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    given = (bound | _NO_COLUMNS | set(TRANSFORMS) | set(context)) - set(columns or ())
    found = [node for node in ast.walk(root) if isinstance(node, ast.Name) and id(node) not in functions]
    found.sort(key=lambda node: (node.lineno, node.col_offset))
    names = [aliases.get(node.id, node.id) for node in found]
    quoted = [str(c.args[0].value) for c in calls if _is_quotation(c) and isinstance(c.args[0], ast.Constant)]
    return tuple(dict.fromkeys([*(name for name in names if name not in given), *quoted]))


def _piece(factor: Factor, context: Context, columns: Sequence[str]) -> Piece:
    names = _names(factor, context, columns)
    if factor.eval_method is Factor.EvalMethod.LOOKUP:
        return Piece(factor, names, source=names[0])
    if (tree := _tree(factor)) is None:
        return Piece(factor, names, rowwise=False)
    root, aliases = tree
    environment = {**vars(builtins), **TRANSFORMS, **context}
    functions = [_function(node.func, environment) for node in ast.walk(root) if isinstance(node, ast.Call)]
    rowwise = all(map(_is_elementwise, functions)) and not any(_looks_around(n, environment) for n in ast.walk(root))
    stateful = any(getattr(function, "__is_stateful_transform__", False) for function in functions)
    categories = any(function in _CATEGORIES for function in functions)
    body = root.body
    if not (isinstance(body, ast.Call) and _function(body.func, environment) in _CATEGORIES):
        return Piece(factor, names, rowwise, stateful, categories)
    first = body.args[0] if body.args else None
    source = aliases.get(first.id, first.id) if isinstance(first, ast.Name) and len(names) == 1 else None
    unlisted = _function(body.func, environment) is TRANSFORMS["C"] and all(
        one.arg != "levels" for one in body.keywords
    )
    return Piece(factor, names, rowwise, stateful, categories, source, open=not unlisted)


def _tree(factor: Factor) -> tuple[ast.Expression, dict[str, str]] | None:
    """A factor as Python sees it, with what the names in it stand for; None where it is no Python."""
    aliases: dict[str, str] = {}
    try:
        return ast.parse(sanitize_variable_names(factor.expr, {}, aliases), mode="eval"), aliases
    except SyntaxError:
        return None


def _is_quotation(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "Q" and bool(call.args)


def _function(node: ast.expr, environment: Context) -> Any:
    """What a name with dots stands for; None where that is a column, a column's method, or unknown."""
    if isinstance(node, ast.Name):
        return environment.get(node.id)
    return getattr(_function(node.value, environment), node.attr, None) if isinstance(node, ast.Attribute) else None


def _is_elementwise(function: Any) -> bool:
    if isinstance(function, np.ufunc) or getattr(function, "__is_stateful_transform__", False):
        return True
    contrasts = isinstance(function, type) and function.__module__ == Contrasts.__module__
    return contrasts or any(function is one for one in _ELEMENTWISE)


def _looks_around(node: ast.AST, environment: Context) -> bool:
    """Whether a part of an expression may look at other rows: pieces of a column, its methods, loops."""
    if isinstance(node, ast.Attribute):
        return _function(node, environment) is None
    return isinstance(node, ast.Subscript | ast.Lambda | ast.GeneratorExp | ast.ListComp | ast.DictComp | ast.SetComp)
