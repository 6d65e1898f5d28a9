"""Student's t distribution."""

from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_derivatives import SymbolicZero

from surprax.families.base import Distribution, family
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive, real
from surprax.families.passes import (
    Landscape,
    Survey,
    averages,
    climb_in_stages,
    mean_of,
    no_data,
    sample_quantiles,
    weighted_range,
)
from surprax.families.supports import REAL
from surprax.numerics.elementary import by_dtype, log1mexp, log1p_minus, with_derivatives
from surprax.numerics.gamma import stirling_error
from surprax.numerics.gamma_differences import log_beta, log_gamma_difference
from surprax.numerics.incomplete_beta import log_betainc
from surprax.numerics.normal import HALF_LOG_2PI, gauss_legendre, normal_quantile_from_log
from surprax.numerics.quadrature import Located, divergence_on_nodes

__all__ = ["StudentT", "half_step", "log1p_square", "move_student", "survey_student"]

_LOG_2 = float(np.log(2.0))
_LARGE = 2.0**60
"""Its square is neither lost beside 1 nor too large for a float32."""


@family
class StudentT(Distribution):
    """Student's t distribution: s(x) = (df + 1)/2 · log(1 + z²/df) + log(scale √df B(df/2, 1/2)), where z = (x − loc) / scale.

    Args:
        df: degrees of freedom ν, positive; the tails fall like |x|^−(ν + 1).
        loc: median and mode, finite.
        scale: positive; the standard deviation is scale √(ν/(ν − 2)), where ν > 2.

    All formulas hold their digits up to the normal limit (tried to df = 1e8). KL is an integral, by the trapezoidal rule, to
    full relative accuracy for df above about 0.5. The likelihood has no greatest value as df and scale go to 0 together; `fit`
    finds the maximum inside, and refuses data whose tails are no heavier than normal, where it lies at df = ∞. Source: Johnson,
    Kotz & Balakrishnan (1995), chapter 28; Lange, Little & Taylor (1989), JASA 84, 881.

    >>> StudentT(1.0).cdf(1.0).round(3).item()  # as Cauchy
    0.75
    >>> StudentT.fit([-9.0, -1.0, -0.5, 0.0, 0.5, 1.0, 9.0])
    StudentT(df=..., loc=..., scale=...)
    """

    df: Any = parameter(positive)
    loc: Any = parameter(real, default=0.0)
    scale: Any = parameter(positive, default=1.0)

    data_support = REAL

    # Density.

    def _log_density(self, x: Array) -> Array:
        return _log_standard((x - self.loc) / self.scale, self.df) - jnp.log(self.scale)

    # Moments.

    def _mean(self) -> Any:
        return jnp.where(self.df > 1.0, self.loc, jnp.nan)

    def _variance(self) -> Any:
        above = self.df > 2.0
        factor = self.df / (jnp.where(above, self.df, 3.0) - 2.0)
        return jnp.where(above, factor, jnp.where(self.df > 1.0, jnp.inf, jnp.nan)) * self.scale**2

    def _mode(self) -> Any:
        return self.loc

    # Distribution function.

    def _log_cdf(self, x: Array) -> Array:
        return _log_below((x - self.loc) / self.scale, self.df)

    def _log_sf(self, x: Array) -> Array:
        return _log_below((self.loc - x) / self.scale, self.df)

    def _quantile(self, log_p: Array, log_q: Array) -> Array:
        size = _tail_quantile(jnp.minimum(log_p, log_q), self.df * jnp.ones_like(log_p))
        return self.loc + self.scale * jnp.where(log_p < log_q, -size, size)

    # Information.

    def _entropy(self) -> Any:
        # E log(1 + Z²/ν) = ψ((ν + 1)/2) − ψ(ν/2)
        half = 0.5 * jnp.asarray(self.df)
        rise = jax.jvp(lambda a: log_gamma_difference(a, 0.5), (half,), (jnp.ones_like(half),))[1]
        return jnp.log(self.scale) + HALF_LOG_2PI - half_step(self.df) + (half + 0.5) * rise

    def _kl(self, q: Self) -> Array:
        leaves = jnp.broadcast_arrays(self.loc, self.scale, self.df, q.loc, q.scale, q.df)
        return divergence_on_nodes(_LOCATED, tuple(leaves[:3]), tuple(leaves[3:]))

    # Maximum likelihood.

    @classmethod
    def _fit_sample(
        cls, x: Array, weights: Array | None, known: dict[str, Any], start: Self | None = None
    ) -> tuple[Self, Outcome]:
        """Newton's method in loc, log scale and log(1 + 1/df), from quantiles."""
        if x.shape[0] == 0:
            return no_data(cls, x)
        low, high = weighted_range(x, weights)
        same = low >= high
        reach = jnp.where(same, 1.0, high - low)
        centre = mean_of(weights)(x)
        square, fourth = averages(lambda x: (((x - centre) / reach) ** 2, ((x - centre) / reach) ** 4), x, weights)
        deviation = reach * jnp.sqrt(square)
        if start is None:
            place = _first_look(x, weights, 0.5 * (high - low))
        else:
            place = start.loc, start.scale, jnp.log1p(1.0 / start.df)
        # The slope of the profile likelihood in 1/df at 0 has the sign of the kurtosis less 3. Where it falls from there, a
        # maximum inside would be far away, and a climb that finds none is not pursued to the limit.
        light = fourth <= 3.0 * square * square
        limit = jnp.where(same, 0, jnp.where(light, 12, 60))
        end = climb_in_stages(survey_student(3), move_student, place, x, weights, warm=start is not None, limit=limit)
        loc, scale, kappa = end.place
        normal = -jnp.log(deviation) - (HALF_LOG_2PI + 0.5)
        light &= ~(end.settled & (end.height > normal))
        narrow = ~end.settled & (scale < 1e-6 * (high - low))
        outcome = Outcome.first(
            (low > high, Reason.NO_DATA),
            (same, Reason.ALL_SAME),
            (light, Reason.LIGHT_TAILS),
            (narrow, Reason.POINT_MASS),
            (~end.settled, Reason.NOT_CONVERGED),
        )
        df = jnp.where(same, jnp.nan, jnp.where(light, jnp.inf, 1.0 / jnp.expm1(kappa)))
        loc = jnp.where(same, low, jnp.where(light, centre, loc))
        scale = jnp.where(same, 0.0, jnp.where(light, deviation, scale))
        return cls._of(df=df, loc=loc, scale=scale), outcome

    @classmethod
    def _landscape(cls) -> Landscape:
        return Landscape(
            survey_student(3),
            move_student,
            lambda d: (d.loc, d.scale, jnp.log1p(1.0 / d.df)),
            lambda place: {"df": 1.0 / jnp.expm1(place[2]), "loc": place[0], "scale": place[1]},
        )

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        df = jnp.broadcast_to(jnp.asarray(self.df, jnp.result_type(float)), shape)
        return self.loc + self.scale * jax.random.t(key, df, shape, df.dtype)


