"""Families of whole numbers. Source: Johnson, Kemp & Kotz (2005); expectations of log-factorials by Malmstén's integral."""

from typing import Any

import mpmath as mp
import numpy as np

from benchmarks.accuracy.grids import Columns, beyond, log_uniform, near, scores, signed
from benchmarks.accuracy.oracle import Oracle
from benchmarks.accuracy.special import beta_tails, gamma_tails, mean_log_gamma, softplus

__all__ = ["ORACLES", "whole"]


def whole(x: np.ndarray, low: Any = 0.0, high: Any = np.inf) -> np.ndarray:
    return np.clip(np.round(x), low, high)


def sigmoid(logits: Any) -> Any:
    return 1 / (1 + mp.exp(-logits))


counts = lambda *theta: (0.0, np.inf)  # noqa: E731

# Bernoulli.


def trial(x: Any, logits: Any) -> Any:
    return -softplus(logits if x == 0 else -logits) if x in (0, 1) else -mp.inf


def trial_entropy(logits: Any) -> Any:
    return sigmoid(logits) * softplus(-logits) + sigmoid(-logits) * softplus(logits)


def trial_divergence(p: Any, q: Any) -> Any:
    return sigmoid(p) * (softplus(-q) - softplus(-p)) + sigmoid(-p) * (softplus(q) - softplus(p))


def logits_near(u: Columns, logits: np.ndarray) -> tuple[np.ndarray]:
    return (near(logits, u()),)


BERNOULLI = Oracle(
    settings=lambda u: (signed(u(), 1e-4, 80.0),),
    points=lambda u, logits: beyond(np.round(u()), 2.0),
    log_density=trial,
    log_tails=lambda x, logits: (-softplus(logits), -softplus(-logits)),
    entropy=trial_entropy,
    kl=trial_divergence,
    log_normalizer=softplus,
    expectation=lambda logits: (sigmoid(logits),),
    from_expectation=lambda means: (mp.log(means[0] / (1 - means[0])),),
    others=logits_near,
    support=lambda logits: (0.0, 1.0),
    numpyro=lambda dist, logits: dist.Bernoulli(logits=logits),
    scipy=lambda st, logits: st.bernoulli(1 / (1 + np.exp(-logits))),
)

# Binomial.


def binomial_settings(u: Columns) -> tuple[np.ndarray, np.ndarray]:
    return np.floor(log_uniform(u(), 1.0, 1e6)), signed(u(), 1e-3, 15.0)


def binomial_points(u: Columns, n: np.ndarray, logits: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-logits))
    return beyond(whole(n * p + scores(u()) * np.sqrt(n * p * (1 - p)), 0.0, n), n + 1)


def binomial_mass(x: Any, n: Any, logits: Any) -> Any:
    if not 0 <= x <= n:
        return -mp.inf
    coefficient = mp.loggamma(n + 1) - mp.loggamma(x + 1) - mp.loggamma(n - x + 1)
    return coefficient - x * softplus(-logits) - (n - x) * softplus(logits)


def binomial_entropy(n: Any, logits: Any) -> Any:
    def mean_log_factorial(logits: Any) -> Any:
        p, q = sigmoid(logits), sigmoid(-logits)
        return mean_log_gamma(1, n * p, lambda t: (q + p * mp.exp(-t)) ** n, max(1, n * p))

    both = mean_log_factorial(logits) + mean_log_factorial(-logits)
    return n * trial_entropy(logits) - mp.loggamma(n + 1) + both


BINOMIAL = Oracle(
    settings=binomial_settings,
    points=binomial_points,
    log_density=binomial_mass,
    log_tails=lambda x, n, logits: beta_tails(n - x, x + 1, sigmoid(-logits), sigmoid(logits)),
    entropy=binomial_entropy,
    kl=lambda n, p, _, q: n * trial_divergence(p, q),
    log_normalizer=lambda n, logits: n * softplus(logits),
    expectation=lambda n, logits: (n * sigmoid(logits),),
    from_expectation=lambda means, n: (n, mp.log(means[0] / (n - means[0]))),
    others=lambda u, n, logits: (n, near(logits, u())),
    exact=("total_count",),
    support=lambda n, logits: (0.0, n),
    numpyro=lambda dist, n, logits: dist.Binomial(total_count=n, logits=logits),
    scipy=lambda st, n, logits: st.binom(n, 1 / (1 + np.exp(-logits))),
    fewer={"entropy": 12},
)

