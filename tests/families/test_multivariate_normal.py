"""The multivariate normal distribution where it is hard, and its parts."""

import re

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from tests.families.vector_cases_normal import S_WIDE, S

import surprax as sx

LOC = np.array([0.3, -1.0, 2.0])


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def close(a, b, rtol=1e-10, atol=1e-12):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)


def test_the_three_parametrisations_are_one():
    a = sx.MultivariateNormal(LOC, S_WIDE)
    b = sx.MultivariateNormal(LOC, precision_matrix=np.linalg.inv(S_WIDE))
    c = sx.MultivariateNormal(LOC, scale_tril=np.linalg.cholesky(S_WIDE))
    for d in (b, c):
        close(d.scale_tril, a.scale_tril)
        close(d.covariance_matrix, S_WIDE, atol=1e-9)
        close(d.precision_matrix @ S_WIDE, np.eye(3), atol=1e-9)
    traced = jax.jit(lambda P: sx.MultivariateNormal(LOC, precision_matrix=P))(a.precision_matrix)
    close(traced.scale_tril, a.scale_tril)


def test_bad_matrices_are_refused_in_words():
    with pytest.raises(ValueError, match=r"must be symmetric; got \[\[ 1\.,  2\.\], \[-2\.,  1\.\]\]"):
        sx.MultivariateNormal([0.0, 0.0], [[1.0, 2.0], [-2.0, 1.0]])
    with pytest.raises(
        ValueError, match=r"must be positive definite; got .* at index 1 of the batch, whose least eigenvalue is -1"
    ):
        sx.MultivariateNormal([0.0, 0.0], np.array([np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]))
    with pytest.raises(ValueError, match="must be lower triangular with a positive diagonal"):
        sx.MultivariateNormal([0.0, 0.0], scale_tril=[[1.0, 2.0], [0.0, 1.0]])
    with pytest.raises(
        ValueError, match="exactly one of scale_tril and covariance_matrix and precision_matrix; got none"
    ):
        sx.MultivariateNormal([0.0, 0.0])
    with pytest.raises(ValueError, match="loc must have 2 numbers"):
        sx.MultivariateNormal([0.0, 0.0, 0.0], np.eye(2))
    d = jax.jit(lambda m: sx.MultivariateNormal(jnp.zeros(2), m))(jnp.array([[1.0, 2.0], [2.0, 1.0]]))
    assert np.isnan(d.log_prob(np.zeros(2)))
    upper = jax.jit(lambda m: sx.MultivariateNormal(jnp.zeros(2), scale_tril=m))(jnp.array([[1.0, 2.0], [0.0, 1.0]]))
    assert np.isnan(upper.log_prob(np.zeros(2)))


def test_joint_is_marginal_times_conditional():
    d = sx.MultivariateNormal(LOC, S_WIDE)
    x = np.asarray(d.sample(jax.random.key(0), (5,)))
    for given in ([0], [2, 0], [1, 2]):
        others = [i for i in range(3) if i not in given]
        rest = d.condition(given, x[:, given])
        assert rest.batch_shape == (5,)
        close(d.marginal(given).log_prob(x[:, given]) + rest.log_prob(x[:, others]), d.log_prob(x))
    close(d.marginal([2, 0]).covariance_matrix, S_WIDE[np.ix_([2, 0], [2, 0])])
    close(d.marginal(-1).scale, np.sqrt(S_WIDE[2, 2]))
    with pytest.raises(ValueError, match="distinct numbers from 0 to 2"):
        d.marginal([1, 1])


def test_known_parts_are_held():
    d = sx.MultivariateNormal(LOC, S)
    x = np.asarray(d.sample(jax.random.key(1), (50,)))
    fit = sx.MultivariateNormal.fit(x, loc=LOC)
    close(fit.covariance_matrix, (x - LOC).T @ (x - LOC) / 50)
    close(fit.loc, LOC)
    evidence = sx.MultivariateNormal.evidence(x, covariance_matrix=S, by=np.arange(50) % 2)
    close(evidence[1].fit().loc, x[1::2].mean(axis=0))
    close(evidence[1].fit().covariance_matrix, S)
    fits = sx.MultivariateNormal.fit(sx.MultivariateNormal.evidence(x, loc=LOC, by=np.arange(50) % 2))
    assert fits.batch_shape == (2,)
    close(fits[0].covariance_matrix, (x[::2] - LOC).T @ (x[::2] - LOC) / 25)
    with pytest.raises(ValueError, match="covariance_matrix must be positive definite"):
        sx.MultivariateNormal.fit(x, covariance_matrix=-S)


