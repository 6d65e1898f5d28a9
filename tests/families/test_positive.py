"""Families of positive numbers, and Beta, against 80 digits, at every size of their parameters.

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
from tests.families.precisions import each_precision

from surprax.families.beta import Beta
from surprax.families.exponential_law import Exponential
from surprax.families.gamma import Gamma
from surprax.families.half_normal import HalfNormal
from surprax.families.inverse_gamma import InverseGamma
from surprax.families.inverse_gaussian import InverseGaussian
from surprax.families.log_normal import LogNormal


def log_beta(a, b):
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


# Log-densities, their derivatives in x and in each parameter, divergences and entropies, as textbooks have them.

DENSITY: dict[type, Callable[..., Any]] = {
    Exponential: lambda x, r: mp.log(r) - r * x,
    Gamma: lambda x, a, r: a * mp.log(r) + (a - 1) * mp.log(x) - r * x - mp.loggamma(a),
    InverseGamma: lambda x, a, r: a * mp.log(r) - (a + 1) * mp.log(x) - r / x - mp.loggamma(a),
    LogNormal: lambda x, m, s: -mp.log(x * s) - mp.log(2 * mp.pi) / 2 - (mp.log(x) - m) ** 2 / (2 * s * s),
    HalfNormal: lambda x, s: mp.log(2 / (mp.pi * s * s)) / 2 - x * x / (2 * s * s),
    Beta: lambda x, a, b: (a - 1) * mp.log(x) + (b - 1) * mp.log1p(-x) - log_beta(a, b),
    InverseGaussian: lambda x, m, s: mp.log(s / (2 * mp.pi * x**3)) / 2 - s * (x - m) ** 2 / (2 * m * m * x),
}

KL: dict[type, Callable[..., Any]] = {
    Exponential: lambda a, b: b / a - 1 - mp.log(b / a),
    Gamma: lambda a, r, c, s: (
        (a - c) * mp.digamma(a) - mp.loggamma(a) + mp.loggamma(c) + c * mp.log(r / s) + a * (s - r) / r
    ),
    LogNormal: lambda m, s, n, t: mp.log(t / s) + (s * s + (m - n) ** 2) / (2 * t * t) - mp.mpf(1) / 2,
    HalfNormal: lambda s, t: (s / t) ** 2 / 2 - mp.mpf(1) / 2 + mp.log(t / s),
    Beta: lambda a, b, c, d: (
        log_beta(c, d)
        - log_beta(a, b)
        + (a - c) * (mp.digamma(a) - mp.digamma(a + b))
        + (b - d) * (mp.digamma(b) - mp.digamma(a + b))
    ),
    InverseGaussian: lambda m, s, n, t: (t / s - 1 - mp.log(t / s)) / 2 + t * (m - n) ** 2 / (2 * n * n * m),
}
KL[InverseGamma] = KL[Gamma]

ENTROPY: dict[type, Callable[..., Any]] = {
    Exponential: lambda r: 1 - mp.log(r),
    Gamma: lambda a, r: a - mp.log(r) + mp.loggamma(a) + (1 - a) * mp.digamma(a),
    InverseGamma: lambda a, r: a + mp.log(r) + mp.loggamma(a) - (1 + a) * mp.digamma(a),
    LogNormal: lambda m, s: m + mp.log(s) + mp.log(2 * mp.pi * mp.e) / 2,
    Beta: lambda a, b: (
        log_beta(a, b) - (a - 1) * mp.digamma(a) - (b - 1) * mp.digamma(b) + (a + b - 2) * mp.digamma(a + b)
    ),
    HalfNormal: lambda s: mp.log(mp.pi * s * s / 2) / 2 + mp.mpf(1) / 2,
    InverseGaussian: lambda m, s: (
        mp.log(2 * mp.pi * mp.e / s) / 2 + 3 * (mp.log(m) - mp.exp(2 * s / m) * mp.e1(2 * s / m)) / 2
    ),
}
FAMILIES = tuple(DENSITY)
each_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)


def make(family: type, leaves: Any) -> Any:
    return family._of(**dict(zip(family.parameters, leaves)))


def slope(f: Callable[..., Any], args: list[Any], i: int) -> Any:
    """∂f/∂argᵢ by a central difference with 80 digits."""
    h = args[i] * mp.mpf(10) ** -16
    up, down = list(args), list(args)
    up[i] += h
    down[i] -= h
    return (f(*up) - f(*down)) / (2 * h)


def excess(f: Callable[..., Any], got: float, args: list[Any], dtype: Any) -> float:
    """Error of `got` beside f(args), in units of what one unit in the last place of result and inputs explains."""
    truth = f(*args)
    if abs(truth) > float(np.finfo(dtype).max):
        return 0.0 if np.isinf(got) and (got > 0) == (truth > 0) else np.inf
    if not np.isfinite(got):
        return np.inf
    unit = abs(truth) + sum(abs(v * slope(f, args, i)) for i, v in enumerate(args))
    return float(abs(mp.mpf(float(got)) - truth) / (float(np.finfo(dtype).eps) * unit + mp.mpf(10) ** -300))


def settings(family: type, count: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    sets = [10 ** rng.uniform(-3, 6, count) for _ in family.parameters]
    if family is LogNormal:
        sets = [10 * rng.normal(size=count), 10 ** rng.uniform(-3, 1, count)]
    return sets


def observations(family: type, leaves: list[np.ndarray], seed: int) -> np.ndarray:
    """Mostly within a few standard deviations of the mean, some exactly there, some far away."""
    rng = np.random.default_rng(seed)
    n = len(leaves[0])
    z = rng.normal(size=n) * rng.choice([0.0, 1e-3, 1.0, 5.0], n)
    a, b = (leaves * 2)[:2]
    far = 10 ** rng.uniform(-15, 8, n)
    if family is Beta:
        x = 1 / (1 + np.exp(-np.clip(np.log(a / b) + z / np.sqrt(a * b / (a + b)), -40, 13)))
        far = np.where(rng.uniform(size=n) < 0.5, 10 ** rng.uniform(-15, -0.1, n), 1 - 10 ** rng.uniform(-6, -0.1, n))
    elif family is Exponential:
        x = np.exp(z) / a
    elif family is HalfNormal:
        x = np.exp(z) * a
    elif family is LogNormal:
        x = np.exp(a + b * z)
    elif family is InverseGaussian:
        x = a * np.exp(z * np.sqrt(np.minimum(a / b, 4)))
    else:
        x = (a / b if family is Gamma else b / a) * np.exp(z / np.sqrt(a))
    return np.clip(np.where(rng.uniform(size=n) < 0.3, far, x), 1e-30, 1e30)


@each_precision(FAMILIES, Gamma)
def test_log_density_and_its_gradients_keep_their_digits(family, dtype):
    leaves = settings(family, 60, 1)
    x = observations(family, leaves, 2)
    with jax.enable_x64(dtype is np.float64):
        args = [jnp.asarray(v, dtype) for v in (x, *leaves)]
        log_prob = lambda x, *leaves: make(family, leaves).log_prob(x)
        value = np.asarray(jax.jit(log_prob)(*args))
        slopes = jax.jit(jax.vmap(jax.grad(log_prob, tuple(range(len(args))))))(*args)
        assert value.dtype == dtype
    f = DENSITY[family]
    for i, row in enumerate(zip(*(np.asarray(a, float) for a in args))):
        exact = [mp.mpf(v) for v in row]
        assert excess(f, value[i], exact, dtype) < 3, row
        for k, partial in enumerate(slopes):
            assert excess(lambda *v, k=k: slope(f, list(v), k), partial[i], exact, dtype) < 3, (k, row)


@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_log_density_around_the_mode_of_large_shapes_in_float32(size):
    rng = np.random.default_rng(0)
    z = rng.uniform(-1, 1, 50)
    a = size * rng.uniform(1, 2, 50)
    rate = 10 ** rng.uniform(-1, 1, 50)
    sets = {
        Gamma: (a / rate * (1 + z / np.sqrt(a)), a, rate),
        InverseGamma: (rate / a * (1 + z / np.sqrt(a)), a, rate),
        Beta: (0.5 + z * 0.5 / np.sqrt(2 * size), np.full(50, size), np.full(50, size)),
        InverseGaussian: (rate * (1 + z / np.sqrt(size)), rate, rate * size),
    }
    for family, columns in sets.items():
        args = [np.asarray(c, np.float32) for c in columns]
        value = np.asarray(make(family, args[1:]).log_prob(args[0]), float)
        truth = np.array([float(DENSITY[family](*(mp.mpf(float(v)) for v in row))) for row in zip(*args)])
        assert np.max(np.abs(value - truth)) < 2 * np.finfo(np.float32).eps * np.max(np.abs(truth))


@each_family
def test_log_density_out_of_the_support_and_at_infinity(family):
    d = make(family, [np.float64(v) for v in (1.5, 2.5)[: len(family.parameters)]])
    assert d.log_prob(-1.0) == -np.inf
    assert d.log_prob(np.inf) == -np.inf
    assert np.isnan(d.log_prob(np.nan))
    assert float(jax.grad(d.log_prob)(-1.0)) == 0.0


@each_family
def test_traced_bad_parameters_give_nan_never_a_number(family):
    good = [2.0, 3.0][: len(family.parameters)]
    for i, name in enumerate(family.parameters):
        for bad in (-1.0, np.nan):
            if name == "loc" and family is LogNormal and bad < 0:
                continue
            leaves = [jnp.float32(bad if i == k else v) for k, v in enumerate(good)]
            d = make(family, leaves)
            assert np.isnan(jax.jit(lambda d: d.log_prob(0.4))(d)), (name, bad)
            assert np.isnan(jax.jit(lambda d: d.kl(d))(d)), (name, bad)


def pairs(family: type, count: int, seed: int) -> list[np.ndarray]:
    """p and q, at distances from 1e-5 to 10 in log-parameters: any direction, one parameter only, or equal ratios."""
    rng = np.random.default_rng(seed)
    p = settings(family, count, seed)
    distance, common, kind = 10 ** rng.uniform(-5, 1, count), rng.normal(size=count), rng.integers(0, 3, count)
    q = []
    for k, leaf in enumerate(p):
        z = np.select(
            [kind == 0, kind == 1], [rng.normal(size=count), common], rng.normal(size=count) * (rng.integers(0, 2) == k)
        )
        if family is LogNormal and k == 0:
            q.append(leaf + p[1] * distance * z)
        else:
            q.append(leaf * np.exp(np.clip(distance * z, -9, 9)))
    return p + q


@each_precision(FAMILIES, Gamma)
def test_kl_keeps_its_digits_near_and_far(family, dtype):
    columns = pairs(family, 80, 3)
    k = len(family.parameters)
    with jax.enable_x64(dtype is np.float64):
        args = [jnp.asarray(v, dtype) for v in columns]
        value = np.asarray(make(family, args[:k]).kl(make(family, args[k:])))
    bound = 8 if family is Beta else 3
    for i, row in enumerate(zip(*(np.asarray(a, float) for a in args))):
        assert excess(KL[family], value[i], [mp.mpf(v) for v in row], dtype) < bound, row


@each_precision(FAMILIES, Gamma)
def test_kl_is_right_as_a_number_where_the_two_are_close(family, dtype):
    """Without any allowance for the rounding of inputs: differences of nearby numbers are exact."""
    rng = np.random.default_rng(4)
    p = settings(family, 60, 5)
    q = [leaf * (1 + 10 ** rng.uniform(-4, -1, 60) * rng.normal(size=60)) for leaf in p]
    with jax.enable_x64(dtype is np.float64):
        args = [jnp.asarray(v, dtype) for v in (*p, *q)]
        k = len(p)
        value = np.asarray(make(family, args[:k]).kl(make(family, args[k:])), float)
    truth = np.array([float(KL[family](*(mp.mpf(float(v)) for v in row))) for row in zip(*args)])
    np.testing.assert_allclose(value, truth, rtol=100 * np.finfo(dtype).eps)


def test_kl_of_large_gammas_in_float32():
    for a, truth in ((1e2, 5.0232474852e-05), (1e4, 0.0049985840080), (1e6, 0.49983366645)):
        q = np.float32(1.001 * a)
        for family in (Gamma, InverseGamma):
            assert abs(float(family(np.float32(a)).kl(family(q))) / truth - 1) < 1e-6


@each_family
def test_gradient_of_kl_in_q_is_the_difference_of_expectations(family):
    """∂KL(p‖q)/∂η_q = E_q[T] − E_p[T]."""
    with jax.enable_x64(True):
        p = make(family, [np.float64(v) for v in (1.7, 2.9)[: len(family.parameters)]])
        q = make(family, [np.float64(v) for v in (2.3, 1.1)[: len(family.parameters)]])
        gradient = jax.grad(lambda eta: p.kl(family.from_natural(eta)))(q.natural)
        np.testing.assert_allclose(gradient, np.asarray(q.expectation - p.expectation), rtol=1e-11)


@each_precision(FAMILIES, Gamma)
def test_entropy_keeps_its_digits(family, dtype):
    leaves = settings(family, 80, 7)
    with jax.enable_x64(dtype is np.float64):
        args = [jnp.asarray(v, dtype) for v in leaves]
        value = np.asarray(make(family, args).entropy())
    for i, row in enumerate(zip(*(np.asarray(a, float) for a in args))):
        assert excess(ENTROPY[family], value[i], [mp.mpf(v) for v in row], dtype) < 4, row


@each_precision(FAMILIES, Gamma)
def test_expectation_and_its_inverse_go_round_over_all_sizes(family, dtype):
    leaves = settings(family, 40, 8)
    with jax.enable_x64(dtype is np.float64):
        d = make(family, [jnp.asarray(v, dtype) for v in leaves])
        assert np.all(np.isfinite(d.expectation))
        if dtype is np.float32:
            return
        again = family.from_natural(d.natural)
        for one, two in zip(jax.tree.leaves(d), jax.tree.leaves(again)):
            np.testing.assert_allclose(two, np.asarray(one), rtol=1e-12)
