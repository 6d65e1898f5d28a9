"""What `glm` was given, as rows: a design, responses, weights, precisions and offsets, each checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from surprax.data.errors import DataError
from surprax.estimate.events import censoring_codes
from surprax.regression.alignment import refuse_other_index
from surprax.regression.design import Design
from surprax.regression.encoding import Discrete, Variable
from surprax.regression.formulas import Recipe, required
from surprax.regression.least_squares import FEW
from surprax.regression.matrices import read_matrix
from surprax.regression.variables import Variables, column_names, read_variables

__all__ = ["Extras", "Inputs", "numbers", "read_inputs"]


@dataclass(frozen=True)
class Extras:
    """Numbers for each row besides covariates and response: names of columns, arrays, or None.

    Attributes:
        offset: what is added to the linear predictor.
        weights: how often a row occurs.
        precisions: by how much the dispersion of a row is smaller.
        trials: of binomial responses.
        censoring: how a response was censored.
        upper: end of the interval that a response lies in.
        low, high: limits of what was seen at all.
    """

    offset: Any = None
    weights: Any = None
    precisions: Any = None
    trials: Any = None
    censoring: Any = None
    upper: Any = None
    low: Any = None
    high: Any = None

    @property
    def confined(self) -> bool:
        """Whether responses were censored or truncated."""
        return any(given is not None for given in (self.censoring, self.upper, self.low, self.high))

    def items(self) -> list[tuple[str, Any]]:
        """Pairs of a role and what was given for it."""
        return list(vars(self).items())

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of columns that have to be read."""
        return tuple(given for _, given in self.items() if isinstance(given, str))


@dataclass(frozen=True)
class Inputs:
    """Data as a regression takes them.

    Attributes:
        recipe: how the design is made, for new data too.
        design: of the rows.
        responses: columns of the response by name.
        extras: numbers for each row by role; None where there are none.
        n: how many rows there are.
        missing: how many rows were dropped for missing values.
        rest: what rounding took from the design; None where nothing is known of it.
    """

    recipe: Recipe
    design: Design
    responses: Mapping[str, Variable]
    extras: Mapping[str, np.ndarray | None]
    n: int
    missing: int
    rest: np.ndarray | None = None

    def centred(self) -> "Inputs":
        """With columns that lie far from zero counted from near their means, where there is an intercept."""
        recipe = self.recipe.centred(self.design)
        if recipe.centring is None:
            return self
        return replace(self, recipe=recipe, design=recipe.centring.moved(self.design))


def read_inputs(
    model: Any,
    data: Any,
    extras: Extras,
    *,
    intercept: bool,
    drop_missing: bool,
    context: Mapping[str, Any] | None,
) -> Inputs:
    """Data by a formula, or out of (X, y)."""
    if isinstance(model, str):
        if not intercept:
            raise ValueError(
                f"A formula says itself whether it has an intercept: write '{_without(model)}', not intercept=False."
            )
        return _by_formula(model, data, extras, drop_missing, context)
    if not isinstance(model, tuple | list) or len(model) != 2:
        raise ValueError(
            f'A model is a formula, "y ~ x", with data=; or a pair (X, y) of a matrix and responses. Got {type(model).__name__}.'
        )
    if drop_missing:
        raise ValueError("Rows with missing values are dropped by formula and data=; of (X, y), drop them beforehand.")
    X, y = model
    return _of_matrix(X, y, extras, intercept)


def _without(formula: str) -> str:
    left, tilde, right = formula.rpartition("~")
    return f"{left}{tilde} 0 + {right.strip()}"


def _by_formula(
    formula: str, data: Any, extras: Extras, drop_missing: bool, context: Mapping[str, Any] | None
) -> Inputs:
    if data is None:
        raise ValueError(
            f"The formula {formula!r} takes its columns from data: pass data=, a frame, a mapping or a file."
        )
    available = [name for name in column_names(data) if name not in extras.columns]  # what `.` stands for
    responses, covariates = required(formula, available, context)
    if not responses:
        raise ValueError(f"The formula {formula!r} must say what is modelled, on the left of '~': 'y ~ x'.")
    names = [*responses, *covariates, *extras.columns]
    # What is a response by itself is not coded; of what others are computed from, codes save working it out row by row.
    alone = {part.strip() for part in formula.partition("~")[0].split("+")}
    plain = ({*responses} & alone | {*extras.columns}) - {*covariates}
    variables = read_variables(data, names, drop_missing=drop_missing, plain=plain).used()
    _refuse_names(covariates, True)
    recipe = Recipe.trained(formula, variables, context, columns=available)
    for role, given in extras.items():
        refuse_other_index(data, "data", given, role)
    found = {
        role: _named(variables[given], given, role) if isinstance(given, str) else _given(given, role, variables)
        for role, given in extras.items()
    }
    design = recipe.design(variables)
    _refuse_twins(design)
    rest = recipe.rest(variables, design) if design.n * design.p <= FEW else None
    return Inputs(recipe, design, recipe.response(variables), found, variables.n, variables.missing, rest)