def test_data_in_a_hyperplane_have_no_maximum():
    x = np.random.default_rng(0).normal(size=(20, 2))
    flat = np.column_stack([x, 1e6 * x[:, 0] - 1e-3 * x[:, 1]])
    with pytest.raises(ValueError, match="space of fewer dimensions"):
        sx.MultivariateNormal.fit(flat)
    few = x[:2]
    _, outcome = sx.MultivariateNormal.try_fit(few)
    assert outcome.reason == sx.families.Reason.TOO_FEW
    evidence = sx.MultivariateNormal.evidence(few)
    q = sx.MultivariateNormal([0.0, 0.0], np.eye(2))
    close(evidence.log_likelihood(q), np.sum(q.log_prob(few)))
    assert (
        sx.MultivariateNormal.try_fit(sx.MultivariateNormal.evidence(few) * 0.0)[1].reason == sx.families.Reason.NO_DATA
    )


def exact_kl(p, q):
    """By its textbook form in 60 digits, from the factors as they are."""
    with mp.workdps(60):
        a, b = (mp.matrix(np.asarray(d.scale_tril, np.float64).tolist()) for d in (p, q))
        shift = mp.matrix((np.asarray(p.loc, np.float64)).tolist()) - mp.matrix(np.asarray(q.loc, np.float64).tolist())
        inverse = (b * b.T) ** -1
        trace = sum((inverse * (a * a.T))[i, i] for i in range(a.rows))
        log_det = 2 * sum(mp.log(a[i, i]) - mp.log(b[i, i]) for i in range(a.rows))
        return float((trace - a.rows - log_det + (shift.T * inverse * shift)[0]) / 2)


@pytest.mark.parametrize("step", [1.0, 1e-2, 1e-4])
def test_kl_keeps_its_digits_in_float32_as_q_nears_p(step):
    with jax.enable_x64(False):
        factor = np.linalg.cholesky(S_WIDE).astype(np.float32)
        noise = np.tril(np.random.default_rng(2).uniform(-1, 1, (3, 3)))
        p = sx.MultivariateNormal(LOC.astype(np.float32), scale_tril=factor)
        q = sx.MultivariateNormal(p.loc, scale_tril=(factor * (1 + step * noise)).astype(np.float32))
        got = float(p.kl(q))
        assert abs(got / exact_kl(p, q) - 1) < 1e-5
        slopes = jax.tree.leaves(jax.grad(lambda q: p.kl(q))(p))
        assert all(np.all(s == 0) for s in slopes)


def test_fisher_solve_has_no_need_of_the_dense_matrix():
    d = sx.MultivariateNormal(np.zeros(40), np.eye(40) + 0.5)
    v = d.expectation
    solved = jax.jit(lambda d, v: d.fisher_solve(v)).lower(d, v)
    assert not {"820x820", "860x860"} & set(re.findall(r"\d+x\d+", solved.as_text()))
    direction = jax.jvp(lambda e: sx.MultivariateNormal.from_expectation(e).natural, (v,), (v,))[1]
    close(d.fisher_solve(v), direction, rtol=1e-8, atol=1e-9)


def test_far_out_nothing_overflows_into_nan():
    with jax.enable_x64(False):
        d = sx.MultivariateNormal(np.zeros(2), scale_tril=np.diag([1e-18, 1e18]))
        value, slope = jax.value_and_grad(lambda x: d.log_prob(x))(jnp.array([1e-18, 1e18]))
        close(value, -1.0 - np.log(2 * np.pi), rtol=1e-6)
        close(slope, [-1e18, -1e-18], rtol=1e-6)
        assert d.log_prob(jnp.array([1e10, 0.0])) == -np.inf


# The diagonal and the isotropic form.


def relatives(loc, scale):
    """The same distribution in both forms, where all scales are equal."""
    return sx.MultivariateNormalDiag(loc, np.full(3, scale)), sx.MultivariateNormalIsotropic(loc, scale)


def test_diagonal_and_isotropic_forms_are_the_full_one():
    for p, q in zip(relatives(LOC, 1.5), relatives(LOC[::-1], 0.4)):
        full = [sx.MultivariateNormal(d.loc, d.covariance_matrix) for d in (p, q)]
        close(p.kl(q), full[0].kl(full[1]))
        close(p.entropy(), full[0].entropy())
        close(p.renyi(q, 0.3), full[0].renyi(full[1], 0.3))
        close(p.log_prob(LOC + 1.0), full[0].log_prob(LOC + 1.0))
    wide = sx.MultivariateNormalDiag(LOC, [3.0, 1e-3, 50.0])
    close(wide.precision_matrix @ wide.covariance_matrix, np.eye(3))
    groups = sx.MultivariateNormalIsotropic(np.zeros((4, 3)), np.array([1.0, 2.0, 3.0, 4.0]))
    close(groups.covariance_matrix[3], 16 * np.eye(3))
    close(groups.variance[2], [9.0, 9.0, 9.0])


