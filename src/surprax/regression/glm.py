"""`glm`: generalised linear models by maximum likelihood."""

from collections.abc import Mapping, Sequence
from typing import Any, overload

from surprax.families import Categorical, Distribution, Multinomial, Normal
from surprax.regression.censored import fit_censored
from surprax.regression.compression import compressed
from surprax.regression.constraints import linear_constraints
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.estimate import LinearEstimate, Origins
from surprax.regression.fitting import estimated
from surprax.regression.inputs import Extras, read_inputs
from surprax.regression.links import Link, link_named
from surprax.regression.multinomial import multinomial
from surprax.regression.multinomial_estimate import MultinomialEstimate
from surprax.regression.penalized import penalized
from surprax.regression.preparation import extra_name, response_of, rows_of
from surprax.regression.problem import LinearProblem
from surprax.regression.responses import Response
from surprax.regression.streaming import streamed, streams

__all__ = ["glm"]


@overload
def glm(
    model: Any, data: Any = None, *, family: type[Categorical] | type[Multinomial], **options: Any
) -> MultinomialEstimate: ...
@overload
def glm(
    model: Any, data: Any = None, *, family: type[Distribution] | Response = Normal, **options: Any
) -> LinearEstimate: ...
def glm(  # type: ignore[misc]
    model: Any,
    data: Any = None,
    *,
    family: type[Distribution] | Response = Normal,
    link: str | Link | None = None,
    offset: Any = None,
    weights: Any = None,
    precisions: Any = None,
    trials: Any = None,
    censoring: Any = None,
    upper: Any = None,
    truncated: tuple[Any, Any] | None = None,
    penalty: float | tuple[float, float] | None = None,
    constraints: Any = None,
    fixed: Mapping[str, float] | None = None,
    tied: Sequence[Sequence[str]] = (),
    intercept: bool = True,
    drop_missing: bool = False,
    stream: bool | None = None,
    progress: bool | None = None,
    context: Mapping[str, Any] | None = None,
) -> LinearEstimate | MultinomialEstimate:
    """A generalised linear model, g(E[y]) = X b + offset, at its maximum of the likelihood.

    Args:
        model: a formula, "claims ~ age + C(region)"; or a pair (X, y) of a matrix or frame and responses.
        data: for a formula: a frame, a mapping from names to columns, a table, or a CSV, Parquet or Arrow file.
        family: the law of the response: Normal, Bernoulli, Binomial, Poisson, NegativeBinomial, Gamma, InverseGaussian, Beta,
            Tweedie(power), Categorical, Multinomial.
        link: g, by name ("log", "probit", …) or as an object; the family's usual one if None: identity, logit, log.
        offset: what is added to the linear predictor: a name of a column, or numbers.
        weights: how often each row occurs (frequency weights), a name or numbers: a row of weight 3 is three rows.
        precisions: by how much the dispersion of each row is smaller (precision weights, of means of so many observations, say).
        trials: of binomial responses, whose y counts successes; or write "successes + failures ~ x".
        censoring: of each row −1 (or "left") where the response is at most y, 1 (or "right", or True) where it is above y, 0 where
            it is y: a name or values.
        upper: the end of the interval (y, upper] that a response lies in, a name or numbers; y itself where it is y.
        truncated: (low, high), names or numbers, where only responses in (low, high] were seen at all; either may be None.
        penalty: (l1, l2): l1·Σ|b| + ½·l2·Σb² is added to the surprise in nats at dispersion 1 (to half the deviance); the intercept
            is spared. One number is l2.
        constraints: linear equations, "a = b, x + z = 1", in the grammar of formulaic; or bounds, {"x": (0, None)}.
        fixed: coefficients (or the extra parameter) that are held, by name.
        tied: groups of names of coefficients that have one value.
        intercept: whether (X, y) gets a column of ones; a formula says so itself.
        drop_missing: whether rows with missing values are left out; they are refused otherwise.
        stream: whether a file is read in blocks, with memory bounded; None decides by its size, 1 GiB of the numbers used.
        progress: whether long passes show a bar; None where there is someone to see it.
        context: names that a formula may use besides columns.

    Returns:
        A `LinearEstimate` (a `MultinomialEstimate` for categories), with `predict`, `residuals` and all that an `Estimate` has.
        Where covariates are discrete, rows are put together first, and normal responses become a triangle; `compression` says so.
        Columns that lie far from zero, as years do, are centred within where there is an intercept, and told as they are.

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
    low, high = (None, None) if truncated is None else truncated
    extras = Extras(offset, weights, precisions, trials, censoring, upper, low, high)
    response = None if family in (Categorical, Multinomial) else response_of(family)
    if streams(model, data, response, extras, stream):
        assert response is not None
        law = link_named(response.link if link is None else link)
        shaped = {"penalty": penalty, "constraints": constraints, "fixed": fixed, "tied": tied}
        return streamed(
            model, data, response, law, extras, **shaped, drop_missing=drop_missing, context=context, progress=progress
        )
    inputs = read_inputs(model, data, extras, intercept=intercept, drop_missing=drop_missing, context=context)
    if response is None:
        return multinomial(
            inputs.centred(), extras, link=link, penalty=penalty, constraints=constraints, fixed=fixed, tied=tied
        )
    chosen = link_named(response.link if link is None else link)
    names = inputs.design.names
    equations, bounds = linear_constraints(constraints, names)
    inputs = inputs if "Intercept" in bounds else inputs.centred()
    rows, label = rows_of(response, inputs)
    extra = extra_name(response, names)
    coordinates = LinearCoordinates(names, extra, fixed, tied, equations, inputs.recipe.centring)
    title = f"{response.name} model of {label}"
    if extras.confined:
        if penalty is not None or bounds:
            raise ValueError(
                "Censored or truncated responses take no penalty and no bounds: leave these out, or use `maximize`."
            )
        given = inputs.extras
        limits = (given["low"], given["high"])
        origins = Origins(inputs.recipe, extras, inputs.missing)
        return fit_censored(
            title, response, chosen, rows, coordinates, given["censoring"], given["upper"], limits, origins
        )
    if penalty is not None or bounds:
        return penalized(
            title, response, chosen, rows, coordinates, penalty, bounds, Origins(inputs.recipe, extras, inputs.missing)
        )
    shrunk = compressed(response, chosen, rows)
    problem = LinearProblem(
        title, response, chosen, shrunk.rows, rows, shrunk.totals, coordinates, triangle=shrunk.triangle
    )
    return estimated(problem, Origins(inputs.recipe, extras, inputs.missing, shrunk.note))