# Categorical, of four.


def log_probabilities(logits: list[Any]) -> list[Any]:
    total = mp.log(mp.fsum(mp.exp(v) for v in logits))
    return [v - total for v in logits]


def categorical_tails(x: Any, logits: list[Any]) -> tuple[Any, Any]:
    log_p = log_probabilities(logits)
    lower, upper = (mp.log(mp.fsum(mp.exp(v) for v in part)) for part in (log_p[: int(x) + 1], log_p[int(x) + 1 :]))
    return lower, upper


def categorical_divergence(p: list[Any], q: list[Any]) -> Any:
    return mp.fsum(mp.exp(a) * (a - b) for a, b in zip(log_probabilities(p), log_probabilities(q)))


def categorical_others(u: Columns, logits: np.ndarray) -> tuple[np.ndarray]:
    return (np.stack([near(logits[:, k], u()) for k in range(4)], axis=1),)


CATEGORICAL = Oracle(
    settings=lambda u: (np.stack([signed(u(), 1e-3, 40.0) for _ in range(4)], axis=1),),
    points=lambda u, logits: beyond(np.floor(4 * u()), 4.0),
    log_density=lambda x, logits: log_probabilities(logits)[int(x)] if 0 <= x < 4 else -mp.inf,
    log_tails=categorical_tails,
    entropy=lambda logits: -mp.fsum(v * mp.exp(v) for v in log_probabilities(logits)),
    kl=categorical_divergence,
    log_normalizer=lambda logits: -log_probabilities(logits)[-1],
    expectation=lambda logits: tuple(mp.exp(v) for v in log_probabilities(logits)[:-1]),
    from_expectation=lambda p: ([*(mp.log(v) for v in p), mp.log1p(-mp.fsum(p))],),
    others=categorical_others,
    support=lambda logits: (0.0, 3.0),
    numpyro=lambda dist, logits: dist.Categorical(logits=logits),
)

# Poisson.


def poisson_points(u: Columns, rate: np.ndarray) -> np.ndarray:
    far = log_uniform(u(), 1.0, 1e6)
    return beyond(np.where(u() < 0.7, whole(rate + scores(u()) * np.sqrt(rate)), whole(far)), -1.0)


def poisson_entropy(rate: Any) -> Any:
    mean = mean_log_gamma(1, rate, lambda t: mp.exp(rate * mp.expm1(-t)), max(1, rate))
    return rate - rate * mp.log(rate) + mean


POISSON = Oracle(
    settings=lambda u: (log_uniform(u(), 1e-6, 1e7),),
    points=poisson_points,
    log_density=lambda x, rate: x * mp.log(rate) - rate - mp.loggamma(x + 1) if x >= 0 else -mp.inf,
    log_tails=lambda x, rate: gamma_tails(x + 1, rate)[::-1],
    entropy=poisson_entropy,
    kl=lambda p, q: p * mp.log(p / q) - p + q,
    log_normalizer=lambda rate: rate,
    expectation=lambda rate: (rate,),
    from_expectation=lambda means: (means[0],),
    support=counts,
    numpyro=lambda dist, rate: dist.Poisson(rate),
    scipy=lambda st, rate: st.poisson(rate),
    fewer={"entropy": 16},
)

# Geometric: failures before a success.