# The density in parts: a kernel, and how far the normalising constant is from the normal one.


def log1p_square(z: Array) -> Array:
    """log(1 + z²) for any real z: also where z² overflows."""
    size = jnp.abs(z)
    inner, beyond = jnp.minimum(size, _LARGE), jnp.maximum(size, _LARGE)
    return jnp.log1p(inner * inner) + 2.0 * jnp.log(
        beyond / _LARGE
    )  # without a selection, which would keep XLA from fusing


def _share(r: Array) -> Array:
    """r²/(1 + r²), also where r² overflows."""
    inner = jnp.abs(r) < 1.0
    small, large = jnp.where(inner, r, 0.0) ** 2, (1.0 / jnp.where(inner, 1.0, r)) ** 2
    return jnp.where(inner, small / (1.0 + small), 1.0 / (1.0 + large))


def _excess(r: Array) -> Array:
    """log(1 + r²) − r²/(1 + r²) ≥ 0, which is about r⁴/2 near 0."""
    share = _share(r)
    inner = jnp.abs(r) < 1.0
    return jnp.where(inner, -log1p_minus(-jnp.where(inner, share, 0.0)), log1p_square(r) - share)


def _kernel_slope(z: Array, nu: Array) -> Array:
    r = z / jnp.sqrt(nu)
    return 0.5 * (_excess(r) - _share(r) / nu)


