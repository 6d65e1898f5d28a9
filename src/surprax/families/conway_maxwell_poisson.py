"""The Conway–Maxwell–Poisson distribution: counts more or less spread out than Poisson's."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import POSITIVE, Gap
from surprax.families.base import family
from surprax.families.discrete import nonnegative, smallest_quantile
from surprax.families.exponential import ExponentialFamily
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import check_parameter, parameter, positive, real
from surprax.families.passes import climb
from surprax.families.sums import between, log_sum, log_tails, upward
from surprax.families.supports import NONNEGATIVE_INTEGERS
from surprax.numerics.elementary import by_dtype, expm1_minus, with_derivatives
from surprax.numerics.gamma import digamma, log_factorial
from surprax.numerics.gamma_differences import log_gamma_bregman, log_gamma_difference
from surprax.numerics.precision import is_traced

__all__ = ["ConwayMaxwellPoisson"]

LOG_FACTORIAL = Gap("mean log x! - log of mean!", lambda a, b: log_gamma_bregman(a + 1.0, b + 1.0))


@family
class ConwayMaxwellPoisson(ExponentialFamily):
    """Conway–Maxwell–Poisson distribution: s(x) = ν log x! − x log rate + log Z for x = 0, 1, 2, …, with ν the dispersion.

    Args:
        rate: λ, positive; the mode is next to λ^(1/ν). At ν = 0 it must be below 1.
        dispersion: ν ≥ 0: 1 is the Poisson distribution, 0 the geometric one, ∞ the limit of Bernoulli's.
        log_rate: log λ, instead of `rate`. It is what is stored: for narrow distributions of large counts λ itself is out of range.

    Natural parameters (log λ, −ν) of T(x) = (x, log x!); log-normaliser log Z = log Σ λˣ/(x!)^ν, summed over a window: from below
    the mode, where d numbers down masses have fallen by more than e^(−ν d(d − 1)/2λ^(1/ν)), out to where they are 0. What is left
    out below is at most 1e-9 of the sum (1e-18 in float64). `fit` matches both means; there is a maximum where the data are spread
    less than a geometric distribution and over more than two neighbouring numbers. Source: Shmueli, Minka, Kadane, Borle &
    Boatwright (2005).

    >>> print(f"{ConwayMaxwellPoisson(3.0, 1.0).log_normalizer:.4f}")  # Poisson
    3.0000
    >>> print(f"{ConwayMaxwellPoisson(0.25, 0.0).entropy('bit'):.4f}")  # geometric
    1.0817
    """

    log_rate: Any = parameter(real)
    dispersion: Any = parameter(nonnegative)

    dimension = 2
    layout = Layout(POSITIVE, (LOG_FACTORIAL,))
    gap_matrix = ((0.0,), (1.0,))
    discrete = True
    data_support = NONNEGATIVE_INTEGERS
    sums_by_evidence = (
        False  # log Z and log x! dwarf the rest at large counts: in float32 the masses keep what would cancel
    )

    def __init__(self, rate: Any = None, dispersion: Any = 1.0, *, log_rate: Any = None) -> None:
        if (rate is None) == (log_rate is None):
            found = "neither" if rate is None else "both"
            raise ValueError(f"ConwayMaxwellPoisson takes exactly one of rate and log_rate; got {found}.")
        if rate is not None and is_traced(rate):
            log_rate = jnp.log(jnp.asarray(rate, jnp.result_type(float, rate)))
        elif rate is not None:
            check_parameter("ConwayMaxwellPoisson", "rate", np.asarray(rate, np.float64), positive)
            log_rate = np.log(np.asarray(rate, np.float64))
        object.__setattr__(self, "log_rate", log_rate)
        object.__setattr__(self, "dispersion", dispersion)
        self.__post_init__()
        if not is_traced(self.log_rate, self.dispersion):
            log_rate, dispersion = np.asarray(self.log_rate), np.asarray(self.dispersion)
            endless = (dispersion == 0) & (log_rate >= 0)
            if np.any(endless):
                raise ValueError(
                    "ConwayMaxwellPoisson: at dispersion 0, where it is geometric, rate must be below 1; got "
                    f"{np.exp(np.broadcast_to(log_rate, endless.shape)[endless].flat[0]):g}."
                )

    @property
    def rate(self) -> Any:
        """λ, the shape of `log_rate`; ∞ where it is out of range."""
        return jnp.exp(self.log_rate)

    # Density.

    def _log_density(self, x: Array) -> Array:
        window = self._window()
        return _log_ratio_to(x, window.mode, *window.parameters) - window.log_total

    def _window(self) -> "_Window":
        return _Window(self.log_rate, self.dispersion)

    # Moments.

    def _mean(self) -> Any:
        return self._window().mean[0]

    def _variance(self) -> Any:
        return self._window().covariance[0][0]

    def _mode(self) -> Any:
        return _mode(*jnp.broadcast_arrays(self.log_rate, self.dispersion))

    # Distribution function.

    def _log_tails(self, x: Array) -> tuple[Array, Array]:
        window = self._window()

        def total(places: Array, weights: Array) -> Array:
            mode, *parameters = (p[None] if p.ndim else p for p in (window.mode, *window.parameters))
            masses = _log_ratio_to(places, mode, *parameters)
            return log_sum(masses, weights) - window.log_total

        x = x + jnp.zeros_like(window.mode)
        above, below, beyond = upward(x + 1.0), between(jnp.zeros_like(x), x), x >= window.mode
        return log_tails(total(below[0], below[2]), total(*above), beyond)

    def _log_cdf(self, x: Array) -> Array:
        return self._log_tails(x)[0]

    def _log_sf(self, x: Array) -> Array:
        return self._log_tails(x)[1]

    def _log_tail(self, x: Array, lower: Array) -> Array:
        return jnp.where(lower, *self._log_tails(x))

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        window = self._window()
        (mean, _), variance = window.mean, window.covariance[0][0]
        skewness = jnp.sqrt(variance) / jnp.maximum(mean, 0.01)
        return smallest_quantile(self, log_p, log_q, mean, variance, skewness)

    # Information.

    def _entropy(self) -> Any:
        """log Z less its part at the mode, and the mean fall of the mass from the mode: two terms ≥ 0."""
        window = self._window()
        return window.log_total - window.average(window.fall)

    def _kl(self, q: Self) -> Array:
        """log E exp(−D) with D = log p/q less its mean: near equality log(1 + E(e^−D − 1 + D)), of which all terms are positive."""
        own, theirs = (self.log_rate, self.dispersion), (q.log_rate, q.dispersion)
        own_log_rate, own_dispersion, log_rate, dispersion = jnp.broadcast_arrays(*own, *theirs)
        p, other = _Window(own_log_rate, own_dispersion), _Window(log_rate, dispersion)
        (count, log_factorials), (mean, mean_log) = p.statistics, p.mean_from_mode
        shift = (own_log_rate - log_rate)[None] * (count - mean[None])
        shift = shift - (own_dispersion - dispersion)[None] * (log_factorials - mean_log[None])
        bulk = p.log_mass > jnp.max(p.log_mass, axis=0, keepdims=True) - 20.0
        near = jnp.max(jnp.where(bulk, jnp.abs(shift), 0.0), axis=0) <= 1.0
        close = jnp.log1p(p.average(expm1_minus(-jnp.where(near, shift, 0.0))))
        fall = _log_ratio_to(p.places, other.mode[None], log_rate[None], dispersion[None])
        far = p.average(p.fall - fall) - p.log_total + other.log_total
        return jnp.where(near, close, far)

    # Exponential family.

    def _natural(self) -> tuple[Any, ...]:
        return self.log_rate, -self.dispersion

    @classmethod
    def _from_natural(cls, natural: tuple[Array, ...], known: dict[str, Any]) -> Self:
        log_rate, negative = natural
        inside = (negative < 0) | ((negative == 0) & (log_rate < 0))
        return cls._of(log_rate=log_rate, dispersion=jnp.where(inside, -negative, jnp.nan))

    def _expectation(self) -> tuple[Any, ...]:
        return self._window().mean

    @classmethod
    def _from_expectation(cls, expectation: tuple[Array, ...], known: dict[str, Any]) -> Self:
        mean, mean_log = expectation
        below, line = _neighbour(mean), _log_factorial_between(mean)
        rounding = 8.0 * float(jnp.finfo(mean.dtype).eps) * (line + jnp.where(below > 0, mean_log, 0.0))
        log_rate, dispersion, code = _solved(mean, mean_log - line, rounding)
        good = (code == 0) & (mean > 0)
        return cls._of(log_rate=jnp.where(good, log_rate, jnp.nan), dispersion=jnp.where(good, dispersion, jnp.nan))

    def _log_normalizer(self) -> Any:
        window = self._window()
        return window.log_total + (window.mode * self.log_rate - self.dispersion * log_factorial(window.mode))

    def _sufficient_statistics(self, x: Array) -> tuple[Any, ...]:
        return x, log_factorial(x)

    def _fisher_information(self) -> tuple[tuple[Any, ...], ...]:
        return self._window().covariance

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """Both means match: Newton's method for a concave function of two parameters."""
        least = _least_gap(e.mean)
        rounding = least * by_dtype(e.mean, 1e-5, 1e-10) + by_dtype(e.mean, 1e-7, 1e-14)
        log_rate, dispersion, code = _solved(e.mean, e.gaps[..., 0] - least, rounding)
        outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (e.mean <= 0, Reason.ALL_ZERO))
        return cls._of(log_rate=log_rate, dispersion=dispersion), Outcome(jnp.where(outcome.ok, code, outcome.code))

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """By rejection, as any log-concave distribution of known mode (Devroye 1987)."""
        window = self._window()
        log_top = jnp.broadcast_to(-window.log_total, shape)
        top, mode = jnp.exp(log_top), jnp.broadcast_to(window.mode, shape)
        dtype = top.dtype
        width = 1.0 + 0.5 * top

        def draw(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            key, x, done = state
            key, *keys = jax.random.split(key, 6)
            flat = jax.random.uniform(keys[0], shape, dtype) * (1.0 + width) <= width
            inside = jax.random.uniform(keys[1], shape, dtype) * width
            distance = jnp.where(flat, inside, width + jax.random.exponential(keys[2], shape, dtype)) / top
            proposal = mode + jnp.round(distance) * jax.random.rademacher(keys[3], shape, dtype)
            envelope = jnp.minimum(0.0, width - top * distance)
            height = jnp.log(jax.random.uniform(keys[4], shape, dtype)) + envelope
            accept = height <= _log_ratio_to(jnp.maximum(proposal, 0.0), mode, *window.parameters)
            return key, jnp.where(done, x, proposal), done | (accept & (proposal >= 0))

        start = key, jnp.full(shape, jnp.nan, dtype), jnp.isnan(top)
        return jax.lax.while_loop(lambda state: ~jnp.all(state[2]), draw, start)[1]


# Masses, over that at the mode.


def _mode(log_rate: Array, dispersion: Array) -> Array:
    """The least whole number from which masses do not rise: ⌈λ^(1/ν)⌉ − 1."""
    rising = (log_rate > 0) & (dispersion > 0)
    peak = jnp.exp(jnp.where(rising, log_rate, 0.0) / jnp.where(rising, dispersion, 1.0))
    bad = jnp.isnan(log_rate) | ~((dispersion > 0) | (log_rate < 0))
    return jnp.where(bad, jnp.nan, jnp.ceil(peak) - 1.0)


def _log_factorial_ratio(x: Array, mode: Array) -> Array:
    """log x!/mode!."""
    size = log_gamma_difference(jnp.minimum(x, mode) + 1.0, jnp.abs(x - mode))
    return jnp.where(x < mode, -size, size)


@with_derivatives(
    lambda x, mode, log_rate, dispersion: log_rate - dispersion * digamma(x + 1.0),
    lambda x, mode, log_rate, dispersion: jnp.zeros_like(mode),  # a reference, which does not move
    lambda x, mode, log_rate, dispersion: x - mode,
    lambda x, mode, log_rate, dispersion: -_log_factorial_ratio(x, mode),
)
def _log_ratio_to(x: Array, mode: Array, log_rate: Array, dispersion: Array) -> Array:
    """log P(X = x)/P(X = mode)."""
    return (x - mode) * log_rate - dispersion * _log_factorial_ratio(x, mode)


class _Window:
    """All masses that matter, and means over them. Places are on a new first axis."""

    def __init__(self, log_rate: Array, dispersion: Array) -> None:
        self.parameters = log_rate, dispersion = jnp.broadcast_arrays(log_rate, dispersion)
        self.mode = jax.lax.stop_gradient(_mode(log_rate, dispersion))
        # Numbers below the mode m by d have masses below e^−(ν/μ)(1 + 2 + … + (d − 1)) of that at the mode, as log μ/i ≥ (μ − i)/μ.
        nats = by_dtype(self.mode, 21.0, 42.0)
        spread = jnp.where(self.mode > 0, (self.mode + 1.0) / jnp.where(self.mode > 0, dispersion, 1.0), 0.0)
        lower = jnp.maximum(self.mode - jnp.ceil(1.0 + jnp.sqrt(2.0 * nats * jax.lax.stop_gradient(spread))), 0.0)
        self.places, weights = upward(lower)
        self.fall = _log_ratio_to(self.places, self.mode[None], log_rate[None], dispersion[None])
        # Where the sum begins at the mode, whose share may be nearly all, its logarithm is taken from the rest.
        first = lower == self.mode
        rest = jnp.sum(weights[1:] * jnp.exp(jnp.where(first[None], self.fall[1:], 0.0)), axis=0)
        self.log_total = jnp.where(first, jnp.log1p(jnp.where(first, rest, 0.0)), log_sum(self.fall, weights))
        self.log_mass = self.fall - self.log_total[None]
        self.masses = weights * jnp.exp(self.log_mass)

    def average(self, f: Array) -> Array:
        """E f(X)."""
        return jnp.sum(jnp.where(self.masses == 0, 0.0, self.masses * f), axis=0)

    @property
    def statistics(self) -> tuple[Array, Array]:
        """x and log x! at the places, less their values at the mode."""
        return self.places - self.mode[None], _log_factorial_ratio(self.places, self.mode[None])

    @property
    def mean_from_mode(self) -> tuple[Array, Array]:
        count, log_factorials = self.statistics
        return self.average(count), self.average(log_factorials)

    @property
    def mean(self) -> tuple[Array, Array]:
        """Of x and log x!."""
        count, log_factorials = self.mean_from_mode
        return self.mode + count, log_factorial(self.mode) + log_factorials

    @property
    def covariance(self) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        """Of x and log x!."""
        x, y = (t - m[None] for t, m in zip(self.statistics, self.mean_from_mode))
        cross = self.average(x * y)
        return (self.average(x * x), cross), (cross, self.average(y * y))


# The two means to the parameters.


@jax.custom_jvp
def _solved(mean: Array, excess: Array, rounding: Array) -> tuple[Array, Array, Array]:
    """log rate, dispersion and the reason, for a mean of x, and a mean of log x! that exceeds by `excess` the least possible,

    which it has where x is one of the two numbers next to the mean. An excess of no more than `rounding` counts as none.
    """
    shape = jnp.broadcast_shapes(jnp.shape(mean), jnp.shape(excess), jnp.shape(rounding))
    flat = (jnp.broadcast_to(v, shape).reshape(-1) for v in (mean, excess, rounding))
    return jax.tree.map(lambda v: v.reshape(shape), jax.vmap(_solve)(*flat))


@_solved.defjvp
def _solved_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Any, Any]:
    (mean, excess, rounding), (d_mean, d_excess, _) = primals, tangents
    log_rate, dispersion, code = _solved(mean, excess, rounding)
    (a, b), (_, c) = _Window(log_rate, dispersion).covariance
    d_log = d_excess + jnp.log(_neighbour(mean) + 1.0) * d_mean
    determinant = a * c - b * b
    moved = (c * d_mean - b * d_log) / determinant, (b * d_mean - a * d_log) / determinant
    return (log_rate, dispersion, code), (*moved, np.zeros(jnp.shape(code), jax.dtypes.float0))


