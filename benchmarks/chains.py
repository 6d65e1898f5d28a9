"""Hidden Markov chains against hmmlearn and Dynamax, and products of log-matrices against terms that are added one by one.

Chains have normal emissions and 100,000 observations. What is timed is from observations to the answer: every entrant evaluates
the densities of the emissions in its own way. surprax and Dynamax are compiled and work in float32; hmmlearn works in float64 with
loops in C, and in both of its implementations: in logarithms, and scaled. The oracle is NumPy in float64.

More cases are about answers alone: peers are listed with how far they are off, whatever that is. In two of them, states that never
change are told apart by 110 and by 800 nats; in another, a chain can only go on through its states, so that most moves have
probability 0.
"""

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import surprax as sx
from benchmarks.harness import Case, Contest, Entrant, MissingPeerError, Setting, Target, against, call, jitted, quietly
from surprax.numerics.log_matrix import log_matmul

__all__ = ["CASES"]

SEED = 20_240_229
LOG_SCALE = 0.5 * np.log(2.0 * np.pi)


def peer_module(name: str, module: str) -> Any:
    """A peer's module, which is not among what tests install."""
    try:
        return quietly(importlib.import_module)(module)
    except ImportError as error:
        raise MissingPeerError(
            f"{name}, a peer of this case, is not installed: pip install -c constraints.txt -e '.[peers]'"
        ) from error


# Products of matrices of logarithms.


@jax.jit
def naive(a: jax.Array, b: jax.Array) -> jax.Array:
    return jax.scipy.special.logsumexp(a[:, :, None] + b[None], axis=1)


def product(spread: float, setting: Setting) -> Contest:
    """The inner index carries offsets of sd `spread`, which cancel in the product: entries of exp alone would be 0 or ∞."""
    k = setting.size(256, 32)
    rng = np.random.default_rng(SEED)
    inner = spread * rng.normal(size=k)
    a = (rng.normal(size=(k, k)) + inner).astype(np.float32)
    b = (rng.normal(size=(k, k)) - inner[:, None]).astype(np.float32)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    truth = np.stack([np.logaddexp.reduce(row[:, None] + wide_b, axis=0) for row in wide_a])
    on_device = jax.device_put((a, b))
    return Contest(
        rows=k**3,
        dtype="float32",
        entrants={"surprax": jitted(log_matmul, *on_device), "JAX, term by term": jitted(naive, *on_device)},
        judge=against(truth, scale=np.ones_like(truth)),
        tolerance=1e-4,
    )


# Chains.


