"""`glm`: generalised linear models by maximum likelihood."""

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from surprax.data.errors import DataError
from surprax.estimate.maximize import NotAMaximumWarning
from surprax.families import Categorical, Distribution, Multinomial, Normal
from surprax.regression.compression import compressed
from surprax.regression.constraints import linear_constraints
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.diagnosis import reason_without_maximum
from surprax.regression.estimate import LinearEstimate, Origins
from surprax.regression.inputs import Extras, Inputs, checked, numbers, read_inputs
from surprax.regression.links import Identity, Link, link_named
from surprax.regression.problem import LinearProblem
from surprax.regression.responses import BY_FAMILY, BinomialResponse, Dispersed, Response
from surprax.regression.rows import Rows
from surprax.regression.solver import fitted

__all__ = ["estimated", "glm"]


def glm(
    model: Any,
    data: Any = None,
    *,
    family: type[Distribution] | Response = Normal,
    link: str | Link | None = None,
    offset: Any = None,
    weights: Any = None,
    precisions: Any = None,
    trials: Any = None,
    penalty: float | tuple[float, float] | None = None,
    constraints: Any = None,
    fixed: Mapping[str, float] | None = None,
    tied: Sequence[Sequence[str]] = (),
    intercept: bool = True,
    drop_missing: bool = False,
    context: Mapping[str, Any] | None = None,
) -> LinearEstimate:
    """A generalised linear model, g(E[y]) = X b + offset, at its maximum of the likelihood.

    Args:
        model: a formula, "claims ~ age + C(region)"; or a pair (X, y) of a matrix or frame and responses.
        data: for a formula: a frame, a mapping from names to columns, a table, or a CSV, Parquet or Arrow file.
        family: the law of the response: Normal, Bernoulli, Binomial, Poisson, NegativeBinomial, Gamma, InverseGaussian, Beta.
        link: g, by name ("log", "probit", …) or as an object; the family's usual one if None: identity, logit, log.
        offset: what is added to the linear predictor: a name of a column, or numbers.
        weights: how often each row occurs (frequency weights), a name or numbers: a row of weight 3 is three rows.
        precisions: by how much the dispersion of each row is smaller (precision weights, of means of so many observations, say).
        trials: of binomial responses, whose y counts successes; or write "successes + failures ~ x".
        penalty: (l1, l2): l1·Σ|b| + ½·l2·Σb² is added to the surprise in nats at dispersion 1 (to half the deviance); the intercept
            is spared. One number is l2.
        constraints: linear equations, "a = b, x + z = 1", in the grammar of formulaic; or bounds, {"x": (0, None)}.
        fixed: coefficients (or the extra parameter) that are held, by name.
        tied: groups of names of coefficients that have one value.
        intercept: whether (X, y) gets a column of ones; a formula says so itself.
        drop_missing: whether rows with missing values are left out; they are refused otherwise.
        context: names that a formula may use besides columns.

    Returns:
        A `LinearEstimate`, with `predict`, `residuals` and all that an `Estimate` has. Where covariates are discrete, rows are put
        together first, and normal responses become a triangle; `compression` says so.

    Raises:
        DataError: for columns that are missing, empty, infinite, or of the wrong kind.
        ValueError: for responses outside of the support of the family, or a formula or constraint that makes no sense.

    Source: McCullagh & Nelder (1989), Generalized Linear Models.

    >>> import surprax as sx
    >>> data = {"dose": [1, 1, 2, 2, 3, 3, 4, 4], "dead": [0, 0, 0, 1, 0, 1, 1, 1]}
    >>> est = glm("dead ~ dose", data, family=sx.Bernoulli)
    >>> print({name: round(float(value), 4) for name, value in est.params.items()})
    {'Intercept': -4.3548, 'dose': 1.7419}
    >>> print(est.predict({"dose": [1, 2.5]}).round(3))
    [0.068 0.5  ]
    """
    extras = Extras(offset, weights, precisions, trials)
    response = None if family in (Categorical, Multinomial) else _response(family)
    inputs = read_inputs(model, data, extras, intercept=intercept, drop_missing=drop_missing, context=context)
    if response is None:
        from surprax.regression.multinomial import multinomial

        return multinomial(inputs, extras, link=link, penalty=penalty, constraints=constraints, fixed=fixed, tied=tied)
    chosen = link_named(response.link if link is None else link)
    rows, label = _rows(response, inputs)
    names = rows.design.names
    extra = _extra_name(response, names)
    equations, bounds = linear_constraints(constraints, names)
    coordinates = LinearCoordinates(names, extra, fixed, tied, equations)
    title = f"{response.name} model of {label}"
    if penalty is not None or bounds:
        from surprax.regression.penalized import penalized

        return penalized(
            title, response, chosen, rows, coordinates, penalty, bounds, Origins(inputs.recipe, extras, inputs.missing)
        )
    shrunk = compressed(response, chosen, rows)
    problem = LinearProblem(
        title, response, chosen, shrunk.rows, rows, shrunk.totals, coordinates, triangle=shrunk.triangle
    )
    return estimated(problem, Origins(inputs.recipe, extras, inputs.missing, shrunk.note))