@with_derivatives(lambda z, nu: (nu + 1.0) / jnp.sqrt(nu) * _pull(z / jnp.sqrt(nu)), _kernel_slope)
def _kernel(z: Array, nu: Array) -> Array:
    """(ν + 1)/2 · log(1 + z²/ν)."""
    return 0.5 * (nu + 1.0) * log1p_square(z / jnp.sqrt(nu))


def _pull(r: Array) -> Array:
    """r/(1 + r²), also where r² overflows."""
    inner = jnp.abs(r) < 1.0
    small, large = jnp.where(inner, r, 0.0), 1.0 / jnp.where(inner, 1.0, r)
    return jnp.where(inner, small / (1.0 + small * small), large / (1.0 + large * large))


def half_step(nu: Array) -> Array:
    """lnΓ((ν + 1)/2) − lnΓ(ν/2) − ½ log(ν/2), about −1/(4ν): log density at 0 of t less that of the normal."""
    half = 0.5 * jnp.asarray(nu)
    # One call for both errors: a smaller program.
    above, at = stirling_error(jnp.stack([half + 0.5, half]))
    return half * log1p_minus(0.5 / half) + (above - at)


def _half_step_slope(nu: Array) -> Array:
    return jax.jvp(half_step, (nu,), (jnp.ones_like(nu),))[1]


def _log_standard(z: Array, nu: Array) -> Array:
    return half_step(nu) - HALF_LOG_2PI - _kernel(z, nu)


# Tails.


def _log_tail_parts(z: Array, nu: Array) -> Array:
    """log P(T > z) for z ≥ 0: half the incomplete beta function, and the tail's power law where that would underflow."""
    r = z / jnp.sqrt(nu)
    share = _share(r)
    far = r > 1.0 / jnp.finfo(r.dtype).eps
    rest = 1.0 / (1.0 + jnp.where(far, 0.0, r) ** 2)
    power = -nu * jnp.log(jnp.where(far, r, 1.0)) - jnp.log(nu) - log_beta(0.5 * nu, 0.5)
    return jnp.where(far, power, log_betainc(0.5 * nu, 0.5, rest, jnp.where(far, 0.0, share)) - _LOG_2)


def _tail_and_slope(z: Array, nu: Array) -> tuple[Array, Array]:
    """log P(T > z) and its slope in z, minus the hazard: from the incomplete beta function; at 0, minus twice the density."""
    centre = z == 0
    z = jnp.where(centre, 1.0, z)
    value, slope = jax.jvp(lambda z: _log_tail_parts(z, nu), (z,), (jnp.ones_like(z),))
    middle = -jnp.exp(half_step(nu) - HALF_LOG_2PI + _LOG_2)
    return jnp.where(centre, -_LOG_2, value), jnp.where(centre, middle, slope)


def _tail_slope(z: Array, nu: Array) -> Array:
    return _tail_and_slope(z, nu)[1]


def _tail_slope_in_df(z: Array, nu: Array) -> Array:
    centre = z == 0
    z = jnp.where(centre, 1.0, z)
    return jnp.where(centre, 0.0, jax.jvp(lambda n: _log_tail_parts(z, n), (nu,), (jnp.ones_like(nu),))[1])


@with_derivatives(_tail_slope, _tail_slope_in_df)
def _log_tail(z: Array, nu: Array) -> Array:
    """log P(T > z) for z ≥ 0."""
    return _log_tail_parts(*jnp.broadcast_arrays(z, nu))


def _log_below(z: Array, nu: Array) -> Array:
    """log P(T ≤ z)."""
    nu = nu * jnp.ones_like(z)
    negative = z < 0
    tail = _log_tail(jnp.where(negative, -z, z), nu)
    return jnp.where(negative, tail, log1mexp(-tail))