class Chain:
    """Parameters in float64, observations in float32 (and as float64 the same numbers), and the truth."""

    def __init__(self, initial: np.ndarray, transition: np.ndarray, loc: np.ndarray, x: np.ndarray) -> None:
        self.initial, self.transition, self.loc = initial, transition, loc
        self.x = x.astype(np.float32)
        self.model = sx.HiddenMarkov(initial, transition, sx.Normal(loc, 1.0))

    @classmethod
    def sticky(cls, k: int, length: int) -> "Chain":
        """States that stay for ten steps, about, with means one standard deviation apart."""
        rng = np.random.default_rng(SEED)
        transition = 0.9 * np.eye(k) + 0.1 * rng.dirichlet(np.ones(k), k)
        loc, ends = np.arange(k) - 0.5 * (k - 1), transition.cumsum(axis=1)
        states = np.zeros(length, int)
        for t, u in enumerate(rng.random(length - 1), start=1):
            states[t] = min(np.searchsorted(ends[states[t - 1]], u), k - 1)
        return cls(np.full(k, 1.0 / k), transition, loc, loc[states] + rng.normal(size=length))

    def densities(self) -> np.ndarray:
        return -0.5 * (self.x.astype(np.float64)[:, None] - self.loc) ** 2 - LOG_SCALE

    def truth(self) -> tuple[float, np.ndarray]:
        """log-likelihood and probabilities of states, in float64: in logarithms where there are few steps, else scaled."""
        e = self.densities()
        if len(e) <= 10_000 and len(self.loc) <= 8:
            return self._in_logarithms(e)
        top = e.max(axis=1)
        likelihood = np.exp(e - top[:, None])
        forward, backward, total = np.empty_like(e), np.ones_like(e), 0.0
        p = self.initial
        for t, row in enumerate(likelihood):
            u = (p if t == 0 else forward[t - 1] @ self.transition) * row
            total += np.log(u.sum()) + top[t]
            forward[t] = u / u.sum()
        for t in range(len(e) - 2, -1, -1):
            u = self.transition @ (backward[t + 1] * likelihood[t + 1])
            backward[t] = u / u.sum()
        states = forward * backward
        return total, states / states.sum(axis=1, keepdims=True)

    def _in_logarithms(self, e: np.ndarray) -> tuple[float, np.ndarray]:
        with np.errstate(divide="ignore"):
            first, step = np.log(self.initial), np.log(self.transition)
        forward, backward = np.empty_like(e), np.zeros_like(e)
        with np.errstate(invalid="ignore"):
            forward[0] = first + e[0]
            for t in range(1, len(e)):
                forward[t] = np.logaddexp.reduce(forward[t - 1][:, None] + step, axis=0) + e[t]
            for t in range(len(e) - 2, -1, -1):
                backward[t] = np.logaddexp.reduce(step + backward[t + 1] + e[t + 1], axis=1)
        total = np.logaddexp.reduce(forward[-1])
        return float(total), np.exp(forward + backward - total)


def our_likelihood(model: Any, x: Any) -> Any:
    return model.log_likelihood(x)


def our_states(model: Any, x: Any) -> Any:
    found = model.smooth(x)
    return found.log_likelihood, found.probabilities


def hmmlearn(chain: Chain, implementation: str, question: str) -> Entrant:
    """`score` or `score_samples` of a GaussianHMM of the same parameters, in float64."""
    model = peer_module("hmmlearn", "hmmlearn.hmm").GaussianHMM(len(chain.loc), "diag", implementation=implementation)
    model.startprob_, model.transmat_, model.means_ = chain.initial, chain.transition, chain.loc[:, None]
    model.covars_ = np.ones((len(chain.loc), 1))
    return call(quietly(getattr(model, question)), chain.x.astype(np.float64)[:, None])


def dynamax(chain: Chain, smooth: bool) -> Entrant:
    """`hmm_filter` or `hmm_smoother`, compiled with the densities."""
    peer = peer_module("Dynamax", "dynamax.hidden_markov_model")

    def ask(initial: jax.Array, transition: jax.Array, loc: jax.Array, x: jax.Array) -> Any:
        densities = -0.5 * (x[:, None] - loc) ** 2 - np.float32(LOG_SCALE)
        found = (peer.hmm_smoother if smooth else peer.hmm_filter)(initial, transition, densities)
        return (found.marginal_loglik, found.smoothed_probs) if smooth else found.marginal_loglik

    arguments = (np.asarray(v, np.float32) for v in (chain.initial, chain.transition, chain.loc, chain.x))
    return jitted(ask, *jax.device_put(tuple(arguments)))


def ours(chain: Chain, smooth: bool) -> Entrant:
    model = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), chain.model)
    return jitted(our_states if smooth else our_likelihood, model, jax.device_put(chain.x))


def entrants(chain: Chain, peer: str, smooth: bool) -> dict[str, Entrant]:
    question = "score_samples" if smooth else "score"
    peers: Mapping[str, Callable[[], Entrant]] = {
        "hmmlearn, in logarithms": lambda: hmmlearn(chain, "log", question),
        "hmmlearn, scaled": lambda: hmmlearn(chain, "scaling", question),
        "Dynamax": lambda: dynamax(chain, smooth),
    }
    return {"surprax": ours(chain, smooth)} | {n: make() for n, make in peers.items() if n.lower().startswith(peer)}


