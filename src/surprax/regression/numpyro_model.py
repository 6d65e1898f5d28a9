"""A fitted generalised linear model as a NumPyro model."""

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from surprax.interop import to_numpyro
from surprax.regression.responses import BinomialResponse

if TYPE_CHECKING:
    from surprax.regression.estimate import LinearEstimate

__all__ = ["numpyro_model"]


def numpyro_model(estimate: "LinearEstimate", prior: Any) -> tuple[Any, dict[str, Any]]:
    """`LinearEstimate.to_numpyro`."""
    rows = estimate.data_rows()
    problem = estimate.problem
    response, link, extra = problem.response, problem.link, problem.linear.extra
    if problem.linear.B is not None:
        raise ValueError(
            "Constraints on coefficients are not carried over; write the model in NumPyro with what is free."
        )
    X = np.asarray(rows.design.matrix(), np.float32)
    offset = None if rows.offset is None else np.asarray(rows.offset, np.float32)
    trials = rows.precision if isinstance(response, BinomialResponse) and np.any(rows.precision != 1.0) else None
    y = rows.y if trials is None else rows.y * trials
    weights = None if np.all(rows.weights == 1.0) else np.asarray(rows.weights, np.float32)
    prior = dist.Normal(0.0, 10.0) if prior is None else prior
    centring = problem.linear.centring
    site = "coefficients" if centring is None else "centred coefficients"
    mean = np.zeros(X.shape[1], np.float32) if centring is None else np.asarray(centring.mean, np.float32)

    def model() -> None:
        b = numpyro.sample(site, prior.expand([X.shape[1]]).to_event(1))
        if centring is not None:
            numpyro.deterministic("coefficients", b - jnp.zeros_like(b).at[centring.intercept].set(b @ mean))
        other = numpyro.sample(extra, dist.LogNormal(0.0, 3.0)) if extra else None
        eta = jnp.asarray(X) @ b + (0.0 if offset is None else jnp.asarray(offset))
        law = to_numpyro(response.distribution(link.inverse(eta), other, trials))
        with numpyro.plate("rows", len(y)):
            if weights is None:
                numpyro.sample("y", law, obs=jnp.asarray(y))
            else:
                with numpyro.handlers.scale(scale=jnp.asarray(weights)):
                    numpyro.sample("y", law, obs=jnp.asarray(y))

    init = {site: np.asarray(estimate._b)}
    return model, init | ({extra: estimate.extra} if extra else {})