@jax.custom_jvp
def _tail_quantile(log_tail: Array, nu: Array) -> Array:
    """z ≥ 0 with log P(T > z) = log_tail, by Newton steps from Wallace's normal approximation (1959, Ann. Math. Stat. 30).

    log P(T > z) is concave and decreasing in log z, and straight far out: a step from the right undershoots, any other recovers.
    """
    limits = jnp.finfo(nu.dtype)
    normal = -normal_quantile_from_log(log_tail, log1mexp(-log_tail))
    bent = normal * ((8.0 * nu + 3.0) / (8.0 * nu + 1.0)) / jnp.sqrt(nu)
    exponent = jnp.minimum(bent * bent, float(np.log(limits.max)))
    z = jnp.minimum(jnp.sqrt(nu) * jnp.sqrt(jnp.expm1(exponent)), jnp.sqrt(limits.max))

    # As far as the slope, ν/z, is a normal number; beyond, the quantile leaves the range of numbers too.
    farthest = 1e-3 * limits.max * jnp.minimum(nu, 1.0)

    def newton(_: int, z: Array) -> Array:
        value, slope = _tail_and_slope(z, nu)
        step = (value - log_tail) / slope
        inner = z < 1.0
        ratio = jnp.where(inner, 0.0, step / jnp.where(inner, 1.0, z))
        return jnp.where(inner, jnp.maximum(z - step, 0.0), jnp.minimum(z * jnp.exp(-ratio), farthest))

    # A loop and not its unrolling: the incomplete beta function is a large program.
    z = jax.lax.fori_loop(0, by_dtype(z, 5, 7), newton, z)
    return jnp.where(z >= farthest, jnp.inf, z)


def _tail_quantile_jvp(primals: tuple[Array, Array], tangents: tuple[Any, Any]) -> tuple[Array, Array]:
    """By the implicit function theorem; the slope in df costs much, and only where it is wanted."""
    (_, nu), (dlog_tail, dnu) = primals, tangents
    z = _tail_quantile(*primals)
    change = jnp.zeros_like(z) if isinstance(dlog_tail, SymbolicZero) else dlog_tail
    if not isinstance(dnu, SymbolicZero):
        change = change - _tail_slope_in_df(z, nu) * dnu
    return z, change / _tail_slope(z, nu)


_tail_quantile.defjvp(_tail_quantile_jvp, symbolic_zeros=True)


# Divergence.


def _width(nu: Array) -> Array:
    """The singularities of the log-density are at ± i√ν; for ν ≫ 1 the density lives on the unit scale."""
    return 1.4 * jnp.sqrt(nu / (nu + 1.0))


def _bend(z: Array, nu: Array, q_nu: Array) -> Array:
    """The change of the standard log-density at z from ν to q.ν: the integral of its slope, where they are close.

    Far apart it is a difference, of what is left beside −z²/2 where z is small.
    """
    close = (q_nu < 2.0 * nu) & (nu < 2.0 * q_nu)
    step = jnp.where(close, q_nu - nu, 0.0)
    nodes, shares = gauss_legendre(by_dtype(z, 5, 10))
    nodes, shares = (jnp.asarray(v, z.dtype).reshape(-1, *[1] * z.ndim) for v in (nodes, shares))  # type: ignore[assignment]
    between = nu[None] + nodes * step[None]
    slopes = jnp.sum(shares * (_half_step_slope(between) - _kernel_slope(z[None], between)), axis=0)

    def left(z: Array, nu: Array) -> Array:
        u = z * z / nu
        return 0.5 * jnp.log1p(u) + 0.5 * nu * log1p_minus(u)

    inner = jnp.abs(z) < jnp.sqrt(jnp.minimum(nu, q_nu))
    small = jnp.where(inner, z, 0.0)
    apart = jnp.where(inner, left(small, nu) - left(small, q_nu), _kernel(z, nu) - _kernel(z, q_nu))
    return jnp.where(close, step * slopes, half_step(q_nu) - half_step(nu) + apart)