def error_of(truth: tuple[float, np.ndarray], answer: Any) -> float:
    """The larger of the log-likelihood's relative error and, where there are any, the largest error of a probability over ten."""
    total, states = answer if isinstance(answer, tuple | list) else (answer, None)
    error = abs(float(total) - truth[0]) / abs(truth[0])
    if states is not None:
        error = max(error, 0.1 * float(np.max(np.abs(np.asarray(states, np.float64) - truth[1]))))
    return error if np.isfinite(error) else np.inf


def chain(k: int, peer: str, smooth: bool, setting: Setting) -> Contest:
    made = Chain.sticky(k, setting.size(100_000, 2_048))
    truth = made.truth()
    return Contest(
        rows=len(made.x),
        dtype="float32",
        entrants=entrants(made, peer, smooth),
        judge=lambda answers: {name: error_of(truth, answer) for name, answer in answers.items()},
        tolerance=1e-5,
        peer_tolerance=1e-4,
    )


# Where others are wrong.


def told_apart(nats: float, setting: Setting) -> Chain:
    """Three states that never change: so many nats for the first, then thrice as many for the second, the third in between."""
    gap = np.sqrt(2 * nats)
    x = np.array([0.0, gap, gap, gap, 0.5 * gap])
    return Chain(np.full(3, 1.0 / 3.0), np.eye(3), np.array([0.0, gap, 0.4 * gap]), x)


def through(setting: Setting) -> Chain:
    """Five states, of which each only leads to the next; and an observation early on that belongs to the last."""
    rng = np.random.default_rng(SEED)
    length = setting.size(10_000, 500)
    transition = (1.0 - 1e-3) * np.eye(5) + 1e-3 * np.eye(5, k=1)
    transition[-1, -1] = 1.0
    loc = 8.0 * np.arange(5)
    states = np.minimum(np.arange(length) * 5 // length, 4)
    x = loc[states] + rng.normal(size=length)
    x[length // 20] = loc[-1]
    return Chain(np.eye(5)[0], transition, loc, x)


def hard(make: Callable[[Setting], Chain], peer: str, setting: Setting) -> Contest:
    made = make(setting)
    truth = made.truth()
    return Contest(
        rows=len(made.x),
        dtype="float32",
        entrants=entrants(made, peer, smooth=True),
        judge=lambda answers: {name: min(error_of(truth, answer), 1e30) for name, answer in answers.items()},
        tolerance=1e-5,
        peer_tolerance=1e30,
    )


PEERS = {"hmmlearn": ("hmmlearn, in logarithms", "hmmlearn, scaled"), "dynamax": ("Dynamax",)}

CASES = [
    Case(
        "chains/product",
        "log-space product of 256 × 256 matrices",
        partial(product, 0.0),
        (Target(1 / 30, "JAX, term by term"),),
    ),
    Case(
        "chains/product-adversarial",
        "the same with inner offsets of sd 60 nats",
        partial(product, 60.0),
        (Target(1 / 30, "JAX, term by term"),),
    ),
    *(
        Case(
            f"chains/{question}-{k}-{peer}",
            f"{title}, {k} states, 100,000 steps",
            partial(chain, k, peer, question == "states"),
            tuple(Target(1 / 3, name) for name in names),
        )
        for question, title in (("likelihood", "HMM log-likelihood"), ("states", "HMM probabilities of states"))
        for k in (5, 64)
        for peer, names in PEERS.items()
    ),
    *(
        Case(f"chains/{name}-{peer}", title, partial(hard, make, peer), once=True)
        for name, title, make in (
            ("told-apart-110", "HMM whose states are told apart by 110 nats", partial(told_apart, 110.0)),
            ("told-apart-800", "HMM whose states are told apart by 800 nats", partial(told_apart, 800.0)),
            ("through", "HMM with hard zeros", through),
        )
        for peer in PEERS
    ),
]