def estimated(problem: LinearProblem, origins: Origins, begin: np.ndarray | None = None) -> LinearEstimate:
    """The estimate of a problem, with a warning and its reason where there is no maximum."""
    _refuse_constant(problem)
    with np.errstate(all="ignore"):
        fit = fitted(problem, begin)
    report = fit.report
    if not report.converged:
        reason, about = reason_without_maximum(problem, fit.z, report.reason)
        report = dataclasses.replace(report, reason=reason, flat=about or report.flat)
        warnings.warn(f"{problem.title}: {reason}.", NotAMaximumWarning, stacklevel=3)
    return LinearEstimate(problem, fit.z, fit.value, fit.curvature, report, origins=origins)


def _response(family: Any) -> Response:
    if isinstance(family, Response):
        return family
    if isinstance(family, type) and family in BY_FAMILY:
        return BY_FAMILY[family]
    known = ", ".join(one.__name__ for one in BY_FAMILY)
    raise ValueError(f"A family of responses is one of {known}, as a class; got {family!r}.")


def _extra_name(response: Response, names: Sequence[str]) -> str:
    return f"({response.extra})" if response.extra in names else response.extra


def _rows(response: Response, inputs: Inputs) -> tuple[Rows, str]:
    """Rows of the model, and what the response is called."""
    columns = {name: numbers(variable, name) for name, variable in inputs.responses.items()}
    label = " + ".join(columns)
    weights, precision = checked(inputs.extras, inputs.n)
    trials = inputs.extras["trials"]
    if isinstance(response, BinomialResponse):
        if len(columns) == 2:
            one, other = columns.values()
            trials, y = one + other, one
        else:
            (y,) = columns.values()
        if trials is not None:
            y, weights, precision = _shares(y, trials, weights, precision, label)
            return Rows(inputs.design, y, weights, precision, inputs.extras["offset"]), label
    elif trials is not None:
        raise ValueError(f"Trials belong to binomial responses; the family is {response.name}.")
    if len(columns) != 1:
        raise DataError(f"{response.name} responses are one column: found {', '.join(columns)}")
    (y,) = columns.values()
    response.check(y, label)
    return Rows(inputs.design, y, weights, precision, inputs.extras["offset"], inputs.rest), label


def _shares(
    y: np.ndarray, trials: np.ndarray, weights: np.ndarray, precision: np.ndarray, label: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    bad = (y < 0) | (y > trials) | (y != np.round(y)) | (trials != np.round(trials))
    if np.any(bad):
        i = int(np.argmax(bad))
        raise DataError(f"{label} must count successes among trials: found {y[i]:g} of {trials[i]:g} in row {i}")
    if not np.all(precision == 1.0):
        raise ValueError("Trials are the precisions of binomial responses; pass one of them, not both.")
    empty = trials == 0
    share = y / np.where(empty, 1.0, trials)
    return share, np.where(empty, 0.0, weights), np.where(empty, 1.0, trials)


def _refuse_constant(problem: LinearProblem) -> None:
    """An error where all responses are one value at which no likelihood has a maximum."""
    response = problem.response
    rows = problem.original
    if not isinstance(rows, Rows) or rows.n == 0:
        return
    live = rows.y[rows.weights > 0]
    if np.any(live != live[0]):
        return
    value = live[0]
    if isinstance(response, Dispersed) and response.extra and problem.linear.has_free_extra and rows.offset is None:
        raise ValueError(
            f"All responses are {value:g}: the likelihood of a {response.name} law grows without end as its spread goes to 0. Check"
            " that the response is the right column."
        )
    low, high = response.domain
    if value in (low, high) and not isinstance(problem.link, Identity):
        raise ValueError(
            f"All responses are {value:g}, the end of what a {response.name} law can have as its mean: coefficients would have to"
            " be infinite. Check the response, or use a prior (map_estimate, infer)."
        )
