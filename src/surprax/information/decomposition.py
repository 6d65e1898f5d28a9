"""The two things called surprise, and what expected surprise is made of: noise, wrongness and incoherence."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from surprax.families import Distribution
from surprax.information.entropies import divergence, entropy, family_pair, kl
from surprax.information.tables import Axes, at, in_unit, read, reals
from surprax.numerics.elementary import logsumexp
from surprax.numerics.precision import in_float64, is_traced
from surprax.units import Unit, nats_per

__all__ = ["Decomposition", "bayesian_surprise", "decompose", "shannon_surprise"]


def shannon_surprise(d: Distribution, x: ArrayLike, unit: Unit = "nat") -> Array:
    """Shannon's surprise −log p(x) of an observation: how improbable it was. Not how much it teaches (`bayesian_surprise`).

    Args:
        d: a distribution of ours, such as a predictive one.
        x: observations.
        unit: of the result: "nat", "bit", "ban" or "deciban".

    Returns:
        An array of the shape of `d.log_prob(x)`: 0 for what is certain, +inf for what is impossible, of any sign for a density.

    Raises:
        ValueError: for what is no distribution, and for an unknown unit.

    Source: Shannon (1948), section 6.

    >>> import surprax as sx
    >>> print(shannon_surprise(sx.predictive(sx.Beta(1.0, 1.0), sx.Bernoulli), 1.0).round(3))  # one success
    0.693
    """
    if not isinstance(d, Distribution):
        raise ValueError(
            f"Shannon's surprise is that of a distribution at `x`; got {type(d).__name__}. Use `surprise`."
        )
    return d.surprise(x, unit)


def bayesian_surprise(
    prior: Any = None,
    posterior: Any = None,
    unit: Unit = "nat",
    *,
    log_prior: Any = None,
    log_posterior: Any = None,
    axis: Axes = -1,
) -> Array:
    """Bayesian surprise KL(posterior ‖ prior): how far data have moved a belief. Not how improbable they were (`shannon_surprise`).

    Args:
        prior: a distribution of ours, a `Belief`, or probabilities that sum to 1 over `axis`.
        posterior: the same, of the same family or over the same outcomes (of two beliefs, with the same labels).
        unit: of the result: "nat", "bit", "ban" or "deciban".
        log_prior: log-weights in nats instead of `prior`, not necessarily normalised.
        log_posterior: the same instead of `posterior`.
        axis: the axis or axes of one table; the others are a batch.

    Returns:
        An array of the shape of the batch, ≥ 0; as `kl`.

    Raises:
        ValueError: as `kl`.

    Source: Itti & Baldi (2009), "Bayesian surprise attracts human attention", equation 2.

    >>> import surprax as sx
    >>> prior = sx.Beta(1.0, 1.0)
    >>> print(bayesian_surprise(prior, prior + sx.Bernoulli.evidence([1.0])).round(3))  # one success
    0.193
    >>> coin = sx.Belief.uniform(["fair", "two-headed"])
    >>> print(bayesian_surprise(coin, coin + [0.6931, 0.0], "bit").round(3))  # a head
    0.082
    """
    return divergence(posterior, prior, log_posterior, log_prior, axis, unit, names=("posterior", "prior"))


@dataclass(frozen=True, slots=True)
class Decomposition:
    """What the expected surprise of a player is made of, in `unit`; it prints as a table.

    expected_surprise = entropy (noise: no player can remove it) + kl (wrongness: what this one adds) + incoherence, log 1/Z with
    the Kraft sum Z = Σ exp(−S(x)), which is 0 for a player whose surprises are those of a distribution.
    """

    expected_surprise: float
    entropy: float
    kl: float
    incoherence: float
    kraft_sum: float
    unit: Unit
    coherent: bool
    """Whether a distribution was given, so that the Kraft sum is 1."""

    @property
    def cross_entropy(self) -> float:
        """Expected surprise of the player's distribution, entropy + kl: without what incoherence costs."""
        return self.entropy + self.kl

    def __str__(self) -> str:
        total = "cross-entropy" if self.coherent else "expected surprise"
        rows = [("entropy H(p)", self.entropy, "noise: no player can remove it")]
        rows += [("+ KL(p ‖ q)", self.kl, "wrongness: what this player adds")]
        if not self.coherent:
            rows += [("+ log 1/Z", self.incoherence, self._verdict())]
        rows += [(f"= {total}", self.expected_surprise, "")]
        numbers = [f"{value:.4f}" for _, value, _ in rows]
        wide, broad = max(len(name) for name, _, _ in rows), max(map(len, (*numbers, self.unit)))
        lines = [f"{'':{wide}}  {self.unit:>{broad}}"]
        lines += [
            f"{name:{wide}}  {number:>{broad}}  {words}".rstrip() for (name, _, words), number in zip(rows, numbers)
        ]
        lines.insert(-1, "-" * (wide + 2 + broad))
        return "\n".join(lines)

    def _verdict(self) -> str:
        z = f"incoherence: Kraft sum Z = {self.kraft_sum:.4g}"
        if abs(self.kraft_sum - 1.0) < 1e-9:
            return f"{z}, coherent"
        return f"{z} < 1, more surprise than needed" if self.kraft_sum < 1 else f"{z} > 1, which is not allowed"


