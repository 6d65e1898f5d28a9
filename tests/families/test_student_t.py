"""StudentT in its limits, and the divergences that are integrals: StudentT's and Logistic's."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.stats as st
from tests.families.precisions import each_dtype
from tests.families.test_passes import DENSITY, DIGITS, ENTROPY, make, student_below, student_constant

from surprax.families.cauchy import Cauchy
from surprax.families.logistic import Logistic
from surprax.families.student_t import StudentT


@pytest.fixture(autouse=True)
def _digits():
    with mp.workdps(DIGITS):
        yield


# Divergence by quadrature.


def trapezoid(f: Callable[[Any], Any]) -> Any:
    """∫ f over the line, z = sinh(1.5 sinh t)."""
    total, step = mp.mpf(0), mp.mpf(1) / 32
    for i in range(-160, 161):
        u = mp.mpf(3) / 2 * mp.sinh(i * step)
        total += f(mp.sinh(u)) * mp.cosh(u) * mp.cosh(i * step)
    return total * step * 3 / 2


def located_kl(family: type, p: list[Any], q: list[Any]) -> Any:
    def standard(leaves):
        if family is Logistic:
            return lambda z: -abs(z) - 2 * mp.log1p(mp.exp(-abs(z)))
        constant, n = student_constant(leaves[0]), leaves[0]
        return lambda z: constant - (n + 1) / 2 * mp.log1p(z * z / n)

    f, g = standard(p), standard(q)
    (m, s), (n, t) = p[-2:], q[-2:]
    return trapezoid(lambda z: mp.exp(f(z)) * (f(z) - g((m + s * z - n) / t))) + mp.log(t / s)


PAIRS = [
    (Logistic, (0.5, 2.0), (0.53, 2.1)),
    (Logistic, (0.5, 2.0), (0.5 + 1e-5, 2.0 - 3e-5)),
    (Logistic, (0.5, 2.0), (4.0, 0.9)),
    (StudentT, (5.0, 0.5, 2.0), (5.5, 0.6, 1.9)),
    (StudentT, (2.0, 0.5, 2.0), (2.0 + 1e-4, 0.5, 2.0)),
    (StudentT, (1e3, 0.5, 2.0), (999.0, 0.5, 2.0)),
    (StudentT, (1.0, 0.5, 2.0), (3.0, 2.0, 3.0)),
    (StudentT, (1e5, 0.5, 2.0), (3.0, 0.5, 2.0)),
]


@each_dtype
@pytest.mark.parametrize(("family", "p", "q"), PAIRS, ids=str)
def test_kl_by_quadrature_is_right_in_relative_terms(family, p, q, dtype):
    leaves = np.array([*p, *q], dtype)
    with jax.enable_x64(dtype == np.float64):
        ours = lambda *v: make(family, v[: len(p)]).kl(make(family, v[len(p) :]))
        got, slopes = jax.value_and_grad(ours, argnums=tuple(range(len(leaves))))(*map(jnp.asarray, leaves))
    with mp.workdps(40):
        exact = [mp.mpf(float(v)) for v in leaves]
        truth = lambda *v: located_kl(family, list(v[: len(p)]), list(v[len(p) :]))
        tolerance = 60 * float(np.finfo(dtype).eps)
        # A change of 1/df is what moves a density near the normal limit: its relative error is what rounding df leaves.
        conditioning = max(1.0, *(v for v in leaves[[0, len(p)]])) if family is StudentT else 1.0
        assert abs(float(got) / truth(*exact) - 1) < tolerance * conditioning**0.5
        by = len(leaves) - 1 if p[-1] != q[-1] else len(p) if family is StudentT else 0
        h = mp.mpf(10) ** -9
        up, down = list(exact), list(exact)
        up[by] += h
        down[by] -= h
        assert (
            abs(float(slopes[by]) / ((truth(*up) - truth(*down)) / (2 * h)) - 1) < 4 * tolerance * conditioning + 1e-8
        )


@pytest.mark.parametrize("family", [Logistic, StudentT], ids=lambda f: f.__name__)
def test_curvature_of_kl_is_the_fisher_information(family):
    leaves = [4.0, 0.5, 2.0][3 - len(family.parameters) :]
    if family is StudentT:
        n, s = leaves[0], leaves[2]
        spread = (float(mp.psi(1, mp.mpf(n) / 2) - mp.psi(1, mp.mpf(n + 1) / 2))) / 4 - (n + 5) / (
            2 * n * (n + 1) * (n + 3)
        )
        cross = -2 / (s * (n + 1) * (n + 3))
        truth = [[spread, 0, cross], [0, (n + 1) / (n + 3) / s**2, 0], [cross, 0, 2 * n / (n + 3) / s**2]]
    else:
        truth = np.diag([1 / 3, (3 + np.pi**2) / 9]) / leaves[1] ** 2
    with jax.enable_x64(True):
        at = jnp.array(leaves)
        fisher = jax.hessian(lambda v: make(family, list(at)).kl(make(family, list(v))))(at)
        np.testing.assert_allclose(fisher, truth, rtol=1e-13, atol=1e-14)


@each_dtype
@pytest.mark.parametrize("family", [Logistic, StudentT], ids=lambda f: f.__name__)
def test_kl_far_apart_is_finite_and_right(family, dtype):
    df = () if family is Logistic else (4.0,)
    with jax.enable_x64(dtype == np.float64):
        for q, truth in ((((100.0, 1.0), 98.0) if not df else ((100.0, 1.0), 18.859683647)), ((0.0, 1.0), 0.0)):
            got = make(family, [jnp.asarray(v, dtype) for v in (*df, 0.0, 1.0)]).kl(
                make(family, [jnp.asarray(v, dtype) for v in (*df, *q)])
            )
            np.testing.assert_allclose(got, truth, rtol=2e-6, atol=1e-12)
        ratio = 1e4
        wide, narrow = (make(family, [jnp.asarray(v, dtype) for v in (*df, 0.0, s)]) for s in (ratio, 1.0))
        assert np.isfinite(wide.kl(narrow))
        assert np.isfinite(narrow.kl(wide))


# Limits, tails and quantiles.


POINTS = 6
"""So many points at a time: the distribution function is slow to compile."""


@each_dtype
def test_tails_ten_thousand_nats_out(dtype):
    with jax.enable_x64(dtype == np.float64):
        at = lambda d, x: d.log_cdf(np.full(POINTS, x, dtype))[0]
        np.testing.assert_allclose(at(StudentT(1e4), -250.0), float(student_tail_by_quadrature(1e4, 250.0)), rtol=2e-6)
        if dtype == np.float64:
            truth = float(student_below(-(mp.mpf(10) ** 80), mp.mpf(50), 0, 1))
            np.testing.assert_allclose(at(StudentT(50.0), -1e80), truth, rtol=1e-13)


def student_tail_by_quadrature(n, z):
    n, z = mp.mpf(n), mp.mpf(z)
    f = lambda u: mp.exp(-(n + 1) / 2 * (mp.log1p((z + u) ** 2 / n) - mp.log1p(z * z / n)))
    area = mp.quad(f, [mp.mpf(k) / (z + 1) for k in (0, 1, 2, 4, 8, 16, 32, 64, 200)])
    return student_constant(n) - (n + 1) / 2 * mp.log1p(z * z / n) + mp.log(area)


@each_dtype
@pytest.mark.parametrize("df", [1e3, pytest.param(1e6, marks=pytest.mark.thorough), 1e8])
def test_student_at_huge_df_is_nearly_normal_in_every_digit(df, dtype):
    tolerance = 8 * np.finfo(dtype).eps
    z = np.array([0.0, 0.0625, 0.5, 1.0, 5.0, 20.0], dtype)
    with jax.enable_x64(dtype == np.float64):
        d = StudentT(df)
        truth = [float(DENSITY[StudentT](mp.mpf(float(v)), mp.mpf(df), 0, 1)) for v in z]
        np.testing.assert_allclose(d.log_prob(z), truth, rtol=tolerance)
        tail = [float(student_tail_by_quadrature(df, float(v))) for v in z]
        np.testing.assert_allclose(d.log_sf(z), tail, rtol=tolerance)
        np.testing.assert_allclose(d.isf(np.exp(np.array(tail, dtype)))[:5], z[:5], rtol=8 * tolerance, atol=tolerance)
        np.testing.assert_allclose(d.entropy(), float(ENTROPY[StudentT](mp.mpf(df), 0, 1)), rtol=tolerance)


@each_dtype
def test_student_with_one_degree_of_freedom_is_cauchy(dtype):
    x = np.array([-1e30, -1e5, -2.0, -1e-5, 0.0, 0.7], dtype)
    with jax.enable_x64(dtype == np.float64):
        t, c = StudentT(1.0, 0.5, 2.0), Cauchy(0.5, 2.0)
        for method in ("log_prob", "log_cdf", "log_sf"):
            np.testing.assert_allclose(
                getattr(t, method)(x), getattr(c, method)(x), rtol=20 * np.finfo(dtype).eps, atol=1e-37
            )
        np.testing.assert_allclose(t.entropy(), c.entropy(), rtol=1e-6)
        close = 200 * np.finfo(dtype).eps
        np.testing.assert_allclose(t.kl(StudentT(1.0, 0.6, 1.5)), c.kl(Cauchy(0.6, 1.5)), rtol=close)


@each_dtype
def test_quantiles_invert_both_tails(dtype):
    p, eps = np.array([1e-30, 1e-12, 1e-3, 0.2, 0.4999, 0.5], dtype), np.finfo(dtype).eps
    with jax.enable_x64(dtype == np.float64):
        for df in (1.0, 2.5, 7.0, 60.0, 1e5) if dtype == np.float32 else (0.3, 1.0, 4.0, 1e5):
            d = StudentT(df)
            np.testing.assert_allclose(d.log_cdf(d.icdf(p)), np.log(p.astype(float)), rtol=100 * eps, atol=8 * eps)
            np.testing.assert_allclose(d.log_sf(d.isf(p)), np.log(p.astype(float)), rtol=100 * eps, atol=8 * eps)


def test_slopes_of_the_student_quantile():
    p, df, h = np.array([0.01, 0.3, 0.8]), 4.0, 1e-5
    with jax.enable_x64(True):
        by_p, by_df = jax.vmap(jax.grad(lambda p, df: StudentT(df).icdf(p), argnums=(0, 1)), in_axes=(0, None))(p, df)
    np.testing.assert_allclose(by_p, (st.t.ppf(p + h, df) - st.t.ppf(p - h, df)) / (2 * h), rtol=1e-6)
    np.testing.assert_allclose(by_df, (st.t.ppf(p, df + h) - st.t.ppf(p, df - h)) / (2 * h), rtol=1e-6)