GEOMETRIC = Oracle(
    settings=lambda u: (signed(u(), 1e-3, 15.0),),
    points=lambda u, logits: beyond(whole(np.exp(-logits) * log_uniform(u(), 1e-3, 60.0)), -1.0),
    log_density=lambda x, logits: -softplus(-logits) - x * softplus(logits) if x >= 0 else -mp.inf,
    log_tails=lambda x, logits: (mp.log(-mp.expm1(-(x + 1) * softplus(logits))), -(x + 1) * softplus(logits)),
    entropy=lambda logits: trial_entropy(logits) / sigmoid(logits),
    kl=lambda p, q: trial_divergence(p, q) / sigmoid(p),
    log_normalizer=lambda logits: softplus(-logits),
    expectation=lambda logits: (mp.exp(-logits),),
    from_expectation=lambda means: (-mp.log(means[0]),),
    others=logits_near,
    support=counts,
    numpyro=lambda dist, logits: dist.Geometric(logits=logits),
    scipy=lambda st, logits: st.geom(1 / (1 + np.exp(-logits)), loc=-1),
)

# NegativeBinomial, by mean and concentration.


def negative_binomial_points(u: Columns, mean: np.ndarray, r: np.ndarray) -> np.ndarray:
    far = log_uniform(u(), 1.0, 1e6)
    return beyond(
        np.where(u() < 0.7, whole(mean + scores(u()) * np.sqrt(mean + mean**2 / r), 0, 1e7), whole(far)), -1.0
    )


def negative_binomial_mass(x: Any, mean: Any, r: Any) -> Any:
    if x < 0:
        return -mp.inf
    coefficient = mp.loggamma(x + r) - mp.loggamma(r) - mp.loggamma(x + 1)
    return coefficient - r * mp.log1p(mean / r) - x * mp.log1p(r / mean)


def mean_log_gamma_of_count(a: Any, mean: Any, r: Any) -> Any:
    """E log Γ(X + a) for X negative binomial."""
    return mean_log_gamma(a, mean, lambda t: (1 - mean / r * mp.expm1(-t)) ** -r, max(1, mean, mean / r))


def negative_binomial_entropy(mean: Any, r: Any) -> Any:
    ways = mean_log_gamma_of_count(r, mean, r) - mp.loggamma(r) - mean_log_gamma_of_count(mp.mpf(1), mean, r)
    return r * mp.log1p(mean / r) + mean * mp.log1p(r / mean) - ways


def negative_binomial_divergence(mean: Any, r: Any, other: Any, s: Any) -> Any:
    ways = mean_log_gamma_of_count(r, mean, r) - mean_log_gamma_of_count(s, mean, r) - mp.loggamma(r) + mp.loggamma(s)
    misses = s * mp.log1p(other / s) - r * mp.log1p(mean / r)
    return ways + misses + mean * (mp.log1p(s / other) - mp.log1p(r / mean))


NEGATIVE_BINOMIAL = Oracle(
    settings=lambda u: (log_uniform(u(), 1e-4, 1e6), log_uniform(u(), 1e-3, 1e8)),
    narrower=lambda u: (log_uniform(u(), 1e-3, 1e4), log_uniform(u(), 1e-1, 1e5)),
    points=negative_binomial_points,
    log_density=negative_binomial_mass,
    log_tails=lambda x, mean, r: beta_tails(r, x + 1, r / (r + mean), mean / (r + mean)),
    entropy=negative_binomial_entropy,
    kl=negative_binomial_divergence,
    log_normalizer=lambda mean, r: r * mp.log1p(mean / r),
    expectation=lambda mean, r: (mean,),
    from_expectation=lambda means, r: (means[0], r),
    support=counts,
    numpyro=lambda dist, mean, r: dist.NegativeBinomial2(mean, r),
    scipy=lambda st, mean, r: st.nbinom(r, r / (r + mean)),
    fewer={"entropy": 10, "kl": 6},
)

ORACLES = {
    "Bernoulli": BERNOULLI,
    "Binomial": BINOMIAL,
    "Categorical": CATEGORICAL,
    "Poisson": POISSON,
    "Geometric": GEOMETRIC,
    "NegativeBinomial": NEGATIVE_BINOMIAL,
}