def _of_matrix(X: Any, y: Any, extras: Extras, intercept: bool) -> Inputs:
    variables = read_matrix(X).used()
    _refuse_names(variables, intercept)
    recipe = Recipe.of_matrix(variables, intercept=intercept)
    design = recipe.design(variables)
    _refuse_twins(design)
    n = design.n
    name = str(getattr(y, "name", None) or "y")
    refuse_other_index(X, "X", y, "y")
    for role, given in extras.items():
        refuse_other_index(X, "X", given, role)
    columns = _response_columns(y, name)
    for label, column in columns.items():
        if len(column) != n:
            raise DataError(
                f"X and y must have one row each for every observation: X has {n} rows, {label} {len(column)}"
            )
    responses = read_variables(columns, list(columns), plain=columns)
    for role, given in extras.items():
        if isinstance(given, str):
            raise ValueError(
                f"{role} must be numbers, one for each row, where the model is (X, y); got the name {given!r}."
            )
    found = {role: _given(given, role, responses) for role, given in extras.items()}
    return Inputs(recipe, design, responses, found, n, 0)


def _refuse_names(names: Iterable[str], intercept: bool) -> None:
    """An error for columns whose names are those of the constant."""
    for name in names:
        if name in ("0", "1") or (name == "Intercept" and intercept):
            raise DataError(f"Columns must have names that are not the constant's, and {name!r} is: rename it")


def _refuse_twins(design: Design) -> None:
    if len(set(design.names)) < len(design.names):
        twin = next(name for i, name in enumerate(design.names) if name in design.names[:i])
        raise DataError(
            f"Columns of the design must have different names: two are called {twin!r}; rename the variable"
        )


def _response_columns(y: Any, name: str) -> dict[str, Any]:
    if hasattr(y, "columns") and hasattr(y, "shape"):  # a frame of several
        return {str(label): y[label] for label in y.columns}
    array = y if getattr(y, "ndim", None) == 1 and hasattr(y, "dtype") else np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 1:
        array = np.asarray(array)[:, 0]
    if array.ndim == 1:
        return {name: array}
    if array.ndim == 2:
        return {f"{name}{j}": np.asarray(array)[:, j] for j in range(array.shape[1])}
    raise DataError(
        f"{name} must have one number for each row, shape (n,), or several columns: found shape {array.shape}"
    )


def _given(given: Any, role: str, variables: Variables) -> np.ndarray | None:
    """Numbers that were passed as such, for each row of the data before any were dropped."""
    if given is None:
        return None
    array = np.asarray(given)
    if array.ndim == 0:
        array = np.full(variables.n, array)
    elif variables.kept is not None and len(array) == variables.n + variables.missing:
        array = array[variables.kept]
    if array.shape != (variables.n,):
        raise DataError(f"{role} must have one number for each of {variables.n} rows: found shape {np.shape(given)}")
    if role == "censoring":
        return censoring_codes(array, variables.n)
    return numbers(read_variables({role: array}, [role], plain=[role])[role], role)


def _named(variable: Variable, name: str, role: str) -> np.ndarray:
    return censoring_codes(variable.column(), len(variable)) if role == "censoring" else numbers(variable, name)


def numbers(variable: Variable, name: str) -> np.ndarray:
    """A variable as float64, one for each row; booleans are 0 and 1."""
    if isinstance(variable, Discrete):
        values = variable.values
        if variable.categorical and not all(isinstance(v, bool | np.bool_) for v in values):
            raise DataError(
                f"{name} must hold numbers: found text or categories such as {values[0]!r}; compare with one of them,"
                f" `I({name} == {values[-1]!r})`, or choose a family for categories"
            )
        return np.asarray(values, np.float64).take(variable.codes)
    return np.asarray(variable.values, np.float64)


def checked(extras: Mapping[str, np.ndarray | None], n: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and precisions, 1 where none were given."""
    out = []
    for role, least in (("weights", 0.0), ("precisions", 0.0)):
        values = extras[role]
        if values is None:
            out.append(np.broadcast_to(1.0, (n,)))
            continue
        bad = values < least if role == "weights" else values <= least
        if np.any(bad):
            i = int(np.argmax(bad))
            words = "not negative" if role == "weights" else "above 0"
            raise DataError(f"{role} must be {words}: found {values[i]:g} in row {i}")
        if not np.any(values > 0):
            raise DataError(f"{role} must not all be 0")
        out.append(values)
    return out[0], out[1]


def names_of(columns: Sequence[str]) -> str:
    """Names, the first few of many."""
    few = ", ".join(columns[:6])
    return few if len(columns) <= 6 else f"{few} and {len(columns) - 6} more"
