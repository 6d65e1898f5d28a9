"""The normal-inverse-Wishart distribution: of the mean and the covariance of a normal vector, both unknown."""

from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.evidence import Layout, Moments
from surprax.evidence.layout import Carrier, Gap
from surprax.families.base import family
from surprax.families.exponential import ExponentialFamily
from surprax.families.inverse_wishart import InverseWishart
from surprax.families.multivariate_student_t import MultivariateStudentT
from surprax.families.outcomes import Outcome, Reason
from surprax.families.parameters import parameter, positive, real
from surprax.families.scale_matrices import as_scale_tril, as_vector, check_degrees_of_freedom, gram, lower_cholesky
from surprax.families.supports import POSITIVE_DEFINITE, Region
from surprax.families.wishart import degrees_from_gap, half_of_identity, is_half_of_positive_definite, usable_df
from surprax.numerics import linalg
from surprax.numerics.elementary import scale_divergence
from surprax.numerics.linalg import (
    beside,
    cholesky,
    cholesky_of_inverse,
    diagonal,
    join,
    log_det,
    log_det_divergence,
    matvec,
    outer,
    solve_lower,
    transpose,
)
from surprax.numerics.normal import HALF_LOG_2PI
from surprax.numerics.symmetric import dimension_of_half, from_half, from_half_dual, half, half_dual, symmetric

__all__ = [
    "FIRST_LOG_DET",
    "WEIGHTED_SCATTER",
    "NormalInverseWishart",
    "carrier_of_pairs",
    "fit_mean_and_matrix",
    "mean_given_matrix_kl",
    "mean_of_precision_first",
    "precision_first",
    "region_of_pairs",
    "split_mean",
    "with_mean",
]


# The event (m | S), and the carrier (W, W m) with W = S⁻¹. Beside −log det W, its gap is of the convex function bᵀ A⁻¹ b of
# (A, b) = (W, W m), which is mᵀ W m: the scatter of the means with precisions for weights.


def split_mean(x: Array) -> tuple[Array, Array]:
    """m and the matrix, of (m | matrix)."""
    return x[..., 0], x[..., 1:]


def with_mean(m: Array, matrix: Array) -> Array:
    """(m | matrix)."""
    batch = jnp.broadcast_shapes(m.shape[:-1], matrix.shape[:-2])
    m, matrix = jnp.broadcast_to(m, batch + m.shape[-1:]), jnp.broadcast_to(matrix, batch + matrix.shape[-2:])
    return jnp.concatenate([m[..., None], matrix], axis=-1)


def precision_first(m: Array, W: Array) -> Array:
    """(W, W m) as a flat vector."""
    return join(half(W), matvec(W, m))


def _parts(y: Array) -> tuple[Array, Array]:
    """W by its lower triangle, and W m."""
    d = dimension_of_half(y.shape[-1] + 1) - 1
    return y[..., : y.shape[-1] - d], y[..., y.shape[-1] - d :]


def mean_of_precision_first(y: Array) -> tuple[Array, Array]:
    """m and the Cholesky factor of W, of (W, W m)."""
    W, linear = _parts(y)
    factor = cholesky(from_half(W))
    return solve_lower(factor, solve_lower(factor, linear), transposed=True), factor


def _log_det_of_first(a: Array, b: Array) -> Array:
    factors = (cholesky(from_half(_parts(v)[0])) for v in (a, b))
    return 2.0 * log_det_divergence(*factors)[..., None]


def _weighted_scatter(a: Array, b: Array) -> Array:
    (at, factor), (mean, _) = mean_of_precision_first(a), mean_of_precision_first(b)
    shift = matvec(transpose(factor), at - mean)
    return jnp.sum(shift * shift, axis=-1, keepdims=True)


def _neutral(length: int) -> np.ndarray:
    d = dimension_of_half(length + 1) - 1
    return np.append(half_of_identity(length - d), np.zeros(d))


FIRST_LOG_DET = Gap("log det mean - mean log det of the precision", _log_det_of_first, size=lambda _: 1)
WEIGHTED_SCATTER = Gap("weighted scatter of the mean", _weighted_scatter, size=lambda _: 1)


def carrier_of_pairs(name: str, of: Any, inverse: Any) -> Carrier:
    """A carrier (W, W m)."""
    return Carrier(
        name, of, inverse, rank=1, inside=lambda y: is_half_of_positive_definite(_parts(y)[0]), neutral=_neutral
    )


def _carried(x: Array) -> Array:
    m, S = split_mean(x)
    return precision_first(m, linalg.inverse_gram(cholesky(S)))


def _uncarried(y: Array) -> Array:
    m, factor = mean_of_precision_first(y)
    return with_mean(m, linalg.inverse_gram(factor))


