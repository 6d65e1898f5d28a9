"""What can be seen of draws that should not be trusted, in sentences."""

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from arviz_stats.base import array_stats
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from scipy.special import ndtri
from scipy.stats import rankdata

__all__ = ["InferenceWarning", "element", "ess", "rhat", "say", "trouble_with_approximation", "trouble_with_chains"]

_RHAT = 1.01
_ESS_PER_CHAIN = 100
"""Thresholds of Vehtari et al. (2021), "Rank-normalization, folding, and localization: an improved R-hat", Bayesian Analysis 16."""
_PARETO_K = 0.7
"""Threshold of Yao et al. (2018), "Yes, but did it work? Evaluating variational inference", ICML."""
_SPREAD = 0.3
"""Standard deviation of the log-ratio, in nats, up to which means are within about 0.1 standard deviations, whatever k̂ is."""
_MOVED = 0.5
"""Standard deviations by which the mean of an approximation may be off without a word."""
_OFTEN = 0.01
"""Share of iterations in which the greatest depth is reached that is worth a word."""


class InferenceWarning(UserWarning):
    """A posterior that should not be trusted as it is; the message says why, and what to do."""


def say(troubles: Sequence[str]) -> None:
    """Warn of each."""
    for trouble in troubles:
        warnings.warn(trouble, InferenceWarning, stacklevel=3)


def rhat(draws: np.ndarray) -> np.ndarray:
    """Rank-normalised split R̂ of draws (chains, draws, …), in the shape of the site; NaN for what never varies."""
    return _of_elements(draws, lambda x: array_stats.rhat(x, chain_axis=0, draw_axis=1))


def ess(draws: np.ndarray, part: str = "bulk") -> np.ndarray:
    """Effective sample size of draws (chains, draws, …), of their "bulk" or their "tail"; NaN for what never varies."""
    ends = {"prob": (0.05, 0.95)} if part == "tail" else {}
    return _of_elements(draws, lambda x: array_stats.ess(x, chain_axis=0, draw_axis=1, method=part, **ends))


def _of_elements(draws: np.ndarray, of: Callable[[np.ndarray], Any]) -> np.ndarray:
    columns = _columns(draws)
    result = np.full(columns.shape[2], np.nan)
    if columns.shape[1] >= 4:
        varies = np.flatnonzero(np.ptp(columns, axis=(0, 1)) > 0.0)
        for i in varies:
            result[i] = of(columns[:, :, i])
    return result.reshape(draws.shape[2:])


def _columns(draws: np.ndarray) -> np.ndarray:
    return draws.reshape(*draws.shape[:2], -1).astype(np.float64)


_SUSPECTS = 16
"""Elements of a site whose diagnostics are computed in order to find the worst."""

_AT_ONCE = 2**22
"""Draws that are ranked at once."""


