"""The matrix normal distribution where it is hard: divergences near zero, the factor that its matrices share, and its fits."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from tests.families.vector_cases_normal import M, S, V

import surprax as sx


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def close(a, b, rtol=1e-10, atol=1e-12):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)


def as_vector(d):
    """The normal distribution of the rows one after the other."""
    return sx.MultivariateNormal(
        np.asarray(d.loc).reshape(-1), scale_tril=np.kron(d.scale_tril_row, d.scale_tril_column)
    )


def test_it_is_normal_in_the_rows_one_after_the_other():
    d, q = (sx.MatrixNormal(m, row_covariance=U, column_covariance=V) for m, U in ((M, S), (M + 0.3, 2 * S + 1)))
    x = np.asarray(d.sample(jax.random.key(0), (40_000,)))
    close(d.log_prob(x[:5]), as_vector(d).log_prob(x[:5].reshape(5, 6)))
    close(d.kl(q), as_vector(d).kl(as_vector(q)))
    close(d.entropy(), as_vector(d).entropy())
    close(d.variance.reshape(-1), as_vector(d).variance)
    covariance = np.cov(x.reshape(-1, 6), rowvar=False)
    close(covariance, np.kron(S, V), rtol=0, atol=0.05)
    close(d.row_covariance, S)


def exact_kl(p, q):
    """By its textbook form in 60 digits, from the factors as they are; of equal centres."""
    with mp.workdps(60):
        matrix = lambda v: mp.matrix(np.asarray(v, np.float64).tolist())
        A, a, B, b = map(matrix, (p.scale_tril_row, q.scale_tril_row, p.scale_tril_column, q.scale_tril_column))
        n, k = A.rows, B.rows

        def parts(top, bottom):
            ratio = (bottom * bottom.T) ** -1 * (top * top.T)
            log_det = 2 * sum(mp.log(top[i, i]) - mp.log(bottom[i, i]) for i in range(top.rows))
            return sum(ratio[i, i] for i in range(top.rows)), log_det

        (rows, log_rows), (columns, log_columns) = parts(A, a), parts(B, b)
        return float((rows * columns - n * k - k * log_rows - n * log_columns) / 2)


@pytest.mark.parametrize("factor", [1.0, 8.0])
@pytest.mark.parametrize("step", [1.0, 1e-2, 1e-4])
def test_kl_keeps_its_digits_in_float32_as_q_nears_p(step, factor):
    """Also where a factor (a power of two, which rounds nothing) went from rows to columns: it has to be found first."""
    with jax.enable_x64(False):
        rows, columns = (np.linalg.cholesky(m).astype(np.float32) for m in (S, V))
        rng = np.random.default_rng(2)
        p = sx.MatrixNormal(M.astype(np.float32), rows, columns)
        moved = [(m * (1 + step * np.tril(rng.uniform(-1, 1, m.shape)))).astype(np.float32) for m in (rows, columns)]
        q = sx.MatrixNormal(p.loc, np.float32(factor) * moved[0], moved[1] / np.float32(factor))
        exact = exact_kl(p, q)
        assert abs(float(p.kl(q)) - exact) < 2e-5 * exact
        same = sx.MatrixNormal(p.loc, np.float32(factor) * rows, columns / np.float32(factor))
        assert 0 <= float(p.kl(same)) < 1e-12
        for slope in jax.tree.leaves(jax.grad(lambda q: p.kl(q))(jax.tree.map(jnp.asarray, same))):
            close(slope, 0.0, atol=1e-7 * factor)


def test_fit_is_where_the_likelihood_is_flat():
    d = sx.MatrixNormal(M, row_covariance=S, column_covariance=V)
    x = np.asarray(d.sample(jax.random.key(1), (60,)))
    weights = np.arange(60) % 3
    fit = sx.MatrixNormal.fit(x, weights)
    close(fit.loc, np.average(x, axis=0, weights=weights))
    close(np.linalg.det(fit.column_covariance), 1.0)
    total = lambda d: jnp.sum(weights * d.log_prob(x))
    slope = jax.grad(total)(jax.tree.map(jnp.asarray, fit))
    close(slope.loc, 0.0, atol=1e-7)
    close(jnp.tril(slope.scale_tril_row), 0.0, atol=1e-6)
    close(jnp.tril(slope.scale_tril_column), 0.0, atol=1e-6)
    assert total(fit) > total(d)
    close(fit.scale_tril_row, sx.MatrixNormal.fit(np.repeat(x, weights, axis=0)).scale_tril_row, rtol=1e-8)
    assert sx.MatrixNormal.free_parameters(fit) == 6 + 6 + 3 - 1


def test_too_few_observations_have_no_maximum():
    x = np.random.default_rng(0).normal(size=(2, 3, 2))
    with pytest.raises(
        ValueError, match="MatrixNormal has no maximum of the likelihood: the observations lie in a space"
    ):
        sx.MatrixNormal.fit(x)
    assert sx.MatrixNormal.try_fit(x, np.zeros(2))[1].reason == sx.families.Reason.NO_DATA


def test_bad_parameters_are_refused_in_words():
    with pytest.raises(ValueError, match=r"MatrixNormal \(columns\) takes exactly one of .* got none"):
        sx.MatrixNormal(M, np.eye(3))
    with pytest.raises(ValueError, match=r"MatrixNormal \(rows\): row_covariance must be positive definite"):
        sx.MatrixNormal(M, row_covariance=-S, column_covariance=V)
    with pytest.raises(ValueError, match=r"loc must be 3 × 2, .* got shape \(2, 3\)"):
        sx.MatrixNormal(M.T, row_covariance=S, column_covariance=V)