def _log_ratio(z: Array, w: Array, difference: Array, change: Array, shapes: Any, q_shapes: Any) -> Array:
    (nu,), (q_nu,) = shapes, q_shapes
    # (1 + w²/q.ν)/(1 + z²/q.ν) − 1
    radius = jnp.hypot(jnp.sqrt(q_nu), z)
    relative = difference / radius * ((2.0 * z + difference) / radius)
    near = jnp.abs(relative) < 0.5
    moved = -0.5 * (q_nu + 1.0) * jnp.log1p(jnp.where(near, relative, 0.0))
    return change + jnp.where(near, moved + _bend(z, nu, q_nu), _log_standard(w, q_nu) - _log_standard(z, nu))


_LOCATED = Located(_width, _log_standard, _log_ratio)


# Maximum likelihood: five sums over the data give the likelihood with its gradient and Hessian.


def survey_student(free: int) -> Callable[[Array, Array | None], Callable[[Any], Survey]]:
    """Surveys of places (loc, scale, κ) with κ = log(1 + 1/df), in the first `free` of (loc/scale, log scale, κ).

    In κ the way to the normal limit is short, and the likelihood is smooth there.
    """

    def of(x: Array, weights: Array | None) -> Callable[[Any], Survey]:
        total = jnp.asarray(x.shape[0], x.dtype) if weights is None else jnp.sum(weights)

        def at(place: tuple[Array, Array, Array]) -> Survey:
            loc, scale, kappa = place
            nu = 1.0 / jnp.expm1(kappa)

            def terms(x: Array) -> tuple[Array, ...]:
                z = (x - loc) / scale
                u = z * z / nu
                v = 1.0 / (1.0 + u)
                return jnp.log1p(u), u * v, u * v * (u * v), z * v, z * v * v

            logs, t1, t2, z1, z2 = averages(terms, x, weights, total)
            more = nu + 1.0
            height = half_step(nu) - HALF_LOG_2PI - jnp.log(scale) - 0.5 * more * logs
            gradient = [more / nu * z1, more * t1 - 1.0]
            h11, h12, h22 = -more / nu * (1.0 - 3.0 * t1 + 2.0 * t2), -2.0 * more / nu * z2, -2.0 * more * (t1 - t2)
            if free == 2:
                return height, jnp.stack(gradient), jnp.array([[h11, h12], [h12, h22]])
            slope, curve = jax.jvp(_half_step_slope, (nu,), (jnp.ones_like(nu),))
            slope = slope - 0.5 * logs + 0.5 * more / nu * t1
            curve = curve - (2.0 * t1 - more * t2) / (2.0 * nu * nu)
            turn = -nu * more  # dν/dκ
            h13 = (z1 - more / nu * z2) / nu * turn
            h23 = (t1 - more / nu * (t1 - t2)) * turn
            h33 = curve * turn * turn - slope * (2.0 * nu + 1.0) * turn
            hessian = jnp.array([[h11, h12, h13], [h12, h22, h23], [h13, h23, h33]])
            return height, jnp.stack([*gradient, slope * turn]), hessian

        return at

    return of


def move_student(place: tuple[Array, Array, Array], step: Array) -> tuple[Array, Array, Array]:
    """The next place; κ stays positive, and df above 0.001."""
    loc, scale, kappa = place
    if step.shape[0] == 3:
        kappa = jnp.minimum(jnp.maximum(kappa + step[2], 0.125 * kappa), 7.0)
    return loc + scale * step[0], scale * jnp.exp(step[1]), kappa


def _first_look(x: Array, weights: Array | None, spread: Array) -> tuple[Array, Array, Array]:
    """Median, half the distance of the quartiles, and κ from how far 5 % tails reach beyond them."""
    least, lower, median, upper, most = sample_quantiles(x, weights, (0.05, 0.25, 0.5, 0.75, 0.95))
    half = jnp.where(upper > lower, 0.5 * (upper - lower), spread)
    # 2.44 for the normal distribution, 2.88 for df = 4, 6.31 for df = 1
    beyond = jnp.maximum(0.5 * (most - least) / half - 2.44, 0.05)
    return median, half, 0.71 * beyond / (1.0 + 0.85 * beyond)
