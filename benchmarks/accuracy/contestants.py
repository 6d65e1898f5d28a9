"""The same operations, computed in float32 by this library and NumPyro, and by SciPy from the same float32 numbers."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.accuracy.oracle import Oracle

__all__ = ["Inputs", "numpyro_results", "our_results", "scipy_results", "slopes"]


@dataclass(frozen=True)
class Inputs:
    """What operations are applied to, in float32, one row per point.

    Attributes:
        x: arguments of densities and distribution functions.
        theta: parameters.
        level: probabilities.
        statistics: expectation parameters (rows, dimension), or None.
        p, q: pairs of parameters for divergences; entropies are those of p.
    """

    x: np.ndarray
    theta: tuple[np.ndarray, ...]
    level: np.ndarray
    statistics: np.ndarray | None
    p: tuple[np.ndarray, ...]
    q: tuple[np.ndarray, ...]


jax.tree_util.register_dataclass(Inputs)

type Program = Callable[[Inputs], Any]


def slopes(names: tuple[str, ...]) -> list[str]:
    """Names of the gradient of a log-density: in x, then in each parameter."""
    return ["d/dx", *(f"d/d {name}" for name in names)]


def _gradients(log_prob: Callable[..., Any], names: tuple[str, ...], discrete: bool) -> dict[str, Program]:
    def program(i: int) -> Program:
        return lambda inputs: jax.vmap(jax.grad(log_prob, i))(inputs.x, *inputs.theta)

    return {name: program(i) for i, name in enumerate(slopes(names)) if i or not discrete}


def our_results(family: Any, inputs: Inputs, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """Operations of a family of this library, compiled as one program."""
    names = tuple(family.parameters)
    known = family.known_parameters

    def make(theta: Any) -> Any:
        return family._of(**dict(zip(names, theta)))

    def solved(inputs: Inputs) -> Any:
        held = {name: value for name, value in zip(names, inputs.theta) if name in known}
        made = family.from_expectation(inputs.statistics, **held)
        return _flat([getattr(made, name) for name in names if name not in known])

    programs: dict[str, Program] = {
        "log_prob": lambda i: make(i.theta).log_prob(i.x),
        **_gradients(lambda x, *theta: make(theta).log_prob(x), names, family.discrete),
        "kl": lambda i: make(i.p).kl(make(i.q)),
        "entropy": lambda i: make(i.p).entropy(),
        "cdf": lambda i: make(i.theta).cdf(i.x),
        "log_cdf": lambda i: make(i.theta).log_cdf(i.x),
        "log_sf": lambda i: make(i.theta).log_sf(i.x),
        "icdf": lambda i: make(i.theta).icdf(i.level),
    }
    programs |= {
        "log_normalizer": lambda i: make(i.theta).log_normalizer,
        "expectation": lambda i: make(i.theta).expectation,
        "from_expectation": solved,
    }
    return _run({name: programs[name] for name in wanted}, inputs, ())


def _flat(leaves: list[Any]) -> Any:
    rows = leaves[0].shape[0]
    return jnp.concatenate([leaf.reshape(rows, -1) for leaf in leaves], axis=1)


MISSING = (NotImplementedError, ImportError, AttributeError, TypeError, KeyError, ValueError, jax.errors.JAXTypeError)
"""How a peer says that it lacks an operation, or has it not for arrays."""


def numpyro_results(oracle: Oracle, names: tuple[str, ...], discrete: bool, inputs: Inputs) -> dict[str, np.ndarray]:
    """The operations that NumPyro has for the family."""
    if oracle.numpyro is None:
        return {}
    import numpyro.distributions as dist

    def make(theta: Any) -> Any:
        made = oracle.numpyro(dist, *theta)
        made._validate_args = False
        return made

    programs: dict[str, Program] = {
        "log_prob": lambda i: make(i.theta).log_prob(i.x),
        **_gradients(lambda x, *theta: make(theta).log_prob(x), names, discrete),
        "kl": lambda i: dist.kl_divergence(make(i.p), make(i.q)),
        "entropy": lambda i: make(i.p).entropy(),
        "cdf": lambda i: make(i.theta).cdf(i.x),
        "log_cdf": lambda i: make(i.theta).log_cdf(i.x),
        "icdf": lambda i: make(i.theta).icdf(i.level),
    }
    return _run(programs, inputs, MISSING)


def _run(programs: Mapping[str, Program], inputs: Inputs, missing: Any) -> dict[str, np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        there = {}
        for name, program in programs.items():
            try:
                jax.eval_shape(program, inputs)
            except missing:
                continue
            there[name] = program
        results = jax.jit(lambda inputs: {name: program(inputs) for name, program in there.items()})(inputs)
        return {name: np.asarray(result) for name, result in results.items()}


def scipy_results(oracle: Oracle, discrete: bool, inputs: Inputs) -> dict[str, np.ndarray]:
    """The operations that SciPy has for the family; it computes in float64, and its results are rounded to float32."""
    if oracle.scipy is None:
        return {}
    from scipy import stats

    def wide(values: Any) -> Any:
        return [np.asarray(v, np.float64) for v in values]

    results = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        d, p = oracle.scipy(stats, *wide(inputs.theta)), oracle.scipy(stats, *wide(inputs.p))
        x, level = wide([inputs.x, inputs.level])
        programs: dict[str, Callable[[], Any]] = {
            "log_prob": lambda: (d.logpmf if discrete else d.logpdf)(x),
            "entropy": lambda: p.entropy(),
            "cdf": lambda: d.cdf(x),
            "log_cdf": lambda: d.logcdf(x),
            "log_sf": lambda: d.logsf(x),
            "icdf": lambda: d.ppf(level),
        }
        for name, program in programs.items():
            try:
                results[name] = np.asarray(program()).astype(np.float32)
            except MISSING:
                continue
    return results