def _worst(
    draws: Mapping[str, np.ndarray], of: Callable[[np.ndarray], np.ndarray], nearly: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """A diagnostic of the elements of each site, NaN of those that are not suspected to be the worst.

    ArviZ's take half a millisecond for each element: `nearly` computes much the same for many elements at once, least is worst.
    """
    found = {}
    for name, x in draws.items():
        columns = _columns(x)
        chains, count, size = columns.shape
        result, suspects = np.full(size, np.nan), np.arange(size)
        if size > _SUSPECTS:
            parts = np.array_split(suspects, -(-size * chains * count // _AT_ONCE))
            with np.errstate(all="ignore"):  # of what does not vary
                looks = np.concatenate([nearly(columns[:, :, part]) for part in parts])
            # NumPyro 0.21 has no answer for the tails of chains that do not reach them at all.
            unknown = np.isnan(looks) & (np.ptp(columns, axis=(0, 1)) > 0.0)
            worst = np.argsort(np.where(np.isnan(looks), np.inf, looks))[:_SUSPECTS]
            suspects = np.union1d(worst, np.flatnonzero(unknown))
        result[suspects] = of(columns[:, :, suspects])
        found[name] = result.reshape(x.shape[2:])
    return found


def _nearly_rhat(x: np.ndarray) -> np.ndarray:
    """Less what `rhat` is by NumPyro, shape (elements,) of draws (chains, draws, elements)."""
    folded = np.abs(x - np.median(x, axis=(0, 1)))
    return -np.maximum(*(split_gelman_rubin(_normal_scores(part)) for part in (x, folded)))


def _nearly_ess(x: np.ndarray, part: str) -> np.ndarray:
    """What `ess` is by NumPyro."""
    seen = [_normal_scores(x)] if part == "bulk" else [x <= end for end in np.quantile(x, (0.05, 0.95), axis=(0, 1))]
    half = x.shape[1] // 2
    return np.min([effective_sample_size(np.concatenate([v[:, :half], v[:, -half:]])) for v in seen], axis=0)


def _normal_scores(x: np.ndarray) -> np.ndarray:
    flat = x.reshape(-1, x.shape[2])
    return np.asarray(ndtri((rankdata(flat, axis=0) - 0.375) / (len(flat) + 0.25))).reshape(x.shape)


def element(name: str, index: tuple[int, ...]) -> str:
    """How an element of a site is written.

    >>> element("theta", (0, 3)), element("rate", ())
    ('theta[0, 3]', 'rate')
    """
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def trouble_with_chains(draws: Mapping[str, np.ndarray], statistics: Mapping[str, np.ndarray]) -> list[str]:
    """What is wrong with draws of NUTS, (chains, draws, …) of each latent site; nothing, if all is well."""
    chains, count = statistics["diverging"].shape
    troubles = [_divergences(draws, statistics["diverging"])] if statistics["diverging"].any() else []
    deep = np.mean(statistics["reached_max_tree_depth"])
    if deep > _OFTEN:
        troubles.append(
            f"{deep:.0%} of the trajectories were cut off at the greatest depth, {statistics['tree_depth'].max()}: draws are"
            " slow and correlated. Rescale or reparametrise the model, or pass a greater max_tree_depth."
        )
    if count < 4:
        return troubles
    worst = _extreme(_worst(draws, rhat, _nearly_rhat), np.nanargmax) if chains > 1 else None
    if worst is not None and worst[1] > _RHAT:
        troubles.append(
            f"Chains have not mixed: R-hat is {worst[1]:.4f} for {worst[0]} (up to {_RHAT} is well). Draw longer chains"
            " (num_warmup, num_samples); if that does not help, the posterior may have several modes, or the model may not"
            " tell its parameters apart."
        )
    for part in ("bulk", "tail"):
        own, nearly = functools.partial(ess, part=part), functools.partial(_nearly_ess, part=part)
        least = _extreme(_worst(draws, own, nearly), np.nanargmin)
        if least is not None and least[1] < _ESS_PER_CHAIN * chains:
            troubles.append(
                f"Too few effective draws: {least[1]:.0f} of {chains * count:,} in the {part} of {least[0]}, where"
                f" {_ESS_PER_CHAIN * chains} ({_ESS_PER_CHAIN} per chain) are needed for estimates to be relied on. Pass a greater"
                " num_samples."
            )
    return troubles


def trouble_with_approximation(
    log_ratios: np.ndarray, draws: Mapping[str, np.ndarray], what: str
) -> tuple[float, list[str]]:
    """Pareto k̂ of log p − log q over n draws from an approximation q, and what is wrong with it.

    k̂ is about the shape of the tail of the ratio p/q, whatever its size: a ratio that hardly varies is well in any shape. Where k̂
    is small, the ratio is known well enough to say how far the means of q are off.

    Args:
        log_ratios: shape (n,), up to a constant.
        draws: of the latent sites, (n, …) by name.
        what: the approximation is.
    """
    finite = np.isfinite(log_ratios)
    known = log_ratios[finite]
    if len(known) < 25 or np.ptp(known) == 0.0:
        return 0.0, []
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # ArviZ takes log-densities of what is left out, which are minus the log-ratios.
            smooth, k = array_stats.psislw(-np.where(finite, log_ratios, known.min()))
    except ValueError:  # a few draws outweigh all others by so much that those are the same
        smooth, k = log_ratios, np.inf
    k, spread = (float(k) if np.isfinite(k) else np.inf), float(np.std(known))
    if k > _PARETO_K and spread > _SPREAD:
        return k, [
            f"The {what} does not cover the posterior: their log-ratio varies by {spread:.2g} nats, with a Pareto k of {k:.2f} (up"
            f' to {_PARETO_K} is well). Its tails, and maybe its means, are off; use method="nuts".'
        ]
    weights = np.exp(smooth - np.max(smooth))
    weights /= weights.sum()
    worst = _extreme({name: _moved(x, weights) for name, x in draws.items()}, np.nanargmax)
    if worst is None or worst[1] <= _MOVED:
        return k, []
    return k, [
        f'The {what} is off: the mean of {worst[0]} by {worst[1]:.1f} of its standard deviations. Use method="nuts".'
    ]


def _moved(draws: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """By how many standard deviations weights move the mean of each element; NaN of what never varies."""
    x = draws.reshape(len(draws), -1).astype(np.float64)
    mean, sd = x.mean(axis=0), x.std(axis=0)
    moved = np.full(len(mean), np.nan)
    np.divide(np.abs(weights @ x - mean), sd, out=moved, where=sd > 0.0)
    return moved.reshape(draws.shape[1:])


def _divergences(draws: Mapping[str, np.ndarray], diverging: np.ndarray) -> str:
    """How many, and in which direction they lie: the element whose values there are most unlike the others."""
    count, total = int(diverging.sum()), diverging.size
    place, furthest = "", 0.0
    for name, x in draws.items():
        columns = x.reshape(*x.shape[:2], -1).astype(np.float64)
        median, there = np.median(columns, axis=(0, 1)), np.median(columns[diverging], axis=0)
        spread = np.std(columns, axis=(0, 1))
        away = np.divide(np.abs(there - median), spread, out=np.zeros_like(spread), where=spread > 0.0)
        i = int(np.argmax(away))
        if away[i] > furthest:
            furthest = away[i]
            where = element(name, tuple(map(int, np.unravel_index(i, x.shape[2:]))) if x.ndim > 2 else ())
            side = "small" if there[i] < median[i] else "large"
            place = f", most of them where {where} is {side} (median {there[i]:.3g} there, {median[i]:.3g} overall)"
    return (
        f"{count:,} of {total:,} draws diverged{place}: parts of the posterior may be missing. Write scales and what they scale"
        " apart (a non-centred parametrisation: numpyro.infer.reparam.LocScaleReparam), or pass a higher target_accept_prob."
    )


def _extreme(values: Mapping[str, np.ndarray], pick: Callable[[np.ndarray], Any]) -> tuple[str, float] | None:
    """The element with the most extreme value, and that value; None where all are NaN."""
    found: list[tuple[str, float]] = []
    for name, of in values.items():
        if of.size and not np.all(np.isnan(of)):
            i = np.unravel_index(pick(of), of.shape)
            found.append((element(name, tuple(map(int, i))), float(of[i])))
    if not found:
        return None
    return found[int(pick(np.array([value for _, value in found])))]
