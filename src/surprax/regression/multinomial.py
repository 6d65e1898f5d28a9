"""Softmax models of categories: `glm` with family Categorical or Multinomial."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surprax.data.errors import DataError
from surprax.regression import encoding
from surprax.regression.constraints import linear_constraints
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.encoding import Continuous, Discrete, Variable, coded
from surprax.regression.estimate import Origins
from surprax.regression.inputs import Extras, Inputs, checked, numbers
from surprax.regression.multinomial_estimate import MultinomialEstimate, estimated
from surprax.regression.multinomial_problem import CategoryRows, MultinomialProblem, cells_of

__all__ = ["MultinomialEstimate", "multinomial"]


def multinomial(
    inputs: Inputs,
    extras: Extras,
    *,
    link: Any = None,
    penalty: float | tuple[float, float] | None = None,
    constraints: Any = None,
    fixed: Mapping[str, float] | None = None,
    tied: Sequence[Sequence[str]] = (),
) -> MultinomialEstimate:
    """log p_k/p_0 = x·b_k, at the maximum of the likelihood.

    One column of responses holds categories; several hold counts of them, one category each. The first category, in order, is the
    baseline, whose coefficients are 0. The others' are called "b: x", the category first, as each category has an equation of its
    own and statsmodels' MNLogit prints them so.

    Args:
        inputs, extras: what `glm` read.
        link: None, or "logit".
        penalty: ridge, ½·l2·Σ_k (b_k − b̄)² of each column but the intercept, over all K categories, b̄ being their mean and
            b_0 = 0. Probabilities do not depend on which category is the baseline: it is the least ½·l2·Σ_k (b_k + c)² of all c,
            and so scikit-learn's and glmnet's penalty of coefficients for each category. Of two categories, it is ¼·l2·b²: half
            of what `penalty=l2` is to a Bernoulli law.
        constraints: equations, "`b: x` = `c: x`".
        fixed, tied: coefficients that are held, or have one value, by name.

    Raises:
        DataError: for responses that are no categories or counts.
        ValueError: for what a model of categories does not have: offsets, trials, precisions, other links, l1, bounds.
    """
    _refuse(inputs, link)
    rows, label = _rows(inputs)
    columns = rows.design.names
    names = [f"{one}: {column}" for one in rows.classes[1:] for column in columns]
    equations, bounds = linear_constraints(constraints, names)
    if bounds:
        raise ValueError(
            f"Coefficients of categories have no bounds: got some for {next(iter(bounds))}. Use equations."
        )
    l2 = _ridge(penalty)
    ridge = _centred_ridge(l2, columns, len(rows.classes)) if l2 else None
    cells = cells_of(rows)
    coordinates = LinearCoordinates(names, "", fixed, tied, equations, inputs.recipe.centring)
    problem = MultinomialProblem(f"multinomial model of {label}", rows, cells, coordinates, ridge)
    return estimated(problem, Origins(inputs.recipe, extras, inputs.missing, cells.note))


def _refuse(inputs: Inputs, link: Any) -> None:
    if link is not None and getattr(link, "name", link) != "logit":
        raise ValueError(f'Models of categories are softmax models, link="logit" or None; got {link!r}.')
    words = {
        "offset": "an offset would have to say to which category it belongs: it needs a column for each of them",
        "trials": "trials are what the counts of a row add up to: pass a column of counts for each category",
        "censoring": "a category is known or not: leave out rows of which it is not",
        "upper": "categories have no order here",
        "low": "categories have no order here",
        "high": "categories have no order here",
        "precisions": "categories have no dispersion: say how often a row occurs, weights=",
    }
    for role, why in words.items():
        if inputs.extras[role] is not None:
            raise ValueError(f"A model of categories takes no {role}: {why}.")


def _ridge(penalty: Any) -> float:
    if penalty is None:
        return 0.0
    l1, l2 = (0.0, penalty) if np.ndim(penalty) == 0 else penalty
    if l1 != 0:
        raise ValueError(
            f"Models of categories take a ridge penalty, penalty=l2; there is no l1 penalty for them yet, got l1 = {l1:g}. Use"
            " penalty=(0, l2)."
        )
    if not (np.isfinite(l2) and l2 >= 0):
        raise ValueError(f"A ridge penalty is a finite number from 0; got {l2}.")
    return float(l2)


def _centred_ridge(l2: float, columns: Sequence[str], categories: int) -> np.ndarray:
    """Λ of ½ bᵀΛb = ½·l2·Σ_k (b_k − b̄)², for coefficients of all categories but the first."""
    each = np.diag([0.0 if column == "Intercept" else l2 for column in columns])
    return np.kron(np.eye(categories - 1) - 1.0 / categories, each)


def _rows(inputs: Inputs) -> tuple[CategoryRows, str]:
    weights, _ = checked(inputs.extras, inputs.n)
    label = " + ".join(inputs.responses)
    codes = counts = None
    if len(inputs.responses) == 1:
        ((name, variable),) = inputs.responses.items()
        codes, classes = _categories(variable, name)
        often = np.bincount(codes, weights, len(classes))
    else:
        classes = tuple(inputs.responses)
        counts = np.stack([_counted(variable, name) for name, variable in inputs.responses.items()], axis=1)
        often = weights @ counts
    if np.sum(often > 0) < 2:
        raise DataError(f"{label} must have at least two categories that occur: found {int(np.sum(often > 0))}")
    if np.any(often == 0):
        never = classes[int(np.argmax(often == 0))]
        raise DataError(
            f"{label} must have no category that never occurs (in rows of a weight above 0): found {never!r}, whose probability has"
            " its maximum at 0; leave it out"
        )
    return CategoryRows(inputs.design, codes, counts, classes, weights), label


def _categories(variable: Variable, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Codes of the categories that occur, and what they are called."""
    if isinstance(variable, Continuous):  # which numbers of a response are, however few are distinct
        variable = encoding.variable(variable.column())
    if isinstance(variable, Continuous) and not variable.whole:
        raise DataError(
            f"{name} must hold categories, text or whole numbers, for a model of them: found numbers such as"
            f" {variable.values[0]:g}; choose a family for numbers"
        )
    found: Discrete = coded(variable)
    values, codes = found.values, np.asarray(found.codes, np.intp)
    if not found.categorical and not all(float(v).is_integer() for v in values):
        odd = next(v for v in values if not float(v).is_integer())
        raise DataError(
            f"{name} must hold categories, text or whole numbers, for a model of them: found {odd:g}; choose a family for numbers"
        )
    seen = np.bincount(codes, minlength=len(values)) > 0
    codes = (np.cumsum(seen) - 1)[codes]
    names = [str(v) if isinstance(v, str | bool | np.bool_) or found.categorical else f"{v:.0f}" for v in values[seen]]
    return codes, tuple(names)


def _counted(variable: Variable, name: str) -> np.ndarray:
    values = numbers(variable, name)
    bad = (values < 0) | (values != np.round(values))
    if np.any(bad):
        i = int(np.argmax(bad))
        raise DataError(
            f"{name} must count how often a category occurred, whole numbers from 0: found {values[i]:g} in row {i}"
        )
    return values
