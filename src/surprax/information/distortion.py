"""How few nats tell a source up to a given distortion: by an interior point, with a certificate of how near it is."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from surprax.information.tables import at, read, reals
from surprax.numerics.precision import is_traced
from surprax.units import Unit, nats_per

__all__ = ["RateDistortion", "rate_distortion"]


@dataclass(frozen=True, slots=True)
class RateDistortion:
    """A point of a rate–distortion curve: `rate` − `gap` ≤ R(`distortion`) ≤ `rate`.

    `rate` and `gap` are in `unit`; `slope` is −dR/dD ≥ 0 in `unit` per distortion, inf at the least distortion; `test_channel` is
    q(y | x), which attains both rate and distortion, and `output_distribution` what it makes of the source. `iterations` were
    made; `converged` says whether the gap came under the tolerance.
    """

    rate: float
    distortion: float
    slope: float
    gap: float
    test_channel: np.ndarray
    output_distribution: np.ndarray
    iterations: int
    converged: bool
    unit: Unit

    def __str__(self) -> str:
        close = "" if self.converged else ": not converged"
        return (
            f"rate {self.rate:.6g} {self.unit} at distortion {self.distortion:.6g}, at most {self.gap:.1e} less"
            f" ({self.iterations} iterations{close})"
        )


def rate_distortion(
    p: Any = None,
    distortion: Any = None,
    unit: Unit = "nat",
    *,
    target: float | None = None,
    slope: float | None = None,
    log_p: Any = None,
    tolerance: float = 1e-9,
    max_iterations: int = 200,
) -> RateDistortion:
    """A point of the rate–distortion function R(D) = min I(X; Y) over channels q(y | x) with E d(X, Y) ≤ D.

    At slope β = −dR/dD the best channel is q(y | x) ∝ q(y) exp(−β d(x, y)), with q(y) such that
    c(y) = Σ p(x) exp(−β d(x, y))/Σ q(y') exp(−β d(x, y')) is at most 1, and 1 where q > 0. For every q and β

        R(D) ≥ −βD − Σ p(x) log Σ q(y) exp(−β d(x, y)) − log max c,

    and the gap is how far the rate of the channel found lies above that. An iteration is a Newton step for q and the slack
    1 − c ≥ 0 together, whose products are made equal and small: it solves as many equations as there are y, and 10 to 20 suffice.
    For a target, β is found by bisection; where the curve is straight there, channels of its two ends take turns.

    Args:
        p: probabilities of the source's symbols x, which sum to 1, or a `Belief`; one source, of known numbers.
        distortion: d(x, y), of shape (x, y); finite.
        unit: of rate and slope: "nat", "bit", "ban" or "deciban".
        target: D, the distortion allowed.
        slope: β ≥ 0 in nats per distortion, instead of a target; inf for the least distortion.
        log_p: log-weights in nats instead of `p`, not necessarily normalised.
        tolerance: the gap, in nats, at which to stop.
        max_iterations: the most iterations at one slope.

    Returns:
        A `RateDistortion`.

    Raises:
        ValueError: for what is no distribution or no distortion, with its index; for a target below the least distortion.

    Source: Blahut (1972), "Computation of channel capacity and rate-distortion functions", theorems 5 and 6, for the channel and
    the bound; Boyd & Vandenberghe (2004), "Convex optimization", section 11.7, for the steps.

    >>> r = rate_distortion([0.5, 0.5], [[0, 1], [1, 0]], "bit", target=0.1)  # 1 − H(0.1)
    >>> print(round(r.rate, 6), round(r.distortion, 6), r.gap < 1e-8)
    0.531004 0.1 True
    """
    if is_traced(p, log_p, distortion, target, slope):
        raise ValueError(
            "A rate–distortion point is found by bisection of known numbers; got traced ones. Call it outside of jit."
        )
    given = read(p, log_p)
    source = np.asarray(given.value, np.float64)
    if source.ndim != 1:
        raise ValueError(f"One source is described at a time; got probabilities of shape {source.shape}.")
    if given.by_log:
        source = np.exp(source - np.max(source))
        source = source / np.sum(source)
    d = reals(distortion, "Distortions")
    if d.ndim != 2 or d.shape[0] != source.size or d.shape[1] == 0:
        raise ValueError(
            f"A distortion has a row for each of {source.size} symbols and a column for each reproduction; got shape {d.shape}."
        )
    if not np.all(np.isfinite(d)):
        index = np.argwhere(~np.isfinite(d))[0]
        raise ValueError(f"A distortion is finite; got {d[tuple(index)]:g}{at(index)}.")
    if (target is None) == (slope is None):
        what = "neither" if target is None else "both"
        raise ValueError(
            f"A point of the curve is given by its `target` distortion or by its `slope`, one of them; got {what}."
        )
    floor = np.min(d, axis=1)
    problem = _Problem(source, d - floor[:, None], float(source @ floor), tolerance, int(max_iterations))
    if slope is not None:
        if not slope >= 0:
            raise ValueError(f"The slope −dR/dD is at least 0; got {slope:g}.")
        point = problem.at_slope(float(slope))
        return problem.result(point.channel, float(slope), point, unit)
    return problem.at_target(float(target), unit)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class _Point:
    """What the iterations came to at one slope; the excess distortion is over the least."""

    slope: float
    channel: np.ndarray
    excess: float
    intercept: float
    """What the lower bound is at an excess of 0: R(D) ≥ intercept − slope·excess."""
    iterations: int


@dataclass(frozen=True, slots=True)
class _Problem:
    """A source, a distortion of which every row has least entry 0, and its mean least distortion."""

    source: np.ndarray
    d: np.ndarray
    least: float
    tolerance: float
    most: int

    def at_slope(self, beta: float, before: int = 0) -> _Point:
        with np.errstate(invalid="ignore"):
            kernel = np.exp(np.where(self.d == 0, 0.0, -beta * self.d))
        # A hair below the tolerance: the rate is computed another way than the bound.
        q, intercept, steps = _interior_point(self.source, kernel, 0.5 * self.tolerance, self.most)
        channel = q * kernel
        channel = channel / np.sum(channel, axis=1, keepdims=True)
        return _Point(beta, channel, self.excess(channel), intercept, before + steps)

    def excess(self, channel: np.ndarray) -> float:
        return float(self.source @ np.sum(channel * self.d, axis=1))

    def rate(self, channel: np.ndarray) -> float:
        output = self.source @ channel
        used = channel > 0
        ratio = np.where(used, channel, 1.0) / np.where(used, output, 1.0)
        return max(0.0, float(self.source @ np.sum(np.where(used, channel * np.log(ratio), 0.0), axis=1)))

    def at_target(self, target: float, unit: Unit) -> RateDistortion:
        excess = target - self.least
        hair = 1e-12 * (abs(self.least) + float(np.max(self.d)))
        if not excess >= -hair:
            raise ValueError(
                f"The least distortion that this source can have is {self.least:.7g}; got a target of {target:g}."
                " Raise it, or add reproductions."
            )
        silent = self.source @ self.d
        if excess >= np.min(silent) - hair:  # one symbol for all is good enough
            channel = np.zeros_like(self.d)
            channel[:, np.argmin(silent)] = 1.0
            return self.result(channel, 0.0, _Point(0.0, channel, float(np.min(silent)), 0.0, 0), unit)
        if excess <= hair:
            point = self.at_slope(np.inf)
            return self.result(point.channel, np.inf, point, unit)
        low = self.at_slope(0.0)
        last = high = self.at_slope(1.0 / excess)
        while high.excess > excess and high.slope < 1e15 / excess:
            low, high = high, self.at_slope(4.0 * high.slope, high.iterations)
            last = high
        # Between the two tangents the curve is known to within half this product.
        while (high.slope - low.slope) * (low.excess - high.excess) > 0.1 * self.tolerance:
            slope = 0.5 * (low.slope + high.slope)
            if not low.slope < slope < high.slope:
                break
            last = self.at_slope(slope, last.iterations)
            if last.excess > excess:
                low = last
            else:
                high = last
        span = low.excess - high.excess
        share = min(max((excess - high.excess) / span, 0.0), 1.0) if span > 0 else 0.0
        channel = (1.0 - share) * high.channel + share * low.channel
        best = max(high, low, key=lambda point: point.intercept - point.slope * excess)
        return self.result(channel, best.slope, replace(best, iterations=last.iterations), unit)

    def result(self, channel: np.ndarray, slope: float, bound: _Point, unit: Unit) -> RateDistortion:
        excess, rate = self.excess(channel), self.rate(channel)
        below = bound.intercept - (0.0 if np.isinf(bound.slope) else bound.slope * excess)
        gap = max(0.0, rate - max(below, 0.0))
        one = nats_per(unit)
        return RateDistortion(
            rate / one,
            self.least + excess,
            slope / one,
            gap / one,
            channel,
            self.source @ channel,
            bound.iterations,
            gap <= self.tolerance,
            unit,
        )


def _interior_point(
    source: np.ndarray, kernel: np.ndarray, tolerance: float, most: int
) -> tuple[np.ndarray, float, int]:
    """q(y), the lower bound on R + β·excess, and the iterations made; every row of the kernel has greatest entry 1.

    The energy −Σ p log Σ q k + Σ q is made small over q ≥ 0. Its slope is 1 − c, so that Σ q = 1 at the optimum.
    """
    size = kernel.shape[1]
    q, slack = np.full(size, 1.0 / size), np.ones(size)
    for steps in range(most + 1):
        total = np.sum(q)
        z = kernel @ q
        c = (source / z) @ kernel
        # Σ q c = 1, so that the rate exceeds the bound by log max c − Σ q c log c at most.
        log_c = np.log(np.maximum(c * total, np.finfo(float).tiny))
        short = np.max(log_c) - np.sum(q * c * log_c)
        if short <= tolerance or steps == most:
            break
        aim = 0.1 * min(q @ slack / size, max(short, 0.0) if steps else np.inf)
        scaled = kernel * (np.sqrt(source) / z)[:, None]
        step = np.linalg.solve(scaled.T @ scaled + np.diag(slack / q), aim / q - (1.0 - c))
        slack_step = (aim - slack * step) / q - slack
        q = q + _length(q, step) * step
        slack = slack + _length(slack, slack_step) * slack_step
    energy = -np.sum(source * np.log(z / total))
    return q / total, float(energy - np.max(log_c)), steps


def _length(value: np.ndarray, step: np.ndarray) -> float:
    """How much of a step, at most all, leaves positive numbers positive."""
    return min(1.0, 0.995 / max(np.max(-step / value), 1e-300))