def decompose(
    p: Any = None,
    q: Any = None,
    unit: Unit = "nat",
    *,
    surprise: Any = None,
    log_p: Any = None,
    log_q: Any = None,
) -> Decomposition:
    """What the expected surprise E_p[S] = H(p) + KL(p ‖ q) + log 1/Z of a player is made of.

    A player who believes a distribution q has the surprises S = log 1/q, and Z = 1. Any other surprises have a Kraft sum
    Z = Σ exp(−S(x)) and a distribution q = exp(−S)/Z. A player with Z > 1 claims to be less surprised than is possible.

    Args:
        p: the truth: probabilities that sum to 1, in one axis, a `Belief`, or a distribution of ours.
        q: the player's distribution, over the same outcomes (of two beliefs, with the same labels), or of the same family.
        unit: of `surprise` and of the result: "nat", "bit", "ban" or "deciban".
        surprise: the player's surprises S(x) in `unit` instead of `q`, one for each outcome; inf for what is held impossible.
        log_p: log-weights in nats instead of `p`, not necessarily normalised.
        log_q: the same instead of `q`.

    Returns:
        A `Decomposition` of numbers, which prints as a table.

    Raises:
        ValueError: for what is no distribution, with its index; for surprises that are nan or -inf, or all inf; for traced numbers.

    Source: Kraft (1949); McMillan (1956), "Two inequalities implied by unique decipherability"; Cover & Thomas (2006),
    theorem 5.4.3.

    >>> print(decompose([0.5, 0.3, 0.2], surprise=[1.2, 2.5, 3.0], unit="bit"))
                            bit
    entropy H(p)         1.4855  noise: no player can remove it
    + KL(p ‖ q)          0.0244  wrongness: what this player adds
    + log 1/Z            0.4402  incoherence: Kraft sum Z = 0.7371 < 1, more surprise than needed
    ---------------------------
    = expected surprise  1.9500
    """
    if is_traced(p, q, surprise, log_p, log_q):
        raise ValueError(
            "A report is made of known numbers; got traced ones. Use `entropy`, `kl` and `cross_entropy` under jit."
        )
    if surprise is not None and (q is not None or log_q is not None):
        raise ValueError("A player has a distribution `q` or surprises `surprise`, one of them; got both.")
    pair = family_pair(p, q, log_p, log_q) if surprise is None else None
    if pair is not None:
        if np.size(pair[0].entropy()) * np.size(pair[0].kl(pair[1])) != 1:
            raise ValueError(
                "A report is about one pair of distributions; got a batch. Use `entropy`, `kl` and `cross_entropy`."
            )
        noise, wrong = float(np.ravel(pair[0].entropy(unit))[0]), float(np.ravel(pair[0].kl(pair[1], unit))[0])
        return Decomposition(noise + wrong, noise, wrong, 0.0, 1.0, unit, coherent=True)
    if isinstance(p, Distribution):
        raise ValueError(
            "Surprises of single outcomes are held against a table of probabilities; got a member of a family as `p`."
        )
    truth = read(p, log_p)
    if truth.value.ndim != 1:
        raise ValueError(f"A report is about one distribution; got shape {truth.value.shape}. Use `entropy` and `kl`.")
    noise = float(entropy(p, unit, log_p=log_p))
    if surprise is None:
        wrong = float(kl(p, q, unit, log_p=log_p, log_q=log_q))
        return Decomposition(noise + wrong, noise, wrong, 0.0, 1.0, unit, coherent=True)
    s = _surprises(surprise, truth.value.size) * nats_per(unit)
    wrong = float(kl(p, None, unit, log_p=log_p, log_q=-s))
    log_z, expected = _kraft(s, truth.value, by_log=truth.by_log)
    incoherence = float(in_unit(0.0 - log_z, unit))
    return Decomposition(
        float(in_unit(expected, unit)), noise, wrong, incoherence, float(np.exp(log_z)), unit, coherent=False
    )


def _surprises(surprise: Any, size: int) -> Any:
    s = reals(surprise, "Surprises")
    if s.shape != (size,):
        raise ValueError(f"There is one surprise for each of {size} outcomes; got an array of shape {s.shape}.")
    if np.any(bad := ~(s > -np.inf)):
        index = np.argwhere(bad)[0]
        raise ValueError(
            f"A surprise is a number, or inf for what is held impossible; got {s[tuple(index)]:g}{at(index)}."
        )
    if np.all(s == np.inf):
        raise ValueError("At least one outcome is held possible; all surprises are inf.")
    return s


@in_float64(static_argnames=("by_log",))
def _kraft(s: Array, p: Array, *, by_log: bool) -> tuple[Array, Array]:
    """log Z, and E_p[S] by its definition."""
    p = jnp.exp(p - logsumexp(p)) if by_log else p
    return logsumexp(-s), jnp.sum(jnp.where(p > 0, p * jnp.where(p > 0, s, 0.0), 0.0))