def test_their_fits_are_those_of_each_component():
    x = np.random.default_rng(3).normal(size=(50, 3)) * [1.0, 10.0, 0.1] + [0.0, 1e4, 3.0]
    fit = sx.MultivariateNormalDiag.fit(x)
    close(fit.loc, x.mean(axis=0))
    close(fit.scale_diag, x.std(axis=0))
    close(sx.MultivariateNormalIsotropic.fit(x).scale, np.sqrt(x.var(axis=0).mean()))
    for cls, name in ((sx.MultivariateNormalDiag, "scale_diag"), (sx.MultivariateNormalIsotropic, "scale")):
        about = getattr(cls.fit(x, loc=np.zeros(3)), name)
        close(
            about if name == "scale_diag" else [about],
            np.sqrt((x**2).mean(axis=0)) if name == "scale_diag" else [np.sqrt((x**2).mean())],
        )
        known = np.full(3, 2.0) if name == "scale_diag" else 2.0
        close(cls.fit(x, **{name: known}).loc, x.mean(axis=0))
        grouped = cls.evidence(x, loc=np.zeros(3), by=np.arange(50) % 2).fit()
        close(getattr(grouped[1], name), getattr(cls.fit(x[1::2], loc=np.zeros(3)), name))


@pytest.mark.parametrize("step", [1.0, 1e-2, 1e-4])
def test_their_kl_keeps_its_digits_in_float32(step):
    with jax.enable_x64(False):
        loc = LOC.astype(np.float32)
        scale = np.array([30.0, 1.0, 0.02], np.float32)
        p, q = (sx.MultivariateNormalDiag(loc, s) for s in (scale, scale * np.float32(1 + step)))
        full = [sx.MultivariateNormal(loc, scale_tril=np.diag(d.scale_diag)) for d in (p, q)]
        assert abs(float(p.kl(q)) / exact_kl(*full) - 1) < 1e-5
        p, q = (sx.MultivariateNormalIsotropic(loc, s) for s in (scale[0], scale[0] * np.float32(1 + step)))
        full = [sx.MultivariateNormal(loc, scale_tril=d.scale * np.eye(3, dtype=np.float32)) for d in (p, q)]
        assert abs(float(p.kl(q)) / exact_kl(*full) - 1) < 1e-5


def test_their_natural_gradients_cost_no_matrix():
    for d in (
        sx.MultivariateNormalDiag(np.ones(40), np.full(40, 2.0)),
        sx.MultivariateNormalIsotropic(np.ones(40), 2.0),
    ):
        v = d.expectation
        solved = jax.jit(lambda d, v: d.fisher_solve(v)).lower(d, v)
        assert not re.findall(r"[48][01]x[48][01]", solved.as_text())
        direction = jax.jvp(lambda e, d=d: type(d).from_expectation(e).natural, (v,), (v,))[1]
        close(d.fisher_solve(v), direction, rtol=1e-8, atol=1e-9)


def test_their_refusals_are_sentences():
    with pytest.raises(ValueError, match="MultivariateNormalDiag: loc must have 2 numbers"):
        sx.MultivariateNormalDiag(np.zeros(3), np.ones(2))
    with pytest.raises(ValueError, match="loc or scale_diag must be a vector"):
        sx.MultivariateNormalDiag(0.0, 1.0)
    with pytest.raises(ValueError, match="loc must be a vector"):
        sx.MultivariateNormalIsotropic(0.0, 1.0)
    with pytest.raises(ValueError, match=r"scale_diag must be positive and finite; got -1\.0 at index 1"):
        sx.MultivariateNormalDiag(np.zeros(2), [1.0, -1.0])
    constant = np.array([[0.0, 1.0], [2.0, 1.0]])
    with pytest.raises(ValueError, match="space of fewer dimensions"):
        sx.MultivariateNormalDiag.fit(constant)
    with pytest.raises(ValueError, match="all observations are equal"):
        sx.MultivariateNormalIsotropic.fit(constant[[0, 0]])
    with pytest.raises(ValueError, match="has 2d parameters"):
        sx.MultivariateNormalDiag.from_natural(np.array([0.0, 1.0, -1.0]))