def _solve(mean: Array, excess: Array, rounding: Array) -> tuple[Array, Array, Array]:
    """One case of `_solved`: the summit of tilt·E(x − mean) − ν E B(x) − log Z, where B is the excess of log x! that x adds."""
    proper = (mean > 0) & (mean < jnp.inf)
    mean, excess = jnp.where(proper, mean, 1.0), jnp.where(proper, excess, 0.5)
    geometric = _Window(jnp.log(mean / (1.0 + mean)), jnp.zeros_like(mean))
    most = geometric.average(_excess_of(geometric.places, mean))
    wide, narrow = excess >= most, excess <= rounding
    inside = proper & ~wide & ~narrow
    target = jnp.where(inside, excess, 0.5 * most)
    slope = jnp.log(_neighbour(mean) + 1.0)
    spread = target + _least_gap(mean)
    width = jnp.sqrt(2.0 * spread * (mean + 0.5))

    def at(place: Array) -> tuple[Array, Array]:
        dispersion = jnp.exp(place[1])
        return place[0] / width + dispersion * slope, dispersion

    def survey(place: Array) -> tuple[Array, Array, Array]:
        log_rate, dispersion = at(place)
        window = _Window(log_rate, dispersion)
        x, extra = window.places - mean, _excess_of(window.places, mean)
        e_x, e_extra = window.average(x), window.average(extra)
        tilt = place[0] / width
        # log Z of the tilted form, from that over the mass at the mode
        top = tilt * (window.mode - mean) - dispersion * _excess_of(window.mode, mean)
        height = -(window.log_total + top) - dispersion * target
        x, extra = x - e_x, extra - e_extra
        gradient = jnp.stack([-e_x / width, dispersion * (e_extra - target)])
        cross = dispersion / width * window.average(x * extra)
        last = dispersion * (e_extra - target) - dispersion**2 * window.average(extra * extra)
        return height, gradient, jnp.array([[-window.average(x * x) / width**2, cross], [cross, last]])

    start = jnp.stack([jnp.zeros_like(mean), jnp.log(0.5 / spread)])
    end = climb(survey, lambda place, step: place + step, start, jnp.where(inside, 60, 0))
    log_rate, dispersion = at(end.place)
    code = Outcome.first(
        (wide, Reason.GEOMETRIC_LIMIT), (narrow, Reason.TWO_NEIGHBOURS), (~end.settled, Reason.NOT_CONVERGED)
    ).code
    log_rate = jnp.where(wide, jnp.log(mean / (1.0 + mean)), jnp.where(narrow, jnp.nan, log_rate))
    return jnp.where(proper, log_rate, jnp.nan), jnp.where(wide, 0.0, jnp.where(narrow, jnp.inf, dispersion)), code