def region_of_pairs(name: str) -> Region:
    """Pairs (m | positive definite matrix)."""
    return Region(
        name,
        lambda x: jnp.all(jnp.isfinite(x[..., 0]), axis=-1) & POSITIVE_DEFINITE.holds(x[..., 1:]),
        2,
        lambda shape: np.eye(shape[-2], shape[-1], k=1),
    )


@family
class NormalInverseWishart(ExponentialFamily):
    """Normal-inverse-Wishart distribution of a pair (m, S): S is InverseWishart(ν, Ψ), and m given S is normal about loc with
    covariance S/κ; ν = df.

        s(m, S) = ½ tr (Ψ + κ (m − loc)(m − loc)ᵀ) S⁻¹ + (ν + d + 2)/2 · log det S
                  − ν/2 · log det Ψ/2 + log Γ_d(ν/2) − d/2 · log κ/2π

    Args:
        loc: centre of the mean, d finite numbers on the last axis; a single number stands for d equal ones.
        mean_precision: κ, positive: the precision of the mean in units of that of an observation, or how many observations it is
            worth.
        df: degrees of freedom ν > d − 1 of the covariance.
        scale_matrix: Ψ, symmetric and positive definite, on the last two axes; as observations make it the sum of the outer
            products of their deviations. Or else
        scale_tril: L with Ψ = L Lᵀ, lower triangular with a positive diagonal. This is what is stored.

    An observation is the matrix (m | S) of d rows and d + 1 columns, of which the first is m. Natural parameters
    (κ loc, −κ/2, −(Ψ + κ loc locᵀ)/2, −(ν + d + 2)/2) of T(m, S) = (S⁻¹m, mᵀS⁻¹m, S⁻¹, log det S). Source: Gelman et al. (2013),
    section 3.6; Murphy (2007), section 9.

    >>> belief = NormalInverseWishart([1.0], 2.0, 6.0, [[8.0]])
    >>> from surprax.families import NormalInverseGamma
    >>> print(f"{belief.log_prob([[0.5, 2.0]]) - NormalInverseGamma(1.0, 2.0, 3.0, 4.0).log_prob([0.5, 2.0]):.3f}")
    0.000
    """

    loc: Any = parameter(real, event_dim=1)
    mean_precision: Any = parameter(positive)
    df: Any = parameter(positive)
    scale_tril: Any = parameter(lower_cholesky, event_dim=2)

    dimension = None
    layout = Layout(carrier_of_pairs("(1/S, m/S)", _carried, _uncarried), (FIRST_LOG_DET, WEIGHTED_SCATTER))
    data_support = region_of_pairs("pairs (m | S) of a finite vector and a symmetric positive definite matrix")
    event_dim = 2

    def __init__(
        self, loc: Any, mean_precision: Any, df: Any, scale_matrix: Any = None, scale_tril: Any = None
    ) -> None:
        name = type(self).__name__
        factor = as_scale_tril(name, scale_tril=scale_tril, scale_matrix=scale_matrix)
        object.__setattr__(self, "loc", as_vector(name, "loc", loc, np.shape(factor)[-1]))
        object.__setattr__(self, "mean_precision", mean_precision)
        object.__setattr__(self, "df", df)
        object.__setattr__(self, "scale_tril", factor)
        self.__post_init__()
        check_degrees_of_freedom(name, self.df, self._size)

    @property
    def _size(self) -> int:
        return int(np.shape(self.loc)[-1])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """(d, d + 1): the mean, and the covariance matrix beside it."""
        return self._size, self._size + 1

    @property
    def scale_matrix(self) -> Any:
        """Ψ, shape batch + (d, d)."""
        return gram(self.scale_tril)

    @classmethod
    def free_parameters(cls, fit: Self) -> int:
        """d + 2 + d(d + 1)/2."""
        d = fit._size
        return d + 2 + d * (d + 1) // 2

    # Parts.

    @property
    def marginal_covariance(self) -> InverseWishart:
        """The distribution of S."""
        return InverseWishart._of(df=self.df, scale_tril=self.scale_tril)

    @property
    def marginal_mean(self) -> MultivariateStudentT:
        """The distribution of m: Student's t with ν − d + 1 degrees of freedom and scale matrix Ψ/(κ (ν − d + 1))."""
        df = self.df - (self._size - 1.0)
        scale = (self.mean_precision * df) ** -0.5
        return MultivariateStudentT._of(df=df, loc=self.loc, scale_tril=self.scale_tril * scale[..., None, None])

    def to_normal_wishart(self) -> Any:
        """The same belief about the mean and the precision matrix S⁻¹: a `NormalWishart` of the same loc, κ and ν."""
        from surprax.families.normal_wishart import NormalWishart

        return NormalWishart(self.loc, self.mean_precision, self.df, rate_matrix=self.scale_matrix)

    # Density.

    def _log_density(self, x: Array) -> Array:
        m, S = split_mean(x)
        factor = cholesky(S)
        z = solve_lower(factor, m - self.loc)
        normal = 0.5 * self._size * jnp.log(self.mean_precision) - log_det(factor) - HALF_LOG_2PI * self._size
        return self.marginal_covariance._log_density(S) + normal - 0.5 * self.mean_precision * jnp.sum(z * z, axis=-1)

    # Moments.

    def _mean(self) -> Any:
        exists = beside(usable_df(self)) > self._size
        return with_mean(jnp.where(exists, self.loc, jnp.nan), self.marginal_covariance._mean())

    def _variance(self) -> Any:
        of_mean = diagonal(self.marginal_covariance._mean()) / beside(self.mean_precision)
        of_mean = jnp.where(beside(usable_df(self)) > self._size, of_mean, jnp.nan)
        return with_mean(of_mean, self.marginal_covariance._variance())

    def _mode(self) -> Any:
        return with_mean(self.loc, linalg.gram(self.scale_tril) / beside(usable_df(self) + (self._size + 2), 2))

    # Information.

    def _entropy(self) -> Any:
        """That of S, and the mean of ½ (d (1 + log 2π/κ) + log det S)."""
        S, d = self.marginal_covariance, self._size
        return S._entropy() + 0.5 * S._mean_log_det() + d * (HALF_LOG_2PI + 0.5 - 0.5 * jnp.log(self.mean_precision))

    def _kl(self, q: Self) -> Array:
        """That of the covariances, and the mean of what the means have at a given covariance."""
        root = solve_lower(self.scale_tril, self.loc - q.loc)
        return self.marginal_covariance._kl(q.marginal_covariance) + mean_given_matrix_kl(self, q, root)

    # Exponential family.

    def _natural(self) -> Array:
        kappa = beside(self.mean_precision)
        linear = kappa * self.loc
        matrix = half_dual(-0.5 * (linalg.gram(self.scale_tril) + outer(linear, self.loc)))
        return join(linear, _one(-0.5 * self.mean_precision), matrix, _one(-0.5 * (usable_df(self) + (self._size + 2))))

    @classmethod
    def _from_natural(cls, natural: Array, known: dict[str, Any]) -> Self:
        linear, square, matrix, log = _split_natural(natural)
        d = linear.shape[-1]
        kappa = jnp.where(square < 0, -2.0 * square, jnp.nan)
        loc = linear / kappa[..., None]
        factor = cholesky(from_half_dual(-2.0 * matrix) - outer(linear, loc))
        df = -2.0 * log - (d + 2)
        return cls._of(loc=loc, mean_precision=kappa, df=jnp.where(df > d - 1, df, jnp.nan), scale_tril=factor)

    def _expectation(self) -> Array:
        W = beside(usable_df(self), 2) * linalg.inverse_gram(self.scale_tril)
        linear = matvec(W, self.loc)
        square = jnp.sum(linear * self.loc, axis=-1) + self._size / self.mean_precision
        return join(linear, square[..., None], half(W), self.marginal_covariance._mean_log_det()[..., None])

    @classmethod
    def _from_expectation(cls, expectation: Array, known: dict[str, Any]) -> Self:
        linear, square, matrix, log = _split_natural(expectation)
        loc, factor = mean_of_precision_first(join(matrix, linear))
        spread = square - jnp.sum(linear * loc, axis=-1)
        return cls._of(**_from_parts(loc, factor, spread, 2.0 * log_det(factor) + log))

    def _log_normalizer(self) -> Any:
        return self.marginal_covariance._log_normalizer() + self._size * (
            HALF_LOG_2PI - 0.5 * jnp.log(self.mean_precision)
        )

    def _sufficient_statistics(self, x: Array) -> Array:
        m, S = split_mean(x)
        factor = cholesky(S)
        z = solve_lower(factor, m)
        linear = solve_lower(factor, z, transposed=True)
        log = 2.0 * log_det(factor)
        return join(linear, jnp.sum(z * z, axis=-1)[..., None], half(linalg.inverse_gram(factor)), log[..., None])

    @classmethod
    def _added_by_gaps(cls, gaps: Array, mean: Array) -> Array:
        W, linear = _parts(mean)
        return join(jnp.zeros_like(linear), gaps[..., 1:], jnp.zeros_like(W), gaps[..., :1])

    def _fisher_information(self) -> Array:
        """T is a linear map of (W (m − loc), (m − loc)ᵀ W (m − loc), W, log det S), of which only the last two are correlated."""
        d = self._size
        of_matrix = self.marginal_covariance._fisher_information()
        of_matrix = jnp.roll(of_matrix, (-1, -1), axis=(-2, -1))  # log det comes last here
        W = beside(usable_df(self), 2) * linalg.inverse_gram(self.scale_tril)
        batch = jnp.broadcast_shapes(of_matrix.shape[:-2], W.shape[:-2], self.loc.shape[:-1], jnp.shape(self.df))
        kappa = jnp.broadcast_to(jnp.asarray(self.mean_precision), batch)[..., None, None]
        size = d + 1 + of_matrix.shape[-1]
        D = jnp.zeros((*batch, size, size), W.dtype)
        D = D.at[..., :d, :d].set(W / kappa).at[..., d : d + 1, d : d + 1].set(2.0 * d / kappa**2)
        D = D.at[..., d + 1 :, d + 1 :].set(of_matrix)
        K = jax.vmap(self._recombined, in_axes=-1, out_axes=-1)(jnp.broadcast_to(linalg.identity(D), D.shape))
        return linalg.matmul(linalg.matmul(K, D), transpose(K))

    def _recombined(self, t: Array) -> Array:
        """T from the parts about loc."""
        first, square, matrix, log = _split_natural(t)
        shift = matvec(from_half(matrix), self.loc)
        total = square + jnp.sum((2.0 * first + shift) * self.loc, axis=-1)
        return join(first + shift, total[..., None], matrix, log[..., None])

    def _fisher_solve(self, v: Array) -> Array:
        first, square, matrix, log = _split_natural(v)
        loc, kappa = self.loc, self.mean_precision
        shift = matvec(from_half(matrix), loc)
        first = first - shift
        square = square - jnp.sum((2.0 * first + shift) * loc, axis=-1)
        u1 = matvec(linalg.gram(self.scale_tril), first) * beside(kappa / usable_df(self))
        u2 = (0.5 * kappa * kappa / self._size * square)[..., None]
        rest = self.marginal_covariance._fisher_solve(join(log[..., None], matrix))
        across = half_dual(symmetric(outer(u2 * loc - u1, loc)))
        return join(u1 - 2.0 * u2 * loc, u2, rest[..., 1:] + across, rest[..., :1])

    # Maximum likelihood.

    @classmethod
    def _fit_moments(cls, e: Moments) -> tuple[Self, Outcome]:
        """That of the inverse Wishart; loc is the mean weighted by precision matrices, and d/κ its weighted scatter."""
        fit, outcome = fit_mean_and_matrix(e)
        return cls._of(**fit), outcome

    # Samples.

    def _sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        of_matrix, of_mean = jax.random.split(key)
        S = self.marginal_covariance._sample(of_matrix, shape)
        z = jax.random.normal(of_mean, (*shape, self._size), S.dtype)
        scale = beside(1.0 / jnp.sqrt(jnp.asarray(self.mean_precision)))
        return with_mean(self.loc + scale * matvec(cholesky(S), z), S)


