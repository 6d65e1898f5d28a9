"""Inference from the front: one call, whichever method answers it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax import Array

from surprax.infer.approximation import Approximation
from surprax.infer.diagnostics import say, trouble_with_chains
from surprax.infer.exact import Unsolved, solve
from surprax.infer.forms import Draws, Form, Point
from surprax.infer.keys import as_key
from surprax.infer.laplace import laplace, maximum
from surprax.infer.nuts import Settings, frame_of, sample
from surprax.infer.original import Original
from surprax.infer.posterior import Posterior
from surprax.infer.progress import progress_bar
from surprax.infer.sites import continuous_latents
from surprax.infer.svi import ROUNDS, STEPS, svi
from surprax.models import Compressed
from surprax.models.certificate import Near, Told
from surprax.models.doubts import impossible_rows
from surprax.models.planner import Unproved

__all__ = ["METHODS", "infer"]

METHODS = ("auto", "exact", "laplace", "nuts", "svi", "map")


class _RefutedError(Exception):
    """The compressed model did not agree with the plain one; another one was made, and proved."""

    def __init__(self, proved: Compressed) -> None:
        super().__init__()
        self.proved = proved


@dataclass(frozen=True)
class _Task:
    """What all methods are given."""

    original: Original
    unproved: Unproved
    fast: Compressed
    key: Array | None
    num_chains: int
    num_samples: int
    num_warmup: int
    target_accept_prob: float
    max_tree_depth: int
    progress: bool

    @property
    def shape(self) -> tuple[int, int]:
        return self.num_chains, self.num_samples

    def begin(self, told: Told | None = None) -> None:
        """Begin to prove that the compressed model agrees with the plain one."""
        self.unproved.begin(told)

    def prove(self, near: Near | None = None) -> None:
        """The compressed model agrees with the plain one; else there is another one."""
        if (proved := self.unproved.proved(near)) is not self.fast:
            raise _RefutedError(proved)

    def posterior(self, form: Form, method: str, warnings: Sequence[str] = (), **more: Any) -> Posterior:
        plan, certificate, warnings = self.fast.plan, self.fast.certificate, (*self.fast.doubts, *warnings)
        return Posterior(
            form, self.original, method=method, plan=plan, certificate=certificate, warnings=warnings, **more
        )


def infer(
    model: Callable[..., Any],
    *args: Any,
    method: str = "auto",
    key: Array | None = None,
    num_samples: int = 1_000,
    num_warmup: int = 1_000,
    num_chains: int = 4,
    target_accept_prob: float = 0.8,
    max_tree_depth: int = 10,
    progress: bool = True,
    **kwargs: Any,
) -> Posterior:
    """The posterior of a NumPyro model given its data.

    Args:
        model: a NumPyro model, of which all latent sites are continuous.
        args, kwargs: its arguments. One with the name of an option below has to be bound first: `functools.partial(model, key=…)`.
        method: "exact": in closed form, by conjugacy, or not at all.
            "nuts": draws by Hamiltonian Monte Carlo (Hoffman & Gelman 2014), exact but for their number.
            "laplace": the normal approximation at the mode.
            "svi": the normal distribution with the least divergence from the posterior.
            "map": the mode of the density of the sites, which is a point.
            "auto": "exact" where that is possible, else "nuts".
        key: JAX random key, old or new style. "map" needs none, and "exact" only where draws are asked for.
        num_samples: draws of each chain.
        num_warmup: iterations before them, in which NUTS finds its step size.
        num_chains: how many; they run in threads, and do not depend on how many run at once.
        target_accept_prob: of NUTS: higher for smaller steps and fewer divergences.
        max_tree_depth: of NUTS: a trajectory has up to 2 to this power steps.
        progress: whether to show a bar, where there is a terminal or a notebook.

    Returns:
        A `Posterior`, of which `method` is the one used.

    Raises:
        ValueError: in a sentence: an unknown method, no key, discrete latent sites, no closed form, missing values, rows outside of
            the support.

    What should not be trusted is said in an `InferenceWarning`: divergences, chains that have not mixed, too few effective draws,
    an approximation far from the posterior. There is none when all is well.

    All methods start from modes of the posterior, found in float64; sampling is in JAX's default precision, or in float64 where
    float32 does not resolve the posterior.

    >>> import numpyro
    >>> from numpyro.distributions import Bernoulli, Beta
    >>> def model(tosses):
    ...     theta = numpyro.sample("theta", Beta(1.0, 1.0))
    ...     with numpyro.plate("toss", len(tosses)):
    ...         numpyro.sample("heads", Bernoulli(theta), obs=tosses)
    >>> post = infer(model, np.array([1, 0, 0, 0, 1, 0]), method="nuts", key=jax.random.key(0))
    >>> bool(abs(post.mean("theta") - 3 / 8) < 0.02)  # Beta(3, 5)
    True
    """
    if method not in METHODS:
        raise ValueError(f"A method is one of {', '.join(map(repr, METHODS))}; got {method!r}.")
    if not callable(model):
        raise ValueError(f"A model is a function with numpyro.sample statements; got {model!r}.")
    for name, value, least in (
        ("num_samples", num_samples, 1),
        ("num_warmup", num_warmup, 0),
        ("num_chains", num_chains, 1),
        ("max_tree_depth", max_tree_depth, 1),
    ):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} is a whole number, at least {least}; got {value!r}.")
    if not 0.0 < target_accept_prob < 1.0:
        raise ValueError(f"target_accept_prob is between 0 and 1; got {target_accept_prob!r}.")
    if method in ("nuts", "laplace", "svi") or key is not None:
        key = as_key(key, f'Inference with method="{method}"')
    unproved = Unproved(model, args, kwargs)
    task = _Task(
        Original(model, args, kwargs),
        unproved,
        unproved.compressed,
        key,
        int(num_chains),
        int(num_samples),
        int(num_warmup),
        float(target_accept_prob),
        int(max_tree_depth),
        progress,
    )
    if not task.original.of_kind("latent"):
        continuous_latents(task.original.sites)
    _demand_possible(task.fast)
    try:
        posterior = _answer(task, method)
    except _RefutedError as refuted:
        posterior = _answer(replace(task, fast=refuted.proved), method)
    say(posterior.warnings)
    return posterior


def _demand_possible(fast: Compressed) -> None:
    """Raise `ValueError` where a row has no density, whatever the latent sites are; evidence is of rows that have."""
    with_evidence = [n for n, c in fast.compacts.items() if c.evidence is not None or c.gaussian is not None]
    impossible = impossible_rows(fast.reading, [name for name in fast.outcomes if name not in with_evidence])
    if impossible:
        raise ValueError(" ".join(impossible))


def _answer(task: _Task, method: str) -> Posterior:
    if method in ("auto", "exact"):
        closed = _exact(task)
        if isinstance(closed, Posterior):
            return closed
        if method == "exact":
            continuous_latents(task.original.sites)
            raise ValueError(f'{closed} Use method="nuts" for draws.')
        # Only now is it known that randomness is needed.
        as_key(task.key, "A posterior without a closed form is sampled, which")
        return _nuts(task)
    if method != "nuts":
        task.prove()
    return {"nuts": _nuts, "laplace": _laplace, "svi": _svi, "map": _map}[method](task)


def _exact(task: _Task) -> Posterior | str:
    """The posterior in closed form; where there is none, why."""
    found = solve(task.original.model, task.original.args, task.original.kwargs, task.fast)
    if isinstance(found, Unsolved):
        return found.reason
    task.prove()
    more: dict[str, Any] = {"exact": True, "log_evidence": found.log_evidence, "key": task.key, "shape": task.shape}
    return task.posterior(found.form, "exact", **more)


def _nuts(task: _Task) -> Posterior:
    assert task.key is not None
    settings = Settings(
        task.num_chains, task.num_warmup, task.num_samples, task.target_accept_prob, task.max_tree_depth
    )
    frame = frame_of(task.fast, settings, task)
    total = task.num_chains * (task.num_warmup + task.num_samples)
    with progress_bar("sampling", total, task.progress) as bar:
        chains = sample(frame, task.key, settings, bar)
    energy = frame.energy
    with energy.scope():
        values, log_volume = energy.values_and_volumes(chains.z.reshape(-1, energy.size))
        log_offset = task.fast.log_offset  # which depends on the precision
    draws = {
        name: (value.astype(frame.dtype) if value.dtype == np.float64 else value).reshape(*task.shape, *value.shape[1:])
        for name, value in values.items()
    }
    statistics = _completed(chains.statistics, log_offset, log_volume.reshape(task.shape), task.max_tree_depth)
    latent = {name: draws[name] for name in energy.names}
    troubles = trouble_with_chains(latent, statistics)
    return task.posterior(Draws(draws), "nuts", statistics=statistics, warnings=troubles)


def _completed(
    statistics: dict[str, np.ndarray], log_offset: float, log_volume: np.ndarray, max_tree_depth: int
) -> dict[str, np.ndarray]:
    """Statistics with the log-density of the plain model in its own free numbers, and the depth of trajectories.

    The energy stays that in which trajectories ran, which is what its changes are compared by (BFMI), but for a constant.
    """
    depth = np.log2(statistics["n_steps"]).astype(int) + 1
    return statistics | {
        "lp": statistics["lp"].astype(np.float64) - log_volume + log_offset,
        "energy": statistics["energy"].astype(np.float64) - log_offset,
        "tree_depth": depth,
        "reached_max_tree_depth": depth >= max_tree_depth,
    }


def _laplace(task: _Task) -> Posterior:
    return _approximated(task, "laplace", laplace(task.fast), task.key)


def _svi(task: _Task) -> Posterior:
    assert task.key is not None
    fit_key, key = jax.random.split(task.key)
    with progress_bar("fitting", STEPS * ROUNDS, task.progress) as bar:
        q = svi(task.fast, fit_key, bar)
    return _approximated(task, "svi", q, key)


def _approximated(task: _Task, method: str, q: Approximation, key: Array | None) -> Posterior:
    assert key is not None
    values, densities, k, troubles = q.checked(key, task.num_chains * task.num_samples)
    draws = {name: value.reshape(*task.shape, *value.shape[1:]) for name, value in values.items()}
    statistics = {name: value.reshape(task.shape) for name, value in densities.items()}
    with q.energy.scope():
        statistics["lp"] = statistics["lp"] + task.fast.log_offset
    return task.posterior(Draws(draws, q.sample), method, statistics=statistics, warnings=troubles, pareto_k=k)


def _map(task: _Task) -> Posterior:
    values, troubles = maximum(task.fast)
    return task.posterior(Point(values), "map", warnings=troubles)
