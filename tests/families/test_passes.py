"""Cauchy, Gumbel, Laplace, Logistic, StudentT, Uniform, Weibull against many digits, at every size of their parameters.

The measure is the excess error: in units of eps·(|f| + Σ |v ∂f/∂v|), that is, beyond what rounding the result and moving each
input v by one unit in its last place explains.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from tests.families.precisions import each_dtype, each_precision

from surprax.families.cauchy import Cauchy
from surprax.families.gumbel import Gumbel, log_gamma_at_two
from surprax.families.laplace import Laplace
from surprax.families.logistic import Logistic
from surprax.families.student_t import StudentT
from surprax.families.uniform import Uniform
from surprax.families.weibull import Weibull
from surprax.numerics.quadrature import two_centre_nodes

DIGITS = 50


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(DIGITS):
        yield


# As textbooks have them.


def student_constant(n):
    return mp.loggamma((n + 1) / 2) - mp.loggamma(n / 2) - mp.log(n * mp.pi) / 2


def student_below(x, n, m, s):
    z = (x - m) / s
    z2 = z * z
    if z2 > n:
        tail = mp.betainc(n / 2, mp.mpf(1) / 2, 0, n / (n + z2), regularized=True) / 2
        return mp.log(tail) if z < 0 else mp.log1p(-tail)
    half = mp.betainc(mp.mpf(1) / 2, n / 2, 0, z2 / (n + z2), regularized=True) / 2
    return mp.log(mp.mpf(1) / 2 + mp.sign(z) * half)


def cauchy_below(x, m, s):
    z = (x - m) / s
    return mp.log(mp.atan(-1 / z) / mp.pi) if z < 0 else mp.log1p(-mp.atan2(1, z) / mp.pi)


def laplace_below(x, m, s):
    z = (x - m) / s
    return z - mp.log(2) if z < 0 else mp.log1p(-mp.exp(-z) / 2)


DENSITY: dict[type, Callable[..., Any]] = {
    Cauchy: lambda x, m, s: -mp.log1p(((x - m) / s) ** 2) - mp.log(mp.pi * s),
    Gumbel: lambda x, m, s: -(x - m) / s - mp.exp(-(x - m) / s) - mp.log(s),
    Laplace: lambda x, m, s: -abs(x - m) / s - mp.log(2 * s),
    Logistic: lambda x, m, s: -abs(x - m) / s - 2 * mp.log1p(mp.exp(-abs(x - m) / s)) - mp.log(s),
    StudentT: lambda x, n, m, s: student_constant(n) - mp.log(s) - (n + 1) / 2 * mp.log1p(((x - m) / s) ** 2 / n),
    Weibull: lambda x, s, k: mp.log(k / s) + (k - 1) * mp.log(x / s) - (x / s) ** k,
}
BELOW: dict[type, Callable[..., Any]] = {
    Cauchy: cauchy_below,
    Gumbel: lambda x, m, s: -mp.exp(-(x - m) / s),
    Laplace: laplace_below,
    Logistic: lambda x, m, s: -mp.log1p(mp.exp(-(x - m) / s)),
    StudentT: student_below,
    Weibull: lambda x, s, k: mp.log(-mp.expm1(-((x / s) ** k))),
}
ABOVE: dict[type, Callable[..., Any]] = {
    Gumbel: lambda x, m, s: mp.log1p(-mp.exp(-mp.exp(-(x - m) / s))),
    Weibull: lambda x, s, k: -((x / s) ** k),
    StudentT: lambda x, n, m, s: student_below(2 * m - x, n, m, s),
    **{f: lambda x, m, s, f=f: BELOW[f](2 * m - x, m, s) for f in (Cauchy, Laplace, Logistic)},
}
ENTROPY: dict[type, Callable[..., Any]] = {
    Cauchy: lambda m, s: mp.log(4 * mp.pi * s),
    Gumbel: lambda m, s: mp.log(s) + mp.euler + 1,
    Laplace: lambda m, s: 1 + mp.log(2 * s),
    Logistic: lambda m, s: 2 + mp.log(s),
    StudentT: lambda n, m, s: (
        (n + 1) / 2 * (mp.digamma((n + 1) / 2) - mp.digamma(n / 2)) - student_constant(n) + mp.log(s)
    ),
    Uniform: lambda low, high: mp.log(high - low),
    Weibull: lambda s, k: mp.euler * (1 - 1 / k) + mp.log(s / k) + 1,
}


def extremes_kl(a, c):
    return -mp.log(a) - (1 - a) * mp.euler - 1 - c + mp.exp(c) * mp.gamma(1 + a)


KL: dict[type, Callable[..., Any]] = {
    Cauchy: lambda m, s, n, t: mp.log(((s + t) ** 2 + (m - n) ** 2) / (4 * s * t)),
    Gumbel: lambda m, s, n, t: extremes_kl(s / t, (n - m) / t),
    Laplace: lambda m, s, n, t: mp.log(t / s) + (abs(m - n) + s * mp.exp(-abs(m - n) / s)) / t - 1,
    Weibull: lambda s, k, t, j: extremes_kl(j / k, j * mp.log(s / t)),
}
each_family = pytest.mark.parametrize("family", DENSITY, ids=lambda f: f.__name__)


def make(family: type, leaves: Any) -> Any:
    return family._of(**dict(zip(family.parameters, leaves)))


def slope(f: Callable[..., Any], args: list[Any], i: int) -> Any:
    """∂f/∂argᵢ by a central difference with many digits."""
    h = (abs(args[i]) or mp.mpf(10) ** -8) * mp.mpf(10) ** -14
    up, down = list(args), list(args)
    up[i] += h
    down[i] -= h
    return (f(*up) - f(*down)) / (2 * h)


def excess(f: Callable[..., Any], got: float, args: list[Any], dtype: Any) -> float:
    truth = f(*args)
    if abs(truth) > float(np.finfo(dtype).max):
        return 0.0 if np.isinf(got) and (got > 0) == (truth > 0) else np.inf
    if not np.isfinite(got):
        return np.inf
    unit = abs(truth) + sum(abs(v * slope(f, args, i)) for i, v in enumerate(args))
    # Below the smallest normal number everything counts as zero.
    return float(abs(mp.mpf(float(got)) - truth) / (float(np.finfo(dtype).eps) * unit + float(np.finfo(dtype).tiny)))


def locations(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    loc = rng.choice([0.0, 1.0], count) * rng.normal(size=count) * 10 ** rng.uniform(-2, 3, count)
    return loc, 10 ** rng.uniform(-3, 3, count), rng


def points(family: type, count: int, seed: int, far: float, largest_df: float = 8.0) -> list[np.ndarray]:
    """Observations and parameters: from the very middle to `far` scales (or nats) away."""
    loc, scale, rng = locations(count, seed)
    z = rng.choice([-1.0, 1.0], count) * 10 ** rng.uniform(-4, np.log10(far), count)
    if family is Weibull:
        k, y = 10 ** rng.uniform(-1.5, 3, count), np.clip(z, -60, 4.2)
        x = np.exp(np.clip(y / k, -60, 60)) * scale
        return [x, scale, k]
    if family is Gumbel:
        z = np.maximum(z, -60)
    if family is StudentT:
        df = 10 ** rng.uniform(-0.4, largest_df, count)
        return [loc + scale * np.clip(z, -40 * np.sqrt(df) - 3e3 / df, 40 * np.sqrt(df) + 3e3 / df), df, loc, scale]
    return [loc + scale * z, loc, scale]


def worst(
    f: Callable[..., Any], ours: Callable[..., Any], args: list[np.ndarray], dtype: Any, slopes: Any = ()
) -> list[float]:
    """Greatest excess of ours over all points, and of its slopes in the arguments of these numbers."""
    args = [a.astype(dtype) for a in args]
    with jax.enable_x64(dtype == np.float64):
        one = jax.value_and_grad(ours, argnums=tuple(slopes)) if slopes else lambda *v: (ours(*v), ())
        value, gradient = jax.jit(jax.vmap(one))(*(jnp.asarray(a) for a in args))
        assert all(v.dtype == dtype for v in (value, *gradient))
    rows = [[mp.mpf(float(v)) for v in row] for row in zip(*args)]
    truths = [f, *(lambda *v, by=by: slope(f, list(v), by) for by in slopes)]
    return [
        max(excess(truth, float(v), row, dtype) for v, row in zip(got, rows))
        for truth, got in zip(truths, (value, *gradient))
    ]


# Densities, distribution functions, information.


@each_precision(DENSITY, Cauchy)
def test_log_density_and_its_slopes(family, dtype):
    args = points(family, 24, 1, far=1e4 if family is not Gumbel else 60.0)
    value, *slopes = worst(DENSITY[family], lambda x, *v: make(family, v).log_prob(x), args, dtype, range(len(args)))
    assert value < 4
    assert max(slopes) < 8


@each_precision(DENSITY, Cauchy)
def test_log_tails_and_hazards(family, dtype):
    args = points(family, 12, 2, far=60.0, largest_df=2.5)
    for table, method in ((BELOW, "log_cdf"), (ABOVE, "log_sf")):
        # The log-probability of what is nearly certain is minus the exponential of the other tail's.
        assert max(worst(table[family], lambda x, *v, m=method: getattr(make(family, v), m)(x), args, dtype, (0,))) < 40


@each_precision(ENTROPY, Cauchy)
def test_entropy(family, dtype):
    args = points(family, 16, 3, far=10.0)[1:] if family is not Uniform else [np.zeros(16), locations(16, 3)[1]]
    assert worst(ENTROPY[family], lambda *v: make(family, v).entropy(), args, dtype)[0] < 4


@each_precision(KL, Cauchy)
def test_kl_and_its_slopes_also_next_to_zero(family, dtype):
    loc, scale, rng = locations(24, 4)
    near, turn = 10 ** rng.uniform(-6, 0, (2, 24)) * rng.choice([-1.0, 1.0], (2, 24))
    if family is Weibull:
        k = 10 ** rng.uniform(-1.5, 2, 24)
        args = [scale, k, scale * np.exp(near / k), k * np.exp(turn)]
    else:
        args = [loc, scale, loc + scale * near, scale * np.exp(turn)]
    ours = lambda *v: make(family, v[:2]).kl(make(family, v[2:]))
    assert max(worst(KL[family], ours, args, dtype, range(4))) < 16


@each_dtype
def test_uniform_kl_is_the_log_ratio_of_widths(dtype):
    f = lambda a, b, c, d: mp.log((d - c) / (b - a))
    rng = np.random.default_rng(6)
    low, width = rng.normal(size=16), 10 ** rng.uniform(-1, 2, 16)
    args = [
        low,
        low + width,
        low - width * 10 ** rng.uniform(-4, 1, 16),
        low + width * (1 + 10 ** rng.uniform(-4, 1, 16)),
    ]
    ours = lambda *v: make(Uniform, v[:2]).kl(make(Uniform, v[2:]))
    assert max(worst(f, ours, args, dtype, (0, 3))) < 8
    assert Uniform(0.0, 1.0).kl(Uniform(0.5, 2.0)) == np.inf
    assert Uniform(0.0, 1.0).kl(Uniform(0.0, 1.0)) == 0.0
    assert np.isnan(jax.jit(lambda v: Uniform(0.0, v).kl(Uniform(-1.0, 2.0)))(jnp.nan))


# Where others lose digits.


@each_dtype
def test_tails_ten_thousand_nats_out(dtype):
    with jax.enable_x64(dtype == np.float64):
        at = lambda d, x: d.log_cdf(np.asarray(x, dtype))
        np.testing.assert_allclose(at(Laplace(), -1e4), -1e4 - np.log(2), rtol=1e-6)
        np.testing.assert_allclose(at(Logistic(), -1e4), -1e4, rtol=1e-6)
        np.testing.assert_allclose(at(Weibull(1.0, 1e3), np.exp(-10.0)), -1e4, rtol=1e-5)
        np.testing.assert_allclose(Gumbel().log_sf(np.asarray(1e4, dtype)), -1e4, rtol=1e-6)


@each_dtype
def test_quantiles_invert_both_tails(dtype):
    p = np.array([1e-30, 1e-12, 1e-3, 0.2, 0.4999, 0.5], dtype)
    with jax.enable_x64(dtype == np.float64):
        for d in (
            Cauchy(0.0, 3.0),
            Gumbel(0.0, 2.0),
            Laplace(0.0, 0.5),
            Logistic(0.0, 2.0),
            Weibull(3.0, 0.9),
            Weibull(2.0, 50.0),
        ):
            eps = np.finfo(dtype).eps
            np.testing.assert_allclose(d.log_cdf(d.icdf(p)), np.log(p.astype(float)), rtol=100 * eps, atol=8 * eps)
            np.testing.assert_allclose(d.log_sf(d.isf(p)), np.log(p.astype(float)), rtol=100 * eps, atol=8 * eps)
        u = Uniform(-1.0, 3.0)
        np.testing.assert_allclose(u.icdf(p), 4 * p.astype(float) - 1, rtol=4 * eps)


@each_dtype
def test_weibull_moments_of_every_shape(dtype):
    scale, k = np.full(24, 2.0), np.geomspace(0.08, 1e4, 24)
    mean = lambda s, k: s * mp.gamma(1 + 1 / k)
    variance = lambda s, k: s**2 * (mp.gamma(1 + 2 / k) - mp.gamma(1 + 1 / k) ** 2)
    assert worst(mean, lambda s, k: make(Weibull, (s, k)).mean, [scale, k], dtype)[0] < 8
    assert worst(variance, lambda s, k: make(Weibull, (s, k)).variance, [scale, k], dtype)[0] < 8


@each_dtype
def test_log_gamma_at_two(dtype):
    u = np.concatenate([np.geomspace(1e-8, 30, 30), -np.geomspace(1e-8, 0.99, 20)])
    f = lambda u: mp.loggamma(2 + u) - (1 - mp.euler) * u
    assert max(worst(f, log_gamma_at_two, [u], dtype, (0,))) < 8


@pytest.mark.parametrize("ratio", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize("shift", [0.0, -3.0, 1e3])
def test_nodes_resolve_both_centres(ratio, shift):
    with jax.enable_x64(True):
        z, w, weight = two_centre_nodes(ratio, shift)
        np.testing.assert_allclose(w, ratio * z + shift, rtol=1e-12, atol=1e-12 * (1 + abs(shift)))
        np.testing.assert_allclose(jnp.sum(weight * jnp.exp(-0.5 * z**2)), np.sqrt(2 * np.pi), rtol=1e-9)
        np.testing.assert_allclose(jnp.sum(weight * jnp.exp(-0.5 * w**2)), np.sqrt(2 * np.pi) / ratio, rtol=1e-9)
        np.testing.assert_allclose(jnp.sum(weight / (1.0 + w**2)), np.pi / ratio, rtol=1e-9)


# Edges of the support and of the parameters.


@each_dtype
def test_weibull_at_the_end_of_its_support(dtype):
    with jax.enable_x64(dtype == np.float64):
        zero = jnp.asarray(0.0, dtype)
        assert Weibull(2.0, 1.5).log_prob(zero) == -np.inf
        assert Weibull(2.0, 0.5).log_prob(zero) == np.inf
        np.testing.assert_allclose(Weibull(2.0, 1.0).log_prob(zero), -np.log(2.0), rtol=1e-6)
        assert jax.grad(Weibull(2.0, 1.0).log_prob)(zero) == -0.5
        slope = jax.grad(lambda s: Weibull._of(scale=s, concentration=jnp.asarray(1.0, dtype)).log_prob(zero))
        np.testing.assert_allclose(slope(jnp.asarray(2.0, dtype)), -0.5, rtol=1e-6)
        assert Weibull(2.0, 3.0).log_cdf(zero) == -np.inf
        assert Weibull(2.0, 3.0).log_sf(zero) == 0.0


@each_family
def test_bad_parameters_are_refused_or_give_nan(family):
    for name in ("scale", "concentration", "df"):
        if name not in family.parameters:
            continue
        good = dict.fromkeys(family.parameters, 1.5)
        with pytest.raises(ValueError, match=rf"{family.__name__}: {name} must be positive and finite; got -1.0"):
            family(**{**good, name: -1.0})
        assert np.isnan(jax.jit(lambda v, name=name, good=good: family(**{**good, name: v}).log_prob(2.0))(-1.0))
        assert np.isnan(jax.jit(lambda v, name=name, good=good: family(**{**good, name: v}).entropy())(-1.0))


def test_uniform_wants_its_ends_in_order():
    with pytest.raises(ValueError, match=r"low must be below high; got 2.0 and 1.0 at index 1"):
        Uniform([0.0, 2.0], 1.0)
    with pytest.raises(ValueError, match="low must be below high"):
        Uniform(1.0, 1.0)
    assert np.isnan(jax.jit(lambda v: Uniform(v, 1.0).log_prob(1.0))(1.0))
    np.testing.assert_allclose(
        Uniform(-1.0, 3.0).log_prob([-1.0, 3.0, 3.1]), [-np.log(4), -np.log(4), -np.inf], rtol=1e-6
    )
    np.testing.assert_allclose(Uniform(-1.0, 3.0).log_sf([-2.0, 2.0, 4.0]), [0.0, np.log(0.25), -np.inf], rtol=1e-6)


def test_moments_that_do_not_exist_are_nan_or_infinite():
    df = jnp.array([0.5, 1.0, 1.5, 2.0, 3.0])
    np.testing.assert_array_equal(StudentT(df).mean, [np.nan, np.nan, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(StudentT(df).variance, [np.nan, np.nan, np.inf, np.inf, 3.0], rtol=1e-6)
    assert np.isnan(Cauchy().mean)
    assert np.isnan(Cauchy().variance)


@each_family
def test_batches_of_any_rank_broadcast(family):
    leaves = [jnp.full((3, 1), 1.5), jnp.full((1, 2), 1.25), jnp.asarray(2.0)][: len(family.parameters)]
    d = make(family, leaves)
    assert d.batch_shape == (3, 2)
    one = make(family, [jnp.asarray(v) for v in (1.5, 1.25, 2.0)][: len(family.parameters)])
    same = [lambda d: d.log_prob(1.7), lambda d: d.entropy(), lambda d: d.kl(one)]
    same += [] if family is StudentT else [lambda d: d.log_sf(1.7), lambda d: d.icdf(0.3)]
    for f in same:
        np.testing.assert_allclose(f(d), np.full((3, 2), f(one)), rtol=2e-6, atol=1e-6)
    assert d.sample(jax.random.key(0), (4,)).shape == (4, 3, 2)