def _one(number: Any) -> Array:
    return jnp.asarray(number)[..., None]


def _split_natural(v: Array) -> tuple[Array, Array, Array, Array]:
    """Parts of length d, 1, d(d + 1)/2 and 1."""
    d = dimension_of_half(v.shape[-1] - 1) - 1
    return v[..., :d], v[..., d], v[..., d + 1 : -1], v[..., -1]


def _from_parts(loc: Array, factor: Array, spread: Array, gap: Array) -> dict[str, Array]:
    """Parameters from the weighted mean, the factor of the mean of W, d/κ and the gap of its log det."""
    d = factor.shape[-1]
    df = degrees_from_gap(gap, d)
    scale = cholesky_of_inverse(linalg.gram(factor)) * jnp.sqrt(df)[..., None, None]
    return {"loc": loc, "mean_precision": d / jnp.where(spread > 0, spread, jnp.nan), "df": df, "scale_tril": scale}


def fit_mean_and_matrix(e: Moments) -> tuple[dict[str, Array], Outcome]:
    """Parameters of the normal-inverse-Wishart from the mean of (W, W m) and its two gaps."""
    loc, factor = mean_of_precision_first(e.mean)
    gap, spread = e.gaps[..., 0], e.gaps[..., 1]
    outcome = Outcome.first((e.count <= 0, Reason.NO_DATA), (~((gap > 0) & (spread > 0)), Reason.ALL_SAME))
    return _from_parts(loc, factor, spread, gap), outcome


def mean_given_matrix_kl(p: Any, q: Any, root: Array) -> Array:
    """E KL(N(loc_p, S/κ_p) ‖ N(loc_q, S/κ_q)), where E (loc_p − loc_q)ᵀ S⁻¹ (loc_p − loc_q) is ν ‖root‖²."""
    shift = jnp.sum(root * root, axis=-1) * (q.mean_precision * usable_df(p))
    return 0.5 * (root.shape[-1] * scale_divergence(q.mean_precision, p.mean_precision) + shift)
