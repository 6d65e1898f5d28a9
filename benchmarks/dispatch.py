"""The log-density of one number: what a call costs when there is nothing to compute."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

import surprax as sx
from benchmarks.harness import Case, Contest, Setting, Target, against, call

__all__ = ["CASES"]

EIGHTH = (Target(1 / 8, "NumPyro"),)

# Name, constructor parameters, where; NumPyro's name; SciPy's function of x and the parameters.
POINTS: dict[str, tuple[str, tuple[float, ...], float, str, Callable[[Any], Callable[..., Any]]]] = {
    "normal": ("Normal", (1.0, 2.0), 0.5, "Normal", lambda s: lambda x, m, sd: s.norm.logpdf(x, m, sd)),
    "gamma": ("Gamma", (3.0, 2.0), 1.5, "Gamma", lambda s: lambda x, a, b: s.gamma.logpdf(x, a, scale=1 / b)),
    "beta": ("Beta", (2.0, 3.0), 0.25, "Beta", lambda s: lambda x, a, b: s.beta.logpdf(x, a, b)),
    "poisson": ("Poisson", (4.0,), 3.0, "Poisson", lambda s: lambda x, m: s.poisson.logpmf(x, m)),
}


def scalar(name: str, construct: bool, setting: Setting) -> Contest:
    """`d.log_prob(x)` of a scalar on the device; with `construct`, of a distribution made anew each time."""
    import numpyro.distributions
    from scipy import stats

    family, parameters, where, numpyro_name, scipy = POINTS[name]
    ours, theirs = getattr(sx, family), getattr(numpyro.distributions, numpyro_name)
    x, density = jnp.float32(where), scipy(stats)
    if construct:
        entrants = {
            "surprax": call(lambda: ours(*parameters).log_prob(x)),
            "NumPyro": call(lambda: theirs(*parameters).log_prob(x)),
        }
    else:
        entrants = {
            "surprax": call(ours(*parameters).log_prob, x),
            "NumPyro": call(theirs(*parameters).log_prob, x),
        }
    entrants["scipy"] = call(density, where, *parameters)
    return Contest(1, "float32", entrants, against(np.float64(density(where, *parameters))), 2e-6)


CASES = [
    *(
        Case(f"dispatch/{name}", f"{family}(…).log_prob(x), eager", partial(scalar, name, False), EIGHTH)
        for name, (family, *_) in POINTS.items()
    ),
    Case("dispatch/construct", "Normal(1, 2).log_prob(x), made and called", partial(scalar, "normal", True), EIGHTH),
]
