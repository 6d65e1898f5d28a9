"""Hidden Markov models: beliefs about a state that moves, seen through emissions of any family.

A chain of hidden states z₁, z₂, … starts from `initial`, moves by `transition` and emits an observation at each step,

    P(z, x) = P(z₁) Π P(zₜ₊₁ | zₜ) Π p(xₜ | zₜ).

A belief about the state is a vector of surprises: a step of the chain mixes it, an observation adds to it.
"""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.beliefs import chain_passes as passes
from surprax.beliefs.chain_fit import baum_welch, seen_rows
from surprax.beliefs.chain_outcomes import ChainFit, Filtered, LikeliestPath, Smoothed, outcome_of
from surprax.beliefs.chain_sequences import Sequences, as_rows, as_sequences, observed
from surprax.beliefs.chain_starts import best_climb
from surprax.beliefs.mixture_components import free_numbers
from surprax.families.base import Distribution
from surprax.families.batches import map_parameters
from surprax.families.categorical import log_probabilities
from surprax.numerics.elementary import argmax
from surprax.numerics.precision import float64_scope, is_traced

__all__ = ["HiddenMarkov"]


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True, eq=False, repr=False, init=False)
class HiddenMarkov:
    """A hidden Markov model: a chain of K states, each of which emits observations from a distribution of its own.

    Args:
        initial: probabilities of the first state, shape (K,).
        transition: probabilities of the next state (last axis) given this one, shape (K, K); or (T − 1, K, K), one matrix to
            each step, for sequences of length T. Zeros are allowed, and exact.
        emission: a distribution of any family with batch shape (K,), also of vectors.
        log_initial, log_transition: instead of the two, their logarithms in nats up to constants (−∞ for 0).

    Observations `x` of the methods are one sequence, of shape (T,) + event; or a batch of them (B, T) + event, with `lengths`
    (B,) where they end before T; or a list of sequences of any lengths. Rows that are NaN (all of an observation), or for which
    `mask` is false, are missing, which costs nothing. Results for a batch have the axis B in front.

    The passes run step by step, in O(T K²); those of a few chains of 1,024 steps or more in blocks side by side, where these turn
    out to have forgotten where they started (`chain_blocks`). With `parallel=True` they are associative scans of log-space matrix
    products, in O(T K³) work but O(log T) steps, for accelerators; by default only there, if K ≤ 64.
    Each length compiles anew, which takes seconds for these.

    The pytree's leaves are `log_initial`, `log_transition` and the parameters of `emission`; derivatives of the log-likelihood in
    them are expected numbers. An impossible sequence has log-likelihood −∞, gradients 0, and an outcome that says so.

    Source: Rabiner (1989), "A tutorial on hidden Markov models"; Särkkä & García-Fernández (2021) for the parallel form.

    Raises:
        ValueError: where probabilities do not add up to 1 or shapes do not fit; NaN follows where they are traced.

    >>> from surprax.families import Normal
    >>> model = HiddenMarkov([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], Normal(np.array([0.0, 3.0]), 1.0))
    >>> x = [0.1, -0.4, 2.8, float("nan"), 3.3]
    >>> print(model.smooth(x).probabilities[:, 1].round(2))
    [0.   0.   0.95 0.95 1.  ]
    >>> print(model.viterbi(x).states)
    [0 0 1 1 1]
    >>> print(model.log_likelihood(x))
    -7.287
    """

    log_initial: Any
    log_transition: Any
    emission: Any

    def __init__(
        self,
        initial: Any = None,
        transition: Any = None,
        emission: Any = None,
        *,
        log_initial: Any = None,
        log_transition: Any = None,
    ) -> None:
        log_p = log_probabilities("HiddenMarkov, initial", initial, log_initial)
        log_m = log_probabilities("HiddenMarkov, transition", transition, log_transition)
        if not isinstance(emission, Distribution):
            raise TypeError(
                f"HiddenMarkov: emission must be a distribution with one entry for each state; got {emission!r}."
            )
        k = np.shape(log_p)[-1]
        if np.ndim(log_p) != 1 or np.ndim(log_m) not in (2, 3) or np.shape(log_m)[-2:] != (k, k):
            raise ValueError(
                "HiddenMarkov: initial has shape (K,) and transition (K, K), or (T − 1, K, K) where it varies; got shapes"
                f" {np.shape(log_p)} and {np.shape(log_m)}."
            )
        if emission.batch_shape != (k,):
            raise ValueError(
                f"HiddenMarkov: emission needs one distribution for each of {k} states, as a batch of shape ({k},); got a batch of"
                f" shape {emission.batch_shape}."
            )
        for name, value in (("log_initial", log_p), ("log_transition", log_m), ("emission", emission)):
            object.__setattr__(self, name, value)

    @classmethod
    def _of(cls, log_initial: Any, log_transition: Any, emission: Any) -> Self:
        """A model of these leaves, unchecked."""
        model = object.__new__(cls)
        for name, value in (("log_initial", log_initial), ("log_transition", log_transition), ("emission", emission)):
            object.__setattr__(model, name, value)
        return model

    def tree_flatten(self) -> tuple[tuple[Any, ...], None]:
        return (self.log_initial, self.log_transition, self.emission), None

    def tree_flatten_with_keys(self) -> tuple[tuple[Any, ...], None]:
        names = ("log_initial", "log_transition", "emission")
        return tuple((jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in names), None

    @classmethod
    def tree_unflatten(cls, _: None, leaves: Iterable[Any]) -> Self:
        return cls._of(*leaves)

    # What it is made of.

    @property
    def num_states(self) -> int:
        """K, the number of hidden states."""
        return int(np.shape(self.log_initial)[-1])

    @property
    def initial(self) -> Array:
        """Probabilities of the first state, shape (K,)."""
        return jnp.exp(jnp.asarray(self.log_initial))

    @property
    def transition(self) -> Array:
        """Probabilities of the next state (last axis) given this one, shape (K, K) or (T − 1, K, K)."""
        return jnp.exp(jnp.asarray(self.log_transition))

    def __repr__(self) -> str:
        def told(x: Any) -> str:
            if is_traced(x) or not hasattr(x, "shape"):
                return str(x)
            text = np.array2string(np.exp(np.asarray(x, np.float64)), precision=4, separator=", ", threshold=16)
            return " ".join(text.split())

        return f"HiddenMarkov(initial={told(self.log_initial)}, transition={told(self.log_transition)}, emission={self.emission!r})"

    def stationary(self) -> Array:
        """The distribution of states π that a step leaves as it is, πᵀP = πᵀ, shape (K,); NaN where `transition` varies.

        That of a state after very many steps, if from every state one can come to every other. Where that is not so there may be
        several; it is then NaN or infinite.

        >>> from surprax.families import Normal
        >>> model = HiddenMarkov([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], Normal(np.array([0.0, 3.0]), 1.0))
        >>> print(model.stationary().round(4))
        [0.6667 0.3333]
        """
        p = self.transition
        if p.ndim == 3:
            return jnp.full(p.shape[-1], jnp.nan, p.dtype)
        # π (I − P + U) = 1, where U is a matrix of ones: Zucchini & MacDonald (2009), exercise 1.8.
        return jnp.linalg.solve((jnp.eye(len(p), dtype=p.dtype) - p + 1.0).T, jnp.ones(len(p), p.dtype))

    # Inference.

    def log_likelihood(self, x: Any, *, mask: Any = None, lengths: Any = None, parallel: bool | None = None) -> Array:
        """log P(x₁ … x_T) in nats, summed over all paths; −∞ where no path can produce x. Shape () or (B,).

        >>> from surprax.families import Bernoulli
        >>> coin = HiddenMarkov([1.0, 0.0], [[0.5, 0.5], [0.0, 1.0]], Bernoulli(np.array([0.5, 1.0])))
        >>> print(jnp.exp(coin.log_likelihood([1, 1])), coin.log_likelihood([0, 1, 0, 1, 1]))
        0.375 -3.840
        """
        s = as_sequences(self, x, mask, lengths)
        return s.out(_log_likelihood(self, s, parallel=self._parallel(parallel)))

    def filter(self, x: Any, *, mask: Any = None, lengths: Any = None, parallel: bool | None = None) -> Filtered:
        """Beliefs about each state given the observations up to it: log P(zₜ | x₁ … xₜ), shape (…, T, K)."""
        s = as_sequences(self, x, mask, lengths)
        return s.out(_filter(self, s, parallel=self._parallel(parallel)))

    def smooth(
        self, x: Any, *, mask: Any = None, lengths: Any = None, pairwise: bool = False, parallel: bool | None = None
    ) -> Smoothed:
        """Beliefs about each state given all observations: log P(zₜ | x₁ … x_T), shape (…, T, K).

        With `pairwise`, also about each two in a row: log P(zₜ, zₜ₊₁ | x₁ … x_T), shape (…, T − 1, K, K).
        """
        s = as_sequences(self, x, mask, lengths)
        return s.out(_smooth(self, s, pairwise=pairwise, parallel=self._parallel(parallel)))

    def viterbi(self, x: Any, *, mask: Any = None, lengths: Any = None, parallel: bool | None = None) -> LikeliestPath:
        """The path of hidden states of greatest probability given x, and its log P(path, x) in nats."""
        s = as_sequences(self, x, mask, lengths)
        return s.out(_viterbi(self, s, parallel=self._parallel(parallel)))

    def _parallel(self, parallel: bool | None) -> bool:
        return (jax.default_backend() != "cpu" and self.num_states <= 64) if parallel is None else bool(parallel)

    # Samples.

    def sample(self, key: Array, length: int) -> tuple[Array, Array]:
        """A path of `length` states (length,), and an observation of each, (length,) + event; `key` is a JAX random key."""
        if length < 1 or (np.ndim(self.log_transition) == 3 and length > 1 + np.shape(self.log_transition)[0]):
            most = "" if np.ndim(self.log_transition) == 2 else f" and at most {1 + np.shape(self.log_transition)[0]}"
            raise ValueError(f"A sample has a length of at least 1{most}; got {length}.")
        return _sample(self, key, length=int(length))

    # Maximum likelihood.

    def fit(
        self,
        x: Any,
        *,
        mask: Any = None,
        lengths: Any = None,
        iterations: int = 500,
        tolerance: float = 1e-6,
        **known: Any,
    ) -> tuple[Self, ChainFit]:
        """Maximum likelihood from here, by expectation and maximisation (Baum & Welch 1970), in float64.

        Each iteration smooths all sequences, and takes probabilities of the chain from expected numbers, and emissions from
        weighted evidence by `type(emission).try_fit`. The likelihood never falls; which maximum it climbs depends on the start.
        Zeros of the start stay zeros. An emission that would degenerate (to no spread, or of a state with no rows) is held.

        Args:
            x, mask, lengths: observations, known numbers; several sequences are independent.
            iterations: at most so many.
            tolerance: stop when an iteration gains less than this, in nats per sequence.
            known: parameters of the emissions that are held at a known value, by name, where their family allows it. Those
                that the family needs to know (as numbers of trials) are taken from `emission`.

        Returns:
            The fitted model, and a `ChainFit`: `converged`, `iterations`, `log_likelihoods` and a sentence that says how it ended.

        >>> from surprax.families import Poisson
        >>> start = HiddenMarkov([0.5, 0.5], [[0.8, 0.2], [0.2, 0.8]], Poisson(np.array([1.0, 5.0])))
        >>> model, outcome = start.fit([0, 1, 0, 2, 9, 7, 8, 11, 1, 0, 1, 0, 0, 10, 9])
        >>> print(model.emission.rate.round(3), outcome.converged)
        [0.546 8.925] True
        """
        return baum_welch(self, as_sequences(self, x, mask, lengths), iterations, tolerance, known)

    @classmethod
    def fit_family(
        cls,
        family: type[Distribution],
        num_states: int,
        x: Any,
        *,
        key: Any = None,
        starts: int = 8,
        mask: Any = None,
        lengths: Any = None,
        iterations: int = 500,
        tolerance: float = 1e-6,
        **known: Any,
    ) -> tuple[Self, ChainFit]:
        """Maximum likelihood of K states that emit from a family, with no start to be thought of: the best of several climbs.

        A start divides the observations, regardless of their order, into K parts: a state emits what its part does, and states
        follow each other as parts do. Starts by chance climb for 40 iterations, and the best four of them on.

        Args:
            family: of the emissions, such as `Poisson` or `MultivariateNormal`: any that has a fit.
            num_states: K, at least 1.
            x, mask, lengths, iterations, tolerance, known: as in `fit`; `known` also what the family needs to know.
            key: JAX random key, for `starts` more starts by k-means++. Without it, four starts that need no luck: slices of
                equal weight across the widest direction, the same after their centres have settled, shells around the middle,
                and centres far apart.

        Returns:
            The fitted model, its states in order of the mean where observations are numbers, and its `ChainFit`. A climb that
            had to hold an emission (see `fit`) is returned only where all had to.

        Raises:
            ValueError: for fewer different observations than states, or where no start has a likelihood.
            TypeError: for what is not a family.

        >>> from surprax.families import Poisson
        >>> model, outcome = HiddenMarkov.fit_family(Poisson, 2, [0, 1, 0, 2, 9, 7, 8, 11, 1, 0, 1, 0, 0, 10, 9])
        >>> print(model.emission.rate.round(3), outcome.converged)
        [0.546 8.925] True
        """
        if not (isinstance(family, type) and issubclass(family, Distribution)):
            raise TypeError(f"fit_family takes a family of distributions, such as Poisson; got {family!r}.")
        if isinstance(num_states, bool) or not isinstance(num_states, int | np.integer) or num_states < 1:
            raise ValueError(f"A chain has a whole number of states, at least 1; got {num_states!r}.")
        s = as_rows(family, x, mask, lengths)
        return best_climb(cls, family, int(num_states), s, key, starts, iterations, tolerance, known)

    def free_parameters(self) -> int:
        """How many numbers a fit adjusts: K − 1 of `initial`, K (K − 1) of each matrix of `transition`, and those of the emissions.

        Zeros of a start, which stay zeros, are counted too: give `aic` and `bic` a number of your own if there are any.

        >>> from surprax.families import Normal
        >>> HiddenMarkov([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], Normal(np.array([0.0, 3.0]), 1.0)).free_parameters()
        7
        """
        k = self.num_states
        matrices = np.shape(self.log_transition)[0] if np.ndim(self.log_transition) == 3 else 1
        held = {"total_count"} & set(self.emission.known_parameters)  # see `fit`
        return (k - 1) + matrices * k * (k - 1) + free_numbers(self.emission, dict.fromkeys(held, 0.0))

    def aic(self, x: Any, *, mask: Any = None, lengths: Any = None, free: int | None = None) -> float:
        """Akaike's criterion 2·free − 2·log-likelihood; less is better. `free`: number of fitted parameters, if not all are."""
        total, _, number = self._scores(x, mask, lengths, free)
        return 2.0 * number - 2.0 * total

    def bic(self, x: Any, *, mask: Any = None, lengths: Any = None, free: int | None = None) -> float:
        """Schwarz's criterion log(n)·free − 2·log-likelihood, n the number of observations that are not missing; less is better.

        `free`: number of fitted parameters, if not all are.
        """
        total, rows, number = self._scores(x, mask, lengths, free)
        return float(np.log(rows)) * number - 2.0 * total

    def _scores(self, x: Any, mask: Any, lengths: Any, free: int | None) -> tuple[float, int, int]:
        """Total log-likelihood, number of observations, number of free parameters."""
        s = as_sequences(self, x, mask, lengths)
        with float64_scope():
            total = np.sum(np.asarray(_log_likelihood(self, s, parallel=self._parallel(None)), np.float64))
        return float(total), int(seen_rows(s).sum()), self.free_parameters() if free is None else free


# Compiled once for each family and shape. Passes have time first, results the batch.


@functools.partial(jax.jit, static_argnames="parallel")
def _log_likelihood(model: HiddenMarkov, s: Sequences, parallel: bool) -> Array:
    return passes.log_evidence(observed, (model, s), parallel)


def _inside(x: Array, valid: Array, log_likelihood: Array) -> Array:
    """Time-first log-probabilities, batch first, and −∞ where there is no row or no path."""
    rest = (1,) * (x.ndim - 2)
    some = valid & ~jnp.isneginf(log_likelihood)[None]
    return jnp.swapaxes(jnp.where(some.reshape(some.shape + rest), x, -jnp.inf), 0, 1)


@functools.partial(jax.jit, static_argnames="parallel")
def _filter(model: HiddenMarkov, s: Sequences, parallel: bool) -> Filtered:
    valid = s.valid().T
    now, increment = passes.filter_all(observed, (model, s), parallel)
    log_p = jnp.sum(jnp.where(valid, increment, 0.0), axis=0)
    possible_so_far = jnp.zeros_like(log_p)  # the beginning of an impossible sequence may be possible
    return Filtered(_inside(now, valid, possible_so_far), log_p, outcome_of(log_p))


@functools.partial(jax.jit, static_argnames=("pairwise", "parallel"))
def _smooth(model: HiddenMarkov, s: Sequences, pairwise: bool, parallel: bool) -> Smoothed:
    valid = s.valid().T
    if not pairwise:
        states, increment = passes.smooth_all(observed, (model, s), parallel)
        log_p = jnp.sum(jnp.where(valid, increment, 0.0), axis=0)
        return Smoothed(_inside(states, valid, log_p), None, log_p, outcome_of(log_p))
    initial, step, e, _ = observed(model, s)
    now, increment = passes.filtered(passes.forward(initial, step, e, parallel), e)
    later = passes.backward(step, e, parallel)
    states, log_p = passes.smoothed(now, later), jnp.sum(jnp.where(valid, increment, 0.0), axis=0)
    pairs = _inside(passes.pairs(now, later, step, e), valid[1:], log_p)
    return Smoothed(_inside(states, valid, log_p), pairs, log_p, outcome_of(log_p))


@functools.partial(jax.jit, static_argnames="parallel")
def _viterbi(model: HiddenMarkov, s: Sequences, parallel: bool) -> LikeliestPath:
    initial, step, e, valid = observed(model, s)
    states = passes.likeliest(initial, step, e, valid, parallel)
    # The log-probability is added up along the path, which keeps more digits than what the recursion carries.
    total = initial[states[0]] + jnp.sum(jnp.where(valid, _taken(e, states[..., None])[..., 0], 0.0), axis=0)
    if len(states) > 1:
        here, there = states[:-1], states[1:]
        moves = step[here, there] if step.ndim == 2 else step[jnp.arange(len(step))[:, None], here, there]
        total = total + jnp.sum(jnp.where(valid[1:], moves, 0.0), axis=0)
    # A parameter that is not a number may lie off the path.
    unknown = jnp.any(jnp.isnan(initial)) | jnp.any(jnp.isnan(step)) | jnp.any(jnp.isnan(e), axis=(0, 2))
    total = jnp.where(unknown, jnp.nan, total)
    some = valid & (total > -jnp.inf)[None]
    return LikeliestPath(jnp.where(some, states, -1).T, total, outcome_of(total))


def _taken(x: Array, index: Array) -> Array:
    return jnp.take_along_axis(x, index, axis=-1)


@functools.partial(jax.jit, static_argnames="length")
def _sample(model: HiddenMarkov, key: Array, length: int) -> tuple[Array, Array]:
    for_states, for_emissions = jax.random.split(key)
    dtype = jnp.result_type(float)
    # The greatest of log p + Gumbel noise is a draw from p.
    noise = jax.random.gumbel(for_states, (length, model.num_states), dtype)
    initial, step = (jnp.asarray(v, dtype) for v in (model.log_initial, model.log_transition))
    first = argmax(initial + noise[0])

    def move(state: Array, item: Any) -> tuple[Array, Array]:
        noise, m = item if step.ndim == 3 else (item, step)
        state = argmax(m[state] + noise)
        return state, state

    items = (noise[1:], step[: length - 1]) if step.ndim == 3 else noise[1:]
    _, states = jax.lax.scan(move, first, items)
    states = jnp.concatenate([first[None], states])
    emission = map_parameters(lambda leaf, _: jnp.asarray(leaf), model.emission)
    return states, emission[states].sample(for_emissions)
