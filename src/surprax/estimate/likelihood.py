"""`mle` and `map_estimate`: of a family, or of a NumPyro model."""

from collections.abc import Mapping, Sequence
from typing import Any

from surprax.estimate.estimate import Estimate
from surprax.families.base import Distribution

__all__ = ["map_estimate", "mle"]


def mle(
    target: Any,
    *data: Any,
    weights: Any = None,
    init: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    tied: Sequence[Sequence[str]] = (),
    starts: int = 1,
    key: Any = None,
    optimizer: Any = None,
    steps: int | None = None,
    progress: bool | None = None,
    censoring: Any = None,
    upper: Any = None,
    truncated: tuple[Any, Any] | None = None,
    **model_arguments: Any,
) -> Estimate:
    """Maximum likelihood, with all that a fit should say.

    Args:
        target: a family, such as `Gamma`; or a NumPyro model, of which priors are left out: its latent sites and parameters
            (`numpyro.param`) are what is fitted.
        data: observations or `Evidence` for a family; the arguments of a model, whose data are compressed first where they can be.
        weights: of the observations of a family, ≥ 0, one to each.
        init: where to start, by name, for a model; from the middle of every domain otherwise.
        fixed: values of parameters that are held, by name.
        tied: groups of names of parameters that have one value.
        starts, key: for a model: how many climbs, and a JAX random key for the starts after the first.
        optimizer, steps: an Optax optimiser for a model, instead of L-BFGS and Newton's method.
        progress: whether long climbs show a bar; None where there is someone to see it.
        censoring: of observations of a family, one each: −1 (or "left") where it is at most x, 1 (or "right", or True) where it is
            above x, 0 where it is x.
        upper: the end of the interval (x, upper] that an observation lies in, one each; x itself where it is x.
        truncated: (low, high) where only observations in (low, high] were seen at all; either may be None.
        model_arguments: keyword arguments of a model.

    Returns:
        An `Estimate`.

    Raises:
        ValueError: where there is no maximum, in the words of `Family.fit`; for discrete unknowns.

    >>> import surprax as sx
    >>> est = mle(sx.Poisson, [3, 1, 4, 1, 5, 9, 2, 6])
    >>> print(est["rate"], est.standard_errors()["rate"].round(3))
    3.875 0.696
    >>> low, high = est.confidence_interval("rate", method="profile")
    >>> print(f"{low:.3f} {high:.3f}")
    2.666 5.404
    >>> failures = mle(sx.Exponential, [3.0, 8.0, 10.0, 10.0], censoring=[0, 0, 1, 1])  # two of four within 31 hours
    >>> print(f"{failures['rate']:.4f}")
    0.0645
    """
    if isinstance(target, type) and issubclass(target, Distribution):
        from surprax.estimate.families import mle_family

        if len(data) != 1 or model_arguments:
            raise TypeError(
                f"mle({target.__name__}, x) takes one array of observations, or evidence; got {len(data)} arguments."
            )
        return mle_family(target, data[0], weights, dict(fixed or {}), tied, (censoring, upper, truncated))
    _check_model(target, weights)
    if censoring is not None or upper is not None or truncated is not None:
        raise TypeError(
            "Censoring and truncation belong into the model: numpyro.distributions has truncated and censored laws."
        )
    from surprax.estimate.models import fit_model

    return fit_model(
        target,
        data,
        model_arguments,
        prior=False,
        init=init,
        fixed=fixed,
        tied=tied,
        starts=starts,
        key=key,
        optimizer=optimizer,
        steps=steps,
        progress=progress,
    )


def map_estimate(
    model: Any,
    *data: Any,
    init: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    tied: Sequence[Sequence[str]] = (),
    starts: int = 1,
    key: Any = None,
    optimizer: Any = None,
    steps: int | None = None,
    progress: bool | None = None,
    **model_arguments: Any,
) -> Estimate:
    """The mode of the posterior density of a NumPyro model's latent sites, on their own scales; arguments as for `mle`.

    (A mode moves with the scale on which a density is taken: this is that of the sites as the model has them.)

    >>> import numpy as np, numpyro, numpyro.distributions as dist
    >>> def model(x):
    ...     rate = numpyro.sample("rate", dist.Gamma(3.0, 1.0))
    ...     numpyro.sample("x", dist.Poisson(rate), obs=x)
    >>> print(f"{map_estimate(model, np.array([4.0, 6.0]))['rate']:.4f}")  # (3 + 10 − 1) / (1 + 2)
    4.0000
    """
    _check_model(model, None)
    from surprax.estimate.models import fit_model

    return fit_model(
        model,
        data,
        model_arguments,
        prior=True,
        init=init,
        fixed=fixed,
        tied=tied,
        starts=starts,
        key=key,
        optimizer=optimizer,
        steps=steps,
        progress=progress,
    )


def _check_model(target: Any, weights: Any) -> None:
    if isinstance(target, Distribution):
        raise TypeError(f"A distribution is fitted already; pass its family, {type(target).__name__}, or a model.")
    if not callable(target):
        raise TypeError(f"What is fitted is a family, such as Gamma, or a NumPyro model; got {target!r}.")
    if weights is not None:
        raise TypeError(
            "Weights belong into the model: numpyro.handlers.scale(scale=weights) around its observed site."
        )