def _neighbour(mean: Array) -> Array:
    return jax.lax.stop_gradient(jnp.floor(mean))


def _log_factorial_between(mean: Array) -> Array:
    """log x! at the mean by a straight line between its two neighbours: the least mean of log x! that whole numbers have."""
    below = _neighbour(mean)
    return log_factorial(below) + (mean - below) * jnp.log(below + 1.0)


def _excess_of(x: Array, mean: Array) -> Array:
    """How far log x! is above the straight line through its values at the two neighbours of the mean."""
    below, low, high = _neighbours_gaps(mean)
    above_line = _gap_of(x, mean) - (low + (x - below) * (high - low))
    return jnp.where((x == below) | (x == below + 1.0), 0.0, jnp.where(below == 0, log_factorial(x), above_line))


def _least_gap(mean: Array) -> Array:
    """How far the mean of log x! is above log Γ(mean + 1) where x is one of the neighbours of the mean."""
    below, low, high = _neighbours_gaps(mean)
    share = mean - below
    return (1.0 - share) * low + share * high


def _neighbours_gaps(mean: Array) -> tuple[Array, Array, Array]:
    """The lower neighbour of the mean, and the gaps of both."""
    below = _neighbour(mean)
    return below, _gap_of(below, mean), _gap_of(below + 1.0, mean)


def _gap_of(x: Array, mean: Array) -> Array:
    return log_gamma_bregman(x + 1.0, mean + 1.0)
