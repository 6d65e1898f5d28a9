"""Hidden Markov models against the sum over all paths in float64; adversarial emissions, missing rows, and Baum–Welch."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

import surprax as sx
from surprax.beliefs import chain_blocks as blocks
from surprax.beliefs import chain_passes as passes
from surprax.beliefs.chain_outcomes import ChainReason
from surprax.beliefs.chains import HiddenMarkov

BOTH = pytest.mark.parametrize("parallel", [False, True])


def at_length(*values):
    """A parameter that is tried in thorough runs only: another one goes the same ways."""
    return pytest.param(*values, marks=pytest.mark.thorough)


def brute(initial, transition, e):
    """All that there is to know of e (T, K), by enumeration of paths: log-likelihood, filtered, smoothed, pairs, best path."""
    with np.errstate(divide="ignore"):
        start, step = np.log(np.asarray(initial, np.float64)), np.log(np.asarray(transition, np.float64))
    T, K = e.shape
    step = np.broadcast_to(step, (T - 1, K, K)) if T > 1 else step

    def paths_of(length):
        paths = np.array(list(itertools.product(range(K), repeat=length)))
        log_p = start[paths[:, 0]] + e[0, paths[:, 0]]
        for t in range(1, length):
            log_p = log_p + step[t - 1, paths[:, t - 1], paths[:, t]] + e[t, paths[:, t]]
        return paths, log_p

    def by(paths, log_p, *times):
        out = np.zeros((K,) * len(times))
        total = logsumexp(log_p)
        with np.errstate(invalid="ignore"):
            np.add.at(out, tuple(paths[:, t] for t in times), np.exp(log_p - total) if total > -np.inf else 0.0)
        return out

    paths, log_p = paths_of(T)
    filtered = np.stack([by(*paths_of(t + 1), t) for t in range(T)])
    smoothed = np.stack([by(paths, log_p, t) for t in range(T)])
    pairs = np.stack([by(paths, log_p, t, t + 1) for t in range(T - 1)]) if T > 1 else np.zeros((0, K, K))
    return logsumexp(log_p), filtered, smoothed, pairs, paths[log_p.argmax()], log_p.max()


def table(e):
    """An emission whose log-probability of the symbol t is e[t] up to one constant: any table of log-probabilities at all."""
    rest = np.full((1, e.shape[1]), logsumexp(e) + 1.0)  # a symbol that takes what is left, never seen
    logits = np.concatenate([e, rest]).T
    logits = logits - logits.max(-1, keepdims=True)
    return sx.Categorical(logits=logits), np.arange(len(e))


def random_chain(rng, K, T, zeros=0.0, varying=False, spread=1.0):
    initial = rng.dirichlet(np.ones(K))
    transition = rng.dirichlet(np.ones(K), (T - 1, K) if varying else K)
    if zeros:
        transition = np.where((rng.random(transition.shape) < zeros) & ~np.eye(K, dtype=bool), 0.0, transition)
        transition = transition / transition.sum(-1, keepdims=True)
        initial = np.eye(K)[0]
    return initial, transition, rng.normal(0.0, spread, (T, K))


SETTINGS = {
    "plain": dict(),
    "hard zeros": dict(zeros=0.6),
    "varying": dict(varying=True),
    "varying with zeros": dict(varying=True, zeros=0.6),
    "spread of hundreds of nats": dict(spread=150.0),
    "spread with zeros": dict(spread=150.0, zeros=0.6),
}


@BOTH
@pytest.mark.parametrize("name", SETTINGS)
def test_against_all_paths(name, parallel):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        initial, transition, e = random_chain(rng, 3, 6, **SETTINGS[name])
        emission, x = table(e)
        e = np.asarray(emission.log_prob(x[:, None]), np.float64)
        log_p, filtered, smoothed, pairs, path, best = brute(initial, transition, e)
        model = HiddenMarkov(initial, transition, emission)
        tight = dict(rtol=1e-6, atol=1e-4 if "spread" in name else 2e-5)
        np.testing.assert_allclose(model.log_likelihood(x, parallel=parallel), log_p, **tight)
        f, s = model.filter(x, parallel=parallel), model.smooth(x, pairwise=True, parallel=parallel)
        np.testing.assert_allclose(f.probabilities, filtered, atol=2e-4 if "spread" in name else 2e-6)
        np.testing.assert_allclose(s.probabilities, smoothed, atol=2e-4 if "spread" in name else 2e-6)
        np.testing.assert_allclose(s.pairs, pairs, atol=2e-4 if "spread" in name else 2e-6)
        np.testing.assert_allclose([f.log_likelihood, s.log_likelihood], [log_p, log_p], **tight)
        v = model.viterbi(x, parallel=parallel)
        np.testing.assert_array_equal(v.states, path)
        np.testing.assert_allclose(v.log_probability, best, **tight)
        assert f.outcome.ok
        assert s.outcome.ok
        assert v.outcome.ok


@pytest.mark.parametrize("parallel", [False, at_length(True)])
def test_float64_has_all_digits(parallel):
    with jax.enable_x64(True):
        initial, transition, e = random_chain(np.random.default_rng(5), 3, 6, zeros=0.4, spread=100.0)
        emission, x = table(e)
        e = np.asarray(emission.log_prob(x[:, None]))
        log_p, filtered, smoothed, pairs, *_ = brute(initial, transition, e)
        model = HiddenMarkov(initial, transition, emission)
        s = model.smooth(x, pairwise=True, parallel=parallel)
        np.testing.assert_allclose(s.log_likelihood, log_p, rtol=1e-13)
        np.testing.assert_allclose(s.probabilities, smoothed, rtol=0, atol=1e-11)
        np.testing.assert_allclose(s.pairs, pairs, rtol=0, atol=1e-11)
        np.testing.assert_allclose(model.filter(x, parallel=parallel).probabilities, filtered, rtol=0, atol=1e-11)


@BOTH
def test_one_observation(parallel):
    model = HiddenMarkov([0.25, 0.75], [[0.9, 0.1], [0.2, 0.8]], sx.Bernoulli(np.array([0.5, 1.0])))
    s = model.smooth([1.0], pairwise=True, parallel=parallel)
    np.testing.assert_allclose(s.probabilities, [[1 / 7, 6 / 7]], rtol=1e-6)
    assert s.pairs.shape == (0, 2, 2)
    assert model.viterbi([1.0], parallel=parallel).states.tolist() == [1]
    slope = jax.grad(lambda m: m.log_likelihood(jnp.ones(1), parallel=parallel))(jax.tree.map(jnp.asarray, model))
    np.testing.assert_allclose(slope.log_initial, [1 / 7, 6 / 7], rtol=1e-6)
    assert np.all(np.asarray(slope.log_transition) == 0)


@pytest.mark.parametrize("parallel", [False, at_length(True)])
def test_what_is_all_but_impossible_comes_back(parallel):
    """States that never change, of which observations tell apart by 110 nats one way and then 300 the other.

    Probabilities with a floor of 1e-15, or in floating point, have forgotten by then which states there were.
    """
    scale = 1.0
    gap = np.sqrt(2 * 110.0)
    model = HiddenMarkov([0.5, 0.5], np.eye(2), sx.Normal(np.array([0.0, gap]), scale))
    x = np.array([0.0, gap, gap, gap])  # ∓110 nats each
    e = np.asarray(sx.Normal(np.array([0.0, gap]), scale).log_prob(x[:, None]), np.float64)
    log_p, filtered, smoothed, *_ = brute([0.5, 0.5], np.eye(2), e)
    np.testing.assert_allclose(model.log_likelihood(x, parallel=parallel), log_p, rtol=1e-6)
    f = model.filter(x, parallel=parallel)
    np.testing.assert_allclose(f.log_probabilities[0], [0.0, -110.0], atol=1e-4)
    np.testing.assert_allclose(f.log_probabilities[2], [-110.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(f.probabilities, filtered, atol=1e-4)
    np.testing.assert_allclose(model.smooth(x, parallel=parallel).probabilities, smoothed, atol=1e-4)
    assert model.viterbi(x, parallel=parallel).states.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("spread", "parallel"), [at_length(20.0, 0), at_length(60.0, 0), (110.0, 0), (300.0, 0), (110.0, 1)]
)
def test_emission_spreads_over_long_sequences(spread, parallel):
    """In float32, of 100 steps of sticky chains, against the same in float64 and logarithms."""
    rng = np.random.default_rng(int(spread))
    K, T = 4, 100
    transition = 0.999 * np.eye(K) + 0.001 * rng.dirichlet(np.ones(K), K)
    transition[0] = [0.5, 0.5, 0.0, 0.0]
    e = rng.uniform(-spread, 0.0, (T, K)).astype(np.float32)
    with jax.enable_x64(True):
        log_a = jnp.log(jnp.asarray(transition))
        first = jnp.full((1, K), -np.log(K))
        wide = jnp.asarray(e, jnp.float64)[:, None]
        now, increment = jax.jit(lambda: passes.filtered(passes._sweep_in_logarithms(first, log_a, wide), wide))()
        expected, total = np.asarray(now), float(increment.sum())
    log_a, first = jnp.log(jnp.asarray(transition, jnp.float32)), jnp.full(K, -np.log(K), jnp.float32)
    forward = jax.jit(lambda e: passes.filtered(passes.forward(first, log_a, e, bool(parallel)), e))
    now, increment = forward(jnp.asarray(e[:, None]))
    np.testing.assert_allclose(now, expected, rtol=1e-6, atol=3e-4)
    np.testing.assert_allclose(increment.sum(), total, rtol=1e-6, atol=1e-3)


def test_the_certificate_tells_where_probabilities_do():
    rng = np.random.default_rng(3)
    K, T = 5, 400
    dense = np.log(rng.dirichlet(np.ones(K), K) + 1e-9).astype(np.float32)
    first = jnp.zeros((1, K)) - np.log(K).astype(np.float32)
    for step, spread, expected in ((dense, 400.0, True), (np.log(np.eye(K) + 1e-30).astype(np.float32), 60.0, False)):
        e = jnp.asarray(rng.uniform(-spread, 0.0, (T, 1, K)), jnp.float32)
        p, sums, certified = jax.jit(passes._sweep_in_probabilities)(first, jnp.asarray(step), e)
        assert bool(certified) == expected
        if expected:
            slow = jax.jit(passes._sweep_in_logarithms)(first, jnp.asarray(step), e)
            np.testing.assert_allclose(jnp.log(p), slow[1:], atol=2e-5)
            np.testing.assert_allclose(sums, passes.filtered(slow, e)[1][1:], atol=1e-4)


@pytest.mark.parametrize("parallel", [False, at_length(True)])
def test_impossible_sequences_are_an_outcome(parallel):
    model = HiddenMarkov([1.0, 0.0], [[0.0, 1.0], [0.0, 1.0]], sx.Bernoulli(np.array([1.0, 0.0])))
    x = np.array([[1, 0, 0], [1, 1, 0]])
    log_p = model.log_likelihood(x, parallel=parallel)
    assert log_p.tolist() == [0.0, -np.inf]
    for result in (model.filter(x, parallel=parallel), model.smooth(x, pairwise=True, parallel=parallel)):
        assert result.outcome.ok.tolist() == [True, False]
        assert result.outcome.reason is ChainReason.IMPOSSIBLE
        assert "in 1 of 2 sequences, first in number 1, no path" in str(result.outcome)
        assert not np.any(np.isnan(result.probabilities))
        np.testing.assert_allclose(result.probabilities[0], [[1, 0], [0, 1], [0, 1]])
    assert model.viterbi(x, parallel=parallel).states.tolist() == [[0, 1, 1], [-1, -1, -1]]
    slope = jax.grad(lambda m: m.log_likelihood(x, parallel=parallel)[1])(jax.tree.map(jnp.asarray, model))
    assert all(np.all(np.asarray(leaf) == 0.0) for leaf in jax.tree.leaves(slope))
    # With a missing row in between, what was impossible may be possible.
    assert model.log_likelihood([1.0, np.nan, 0.0], parallel=parallel) == 0.0


def test_missing_rows_are_summed_over():
    initial, transition, e = random_chain(np.random.default_rng(2), 3, 5)
    emission = sx.Normal(np.array([-1.0, 0.0, 2.0]), np.array([0.5, 1.0, 1.5]))
    model = HiddenMarkov(initial, transition, emission)
    x = np.array([0.3, np.nan, -1.2, 2.0, np.nan])
    e = np.where(np.isnan(x)[:, None], 0.0, emission.log_prob(np.nan_to_num(x)[:, None]))
    log_p, filtered, smoothed, pairs, path, best = brute(initial, transition, e)
    for given in (dict(x=x), dict(x=np.where(np.isnan(x), 1e9, x), mask=~np.isnan(x))):
        s = model.smooth(**given, pairwise=True)
        np.testing.assert_allclose(s.log_likelihood, log_p, rtol=1e-5)
        np.testing.assert_allclose(s.probabilities, smoothed, atol=1e-5)
        np.testing.assert_allclose(s.pairs, pairs, atol=1e-5)
        np.testing.assert_allclose(model.filter(**given).probabilities, filtered, atol=1e-5)
        assert model.viterbi(**given).states.tolist() == path.tolist()
    np.testing.assert_allclose(model.viterbi(x).log_probability, best, rtol=1e-5)
    slope = jax.grad(lambda m: m.log_likelihood(x))(jax.tree.map(jnp.asarray, model))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))


@pytest.mark.parametrize(("family", "parallel"), [at_length("Poisson", True), ("MultivariateNormal", False)])
def test_a_batch_of_unequal_lengths_is_single_sequences(family, parallel):
    rng = np.random.default_rng(4)
    if family == "Poisson":
        emission, draw = sx.Poisson(np.array([1.0, 4.0, 9.0])), lambda n: rng.poisson(4.0, n)
    else:
        loc = np.array([[0.0, 0.0], [2.0, 1.0], [-1.0, 3.0]])
        emission, draw = sx.MultivariateNormal(loc, np.eye(2)), lambda n: rng.normal(1.0, 2.0, (n, 2))
    initial, transition, _ = random_chain(rng, 3, 2, zeros=0.3)
    model = HiddenMarkov(initial, transition, emission)
    some = [draw(n) for n in (3, 2, 3)]
    if family == "MultivariateNormal":
        some[0][2] = np.nan
    log_p = model.log_likelihood(some, parallel=parallel)
    f, s = model.filter(some, parallel=parallel), model.smooth(some, pairwise=True, parallel=parallel)
    v = model.viterbi(some, parallel=parallel)
    for i, x in enumerate(some):
        n = len(x)
        np.testing.assert_allclose(log_p[i], model.log_likelihood(x), rtol=1e-5)
        np.testing.assert_allclose(f.probabilities[i, :n], model.filter(x).probabilities, atol=1e-5)
        one = model.smooth(x, pairwise=True)
        np.testing.assert_allclose(s.probabilities[i, :n], one.probabilities, atol=1e-5)
        np.testing.assert_allclose(s.pairs[i, : n - 1], one.pairs, atol=1e-5)
        assert np.all(np.asarray(s.probabilities[i, n:]) == 0)
        assert np.all(np.asarray(s.pairs[i, n - 1 :]) == 0)
        alone = model.viterbi(x)
        assert v.states[i].tolist() == [*alone.states.tolist(), *[-1] * (3 - n)]
        np.testing.assert_allclose(v.log_probability[i], alone.log_probability, rtol=1e-5)
    padded = np.zeros((3, 3, *some[0].shape[1:]))
    for i, x in enumerate(some):
        padded[i, : len(x)] = x
    np.testing.assert_array_equal(model.log_likelihood(padded, lengths=[3, 2, 3], parallel=parallel), log_p)


@pytest.mark.thorough  # each is held against all paths above
def test_parallel_is_serial():
    rng = np.random.default_rng(6)
    K, T = 4, 40
    model = HiddenMarkov(
        np.eye(K)[0], 0.9 * np.eye(K) + 0.1 * rng.dirichlet(np.ones(K), K), sx.Normal(3.0 * np.arange(K), 0.3)
    )
    states, x = model.sample(jax.random.key(1), T)
    np.testing.assert_allclose(model.log_likelihood(x, parallel=True), model.log_likelihood(x), rtol=1e-6)
    a, b = model.smooth(x, parallel=True), model.smooth(x)
    np.testing.assert_allclose(a.probabilities, b.probabilities, atol=1e-5)
    np.testing.assert_array_equal(model.viterbi(x, parallel=True).states, model.viterbi(x).states)
    assert np.mean(np.asarray(model.viterbi(x).states) == np.asarray(states)) > 0.9


@pytest.mark.parametrize(("zeros", "parallel"), [at_length(0.0, False), (0.5, False), at_length(0.5, True)])
def test_gradients_are_finite_differences(zeros, parallel):
    with jax.enable_x64(True):
        rng = np.random.default_rng(7)
        initial, transition, _ = random_chain(rng, 3, 2, zeros=zeros)
        model = HiddenMarkov(initial, transition, sx.Normal(np.array([-1.0, 0.0, 2.0]), np.array([0.5, 1.0, 1.5])))
        model = jax.tree.map(jnp.asarray, model)
        x = jnp.asarray(rng.normal(0.5, 2.0, (2, 4))).at[0, 2].set(jnp.nan)
        f = jax.jit(lambda m: jnp.sum(m.log_likelihood(x, lengths=np.array([4, 3]), parallel=parallel)))
        slope = jax.jit(jax.grad(f))(model)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))
        leaves, tree = jax.tree.flatten(model)
        change = [jnp.where(jnp.isfinite(v), rng.normal(size=v.shape), 0.0) for v in leaves]
        at = lambda h: f(tree.unflatten([v + h * c for v, c in zip(leaves, change)]))
        expected = (at(1e-5) - at(-1e-5)) / 2e-5
        got = sum(jnp.sum(g * c) for g, c in zip(jax.tree.leaves(slope), change))
        np.testing.assert_allclose(got, expected, rtol=1e-7)
        forward = jax.jit(lambda m, v: jax.jvp(f, (m,), (v,))[1])(model, tree.unflatten(change))
        np.testing.assert_allclose(forward, expected, rtol=1e-7)


def test_second_derivatives_and_gradients_of_beliefs():
    with jax.enable_x64(True):
        emission = sx.Normal(jnp.array([-1.0, 1.0]), 1.0)
        x = jnp.array([0.3, -0.2, 1.4])

        def model(v):
            return HiddenMarkov(
                [0.5, 0.5], jnp.array([[0.9, 0.1], [0.2, 0.8]]), sx.Normal(emission.loc * v, jnp.ones(2))
            )

        derivative = lambda f: (f(1.3 + 1e-5) - f(1.3 - 1e-5)) / 2e-5
        slope = jax.jit(jax.grad(lambda v: model(v).log_likelihood(x)))
        np.testing.assert_allclose(jax.jit(jax.grad(slope))(1.3), derivative(slope), rtol=1e-6)
        belief = jax.jit(lambda v: model(v).smooth(x).probabilities[1, 0])
        np.testing.assert_allclose(jax.jit(jax.grad(belief))(1.3), derivative(belief), rtol=1e-7)


def test_jit_and_vmap_over_models():
    x = np.array([0.3, -0.2, 1.4], np.float32)
    locs = jnp.array([[0.0, 1.0], [-1.0, 2.0]])
    f = lambda loc: HiddenMarkov([0.5, 0.5], [[0.9, 0.1], [0.0, 1.0]], sx.Normal(loc, 1.0)).log_likelihood(x)
    np.testing.assert_allclose(jax.jit(jax.vmap(f))(locs), [f(locs[0]), f(locs[1])], rtol=1e-6)
    by_rows = jax.vmap(lambda p: HiddenMarkov(p, jnp.stack([p, p]), sx.Normal(locs[0], 1.0)).log_likelihood(x))
    bad = by_rows(jnp.array([[0.5, 0.5], [0.5, 0.6]]))
    assert np.isfinite(bad[0])
    assert np.isnan(bad[1])


def test_samples_have_the_chains_frequencies():
    transition = np.array([[0.8, 0.2, 0.0], [0.0, 0.7, 0.3], [0.5, 0.0, 0.5]])
    model = HiddenMarkov([0.0, 1.0, 0.0], transition, sx.Normal(np.array([0.0, 5.0, 10.0]), 0.5))
    states, x = model.sample(jax.random.key(2), 40_000)
    states, x = np.asarray(states), np.asarray(x)
    assert states[0] == 1
    counts = np.zeros((3, 3))
    np.add.at(counts, (states[:-1], states[1:]), 1)
    assert np.all(counts[transition == 0] == 0)
    np.testing.assert_allclose(counts / counts.sum(1, keepdims=True), transition, atol=0.02)
    for k in range(3):
        assert x[states == k].mean() == pytest.approx(5.0 * k, abs=0.02)
        assert x[states == k].std() == pytest.approx(0.5, abs=0.02)
    varying = HiddenMarkov([1.0, 0.0], [np.eye(2), np.eye(2)[::-1]], sx.Poisson(np.array([1.0, 2.0])))
    assert varying.sample(jax.random.key(3), 3)[0].tolist() == [0, 0, 1]
    vectors = HiddenMarkov([0.5, 0.5], np.eye(2), sx.MultivariateNormal(np.zeros((2, 3)), np.eye(3)))
    assert vectors.sample(jax.random.key(3), 4)[1].shape == (4, 3)


# Blocks of long chains -------------------------------------------------------------------------------------------------


def long_chain(K, T, B=1, stay=0.9, seed=0):
    """A chain whose states are one standard deviation apart, first log-probabilities (B, K), steps and e (T, B, K)."""
    rng = np.random.default_rng(seed)
    transition = stay * np.eye(K) + (1.0 - stay) * rng.dirichlet(np.ones(K), K)
    x = rng.integers(0, K, (T, B, 1)) + rng.normal(size=(T, B, 1))
    e = -0.5 * (x - np.arange(K)) ** 2
    first = np.log(rng.dirichlet(np.ones(K), B))
    return tuple(jnp.asarray(v, jnp.float32) for v in (first, np.log(transition), e))


def compiled(function):
    """One program instead of one for every step of it; how chains are laid out is a constant of it."""
    return jax.jit(function, static_argnums=0)


filtered, increments = compiled(blocks.filtered), compiled(blocks.increments)
filtered_step_by_step = jax.jit(passes._filter_step_by_step)


@pytest.mark.parametrize(
    ("K", "T", "B"),
    [at_length(1, 2048, 1), at_length(3, 2048, 1), (3, 2311, 2), at_length(20, 2311, 1), at_length(20, 3000, 2)],
)
def test_blocks_are_single_steps(K, T, B):
    """2311 is a prime number: blocks are filled up."""
    first, step, e = long_chain(K, T, B)
    laid = blocks.blocks_of(step, e)
    assert laid.number * laid.length >= T
    now, increment = filtered_step_by_step(first, step, e)
    found, gains, certified = filtered(laid, first, step, e)
    assert certified
    np.testing.assert_allclose(found, now, atol=2e-5)
    np.testing.assert_allclose(gains, increment, atol=2e-5)
    gains, certified = increments(laid, first, step, e)
    assert certified
    np.testing.assert_allclose(gains, increment, atol=2e-5)
    states, _ = jax.jit(passes._smooth_step_by_step)(first, step, e)
    found, gains, certified = compiled(blocks.smoothed)(laid, first, step, e)
    assert certified
    np.testing.assert_allclose(found, states, atol=4e-5)
    np.testing.assert_allclose(gains, increment, atol=2e-5)
    for reverse, start in ((False, first), (True, jnp.zeros_like(first))):
        found, certified = jax.jit(blocks.predictions, static_argnums=(0, 4))(laid, start, step, e, reverse)
        plain = jax.jit(passes._turned if reverse else lambda *chain: passes.sweep(*chain, False))(start, step, e)
        assert certified
        # Directions are what counts: of a pass backward, factors differ.
        centre = lambda v: v - v.mean(axis=-1, keepdims=True)
        np.testing.assert_allclose(centre(np.asarray(found)), centre(np.asarray(plain)), atol=4e-5)


def test_blocks_against_a_recursion_of_their_own():
    """NumPy, float64, one step after the other; nothing of ours."""
    first, step, e = long_chain(3, 2311)
    log_p, log_m, seen = (np.asarray(v, np.float64) for v in (first[0], step, e[:, 0]))
    sums, states = [], []
    for row in seen:
        joint = log_p + row
        sums.append(logsumexp(joint))
        states.append(joint - sums[-1])
        log_p = logsumexp(states[-1][:, None] + log_m, axis=0)
    found, gains, certified = filtered(blocks.blocks_of(step, e), first, step, e)
    assert certified
    np.testing.assert_allclose(gains[:, 0], sums, atol=2e-5)
    np.testing.assert_allclose(np.exp(found[:, 0]), np.exp(states), atol=2e-6)


@pytest.mark.thorough  # in float32 above, against single steps and against NumPy
def test_blocks_have_all_digits_in_float64():
    with jax.enable_x64(True):
        first, step, e = (v.astype(float) for v in long_chain(4, 4000))
        found, _, certified = blocks.smoothed(blocks.blocks_of(step, e), first, step, e)
        assert certified
        np.testing.assert_allclose(found, passes._smooth_step_by_step(first, step, e)[0], atol=1e-12)


def uncertified(name):
    first, step, e = long_chain(3, 2048)
    if name == "what is never forgotten":
        step, e = jnp.log(0.9999 * jnp.eye(3) + 0.0001 / 3), 0.001 * e
    elif name == "zeros":
        step = jnp.where(jnp.eye(3, k=-2, dtype=bool), -jnp.inf, jnp.log(jnp.full((3, 3), 1 / 3)))
        step = jnp.where(jnp.eye(3, k=-1, dtype=bool), -jnp.inf, step)
    elif name == "a surprise of 110 nats":
        step = jnp.log((1.0 - 1e-30) * jnp.eye(3) + 1e-30)
        e = 100.0 * e
    elif name == "the impossible":
        e = e.at[700].set(-jnp.inf)
    elif name == "not a number":
        e = e.at[700].set(jnp.nan)
    elif name == "a start in the dark":
        first = jnp.array([[0.0, -95.0, -300.0]])
    return first, step, e


@pytest.mark.parametrize(
    "name",
    [
        "what is never forgotten",
        "zeros",
        "a surprise of 110 nats",
        "the impossible",
        "not a number",
        "a start in the dark",
    ],
)
def test_blocks_that_are_not_right_say_so(name):
    first, step, e = uncertified(name)
    laid = blocks.blocks_of(step, e)
    assert not filtered(laid, first, step, e)[-1]
    assert not increments(laid, first, step, e)[-1]
    # And then steps are single ones.
    tried = jax.jit(passes._filter_in_blocks, static_argnums=0)(passes._given, first, step, e)
    for a, b in zip(tried, filtered_step_by_step(first, step, e)):
        np.testing.assert_allclose(a, b, rtol=3e-6, atol=3e-6)


def test_short_and_many_and_varying_chains_are_not_laid_in_blocks():
    _, step, e = long_chain(3, 2048)
    assert blocks.blocks_of(step, e[:1000]) is None
    assert blocks.blocks_of(step, jnp.tile(e, (1, 20, 1))) is None
    assert blocks.blocks_of(jnp.tile(step, (2047, 1, 1)), e) is None


@pytest.mark.thorough  # blocks are single steps, above, and long chains come through the front door below
def test_long_sequences_through_the_front_door(monkeypatch):
    """With missing rows and unequal lengths: in blocks as step by step, gradients too."""
    rng = np.random.default_rng(11)
    model = HiddenMarkov([1.0, 0.0, 0.0], 0.8 * np.eye(3) + 0.2 / 3, sx.Normal(np.array([-1.0, 0.0, 2.0]), 1.0))
    model = jax.tree.map(jnp.asarray, model)
    x = rng.normal(0.5, 1.5, (2, 2300)).astype(np.float32)
    x[0, 100:300] = np.nan
    lengths = np.array([2300, 1500])

    def answers():
        f, s = model.filter(x, lengths=lengths), model.smooth(x, lengths=lengths)
        slope = jax.grad(lambda m: m.log_likelihood(x, lengths=lengths).sum())(model)
        belief = jax.grad(lambda m: m.smooth(x, lengths=lengths).probabilities[0, 1000, 1])(model)
        pairs = model.smooth(x, lengths=lengths, pairwise=True).pairs
        return [
            f.probabilities,
            f.log_likelihood,
            s.probabilities,
            s.log_likelihood,
            pairs,
            *jax.tree.leaves((slope, belief)),
        ]

    tried = answers()
    jax.clear_caches()
    monkeypatch.setattr(blocks, "blocks_of", lambda step, e: None)
    for a, b in zip(tried, answers(), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
    jax.clear_caches()
    assert np.all(np.asarray(tried[2])[1, 1500:] == 0)


def test_vmap_over_long_chains():
    x = np.random.default_rng(12).normal(size=2048).astype(np.float32)
    f = lambda loc: HiddenMarkov([0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], sx.Normal(loc, 1.0)).log_likelihood(x)
    locs = jnp.array([[0.0, 1.0], [-1.0, 2.0]])
    np.testing.assert_allclose(jax.jit(jax.vmap(f))(locs), [f(locs[0]), f(locs[1])], rtol=1e-5)


# Baum–Welch -----------------------------------------------------------------------------------------------------------

TRUE = np.array([[0.95, 0.05], [0.1, 0.9]])
EMISSIONS = {
    "Normal": (sx.Normal(np.array([0.0, 3.0]), np.array([1.0, 0.5])), sx.Normal(np.array([-1.0, 2.0]), 1.0)),
    "Poisson": (sx.Poisson(np.array([2.0, 9.0])), sx.Poisson(np.array([1.0, 5.0]))),
}


@pytest.mark.parametrize("name", ["Normal", at_length("Poisson")])
def test_fit_climbs_and_finds_the_parameters(name):
    truth, guess = EMISSIONS[name]
    model = HiddenMarkov([0.5, 0.5], TRUE, truth)
    some = np.split(np.asarray(model.sample(jax.random.key(0), 5000)[1]), [3000, 4500])
    fit, outcome = HiddenMarkov([0.5, 0.5], [[0.7, 0.3], [0.3, 0.7]], guess).fit(some)
    assert outcome.converged, str(outcome)
    assert np.all(np.diff(outcome.log_likelihoods) > -1e-8)
    assert len(outcome.log_likelihoods) == outcome.iterations + 1
    assert not outcome.held.any()
    np.testing.assert_allclose(fit.transition, TRUE, atol=0.03)
    for parameter in truth.parameters:
        np.testing.assert_allclose(getattr(fit.emission, parameter), getattr(truth, parameter), rtol=0.06, atol=0.1)
    total = float(fit.log_likelihood(some).sum())
    np.testing.assert_allclose(total, outcome.log_likelihood, rtol=1e-5)
    assert total > float(model.log_likelihood(some).sum())


def test_fit_with_one_iteration_is_the_textbooks():
    """Rabiner's formulas, with probabilities of states by enumeration."""
    rng = np.random.default_rng(8)
    initial, transition, _ = random_chain(rng, 2, 2)
    emission = sx.Normal(np.array([-1.0, 1.0]), np.array([1.0, 2.0]))
    sequences = [rng.normal(size=5), rng.normal(size=3)]
    gammas, xis, firsts, total = [], 0, 0, 0.0
    for x in sequences:
        with jax.enable_x64(True):
            e = np.asarray(emission.log_prob(x[:, None]))
        log_p, _, smoothed, pairs, *_ = brute(initial, transition, e)
        gammas.append(smoothed)
        xis, firsts, total = xis + pairs.sum(0), firsts + smoothed[0], total + log_p
    g, x = np.concatenate(gammas), np.concatenate(sequences)
    loc = g.T @ x / g.sum(0)
    fit, outcome = HiddenMarkov(initial, transition, emission).fit(sequences, iterations=1)
    assert outcome.reason is ChainReason.NOT_CONVERGED
    assert "did not settle" in str(outcome)
    np.testing.assert_allclose(outcome.log_likelihoods[0], total, rtol=1e-12)
    np.testing.assert_allclose(np.exp(fit.log_initial), firsts / firsts.sum(), rtol=1e-10)
    np.testing.assert_allclose(np.exp(fit.log_transition), xis / xis.sum(1, keepdims=True), rtol=1e-10)
    np.testing.assert_allclose(fit.emission.loc, loc, rtol=1e-10)
    np.testing.assert_allclose(fit.emission.scale, np.sqrt((g * (x[:, None] - loc) ** 2).sum(0) / g.sum(0)), rtol=1e-10)


VARIED = {
    "Categorical": (sx.Categorical(np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])), {}),
    "Binomial": (sx.Binomial(np.array([10.0, 10.0]), np.array([0.2, 0.8])), {}),
    "StudentT": (sx.StudentT(np.array([4.0, 4.0]), np.array([0.0, 4.0]), np.array([1.0, 1.0])), {}),
    "Gamma": (sx.Gamma(np.array([2.0, 20.0]), np.array([1.0, 4.0])), {}),
    "MultivariateNormal": (sx.MultivariateNormal(np.array([[0.0, 0.0], [3.0, 1.0]]), np.eye(2)), {}),
    "Normal of known scale": (sx.Normal(np.array([0.0, 3.0]), 1.0), {"scale": 1.0}),
}


@pytest.mark.parametrize("name", [n if n == "Categorical" else at_length(n) for n in VARIED])
def test_fit_of_any_family_climbs(name):
    emission, known = VARIED[name]
    model = HiddenMarkov([0.5, 0.5], TRUE, emission)
    x = np.asarray(model.sample(jax.random.key(9), 400)[1], np.float64)
    if x.ndim > 1:
        x[5] = np.nan
    seen = np.ones(400, bool)
    seen[7] = False
    fit, outcome = model.fit(x, mask=seen, iterations=15, **known)
    assert np.all(np.diff(outcome.log_likelihoods) > -1e-6)
    assert outcome.log_likelihood > outcome.log_likelihoods[0]
    assert fit.emission.batch_shape == (2,)
    np.testing.assert_allclose(fit.log_likelihood(x, mask=seen), outcome.log_likelihood, rtol=1e-5)


def test_fit_of_varying_transitions_keeps_zeros():
    rng = np.random.default_rng(10)
    moves = np.array([[[0.5, 0.5], [0.0, 1.0]], [[0.9, 0.1], [0.0, 1.0]]])
    model = HiddenMarkov([0.9, 0.1], moves, sx.Normal(np.array([0.0, 2.0]), 1.0))
    x = rng.normal(1.0, 1.5, (50, 3))
    fit, outcome = model.fit(x, iterations=30)
    assert fit.log_transition.shape == (2, 2, 2)
    assert np.all(np.diff(outcome.log_likelihoods) > -1e-8)
    assert np.all(np.exp(fit.log_transition)[:, 1, 0] == 0)


def test_fit_holds_emissions_that_would_degenerate():
    """A state that takes a single observation would narrow on it without end."""
    model = HiddenMarkov([0.5, 0.5], [[0.5, 0.5], [0.5, 0.5]], sx.Normal(np.array([0.0, 1e4]), 1.0))
    fit, outcome = model.fit([0.1, -0.3, 0.7, 1e4, 0.2], iterations=20)
    assert outcome.held.tolist() == [False, True]
    assert "states [1] have no maximum and were held" in str(outcome)
    assert fit.emission.scale[1] == 1.0
    assert np.isfinite(outcome.log_likelihood)


def test_fit_of_the_impossible_is_an_outcome():
    model = HiddenMarkov([1.0, 0.0], np.eye(2), sx.Bernoulli(np.array([1.0, 0.5])))
    fit, outcome = model.fit([1, 0, 1])
    assert fit is model
    assert outcome.reason is ChainReason.IMPOSSIBLE
    assert not outcome.converged
    assert outcome.iterations == 0


# Starts and criteria --------------------------------------------------------------------------------------------------

EARTHQUAKES = sx.data.datasets.load("earthquakes")["count"].values


@pytest.mark.parametrize(
    ("k", "total", "rates"),
    [
        at_length(1, -391.9189, [19.36]),
        at_length(2, -341.8787, [15.42, 26.02]),
        (3, -328.5275, [13.13, 19.71, 29.71]),
    ],
)
def test_fit_family_finds_what_the_book_has(k, total, rates):
    """Zucchini & MacDonald (2009), section 4.3.2: by EM, with a free initial distribution."""
    model, outcome = HiddenMarkov.fit_family(sx.Poisson, k, EARTHQUAKES)
    assert outcome.converged
    assert outcome.log_likelihood == pytest.approx(total, abs=5e-5)
    np.testing.assert_allclose(model.emission.rate, rates, atol=0.006)
    assert len(outcome.log_likelihoods) == outcome.iterations + 1
    assert np.all(np.diff(outcome.log_likelihoods) > -1e-8)
    assert model.free_parameters() == k * k + k - 1
    assert model.bic(EARTHQUAKES) == pytest.approx(np.log(107) * (k * k + k - 1) - 2 * total, abs=2e-3)
    assert model.aic(EARTHQUAKES, free=3) == pytest.approx(6 - 2 * total, abs=2e-3)


def test_stationary_starts_have_the_likelihood_of_the_book():
    """Table 3.1 there: −342.3183 at rates of 15.472 and 26.125 and these transitions."""
    moves = [[0.9340, 0.0660], [0.1285, 0.8715]]
    model = HiddenMarkov([0.6608, 0.3392], moves, sx.Poisson(np.array([15.472, 26.125])))
    np.testing.assert_allclose(model.stationary(), [0.6608, 0.3392], atol=2e-4)
    assert model.log_likelihood(EARTHQUAKES) == pytest.approx(-342.3183, abs=2e-3)


def test_a_key_adds_starts():
    plain = HiddenMarkov.fit_family(sx.Poisson, 3, EARTHQUAKES)[1].log_likelihood
    some = [HiddenMarkov.fit_family(sx.Poisson, 3, EARTHQUAKES, key=jax.random.key(5), starts=3) for _ in range(2)]
    assert some[0][1].log_likelihood >= plain - 1e-6
    np.testing.assert_array_equal(some[0][0].emission.rate, some[1][0].emission.rate)


FAMILIES = {
    "Normal": (sx.Normal(np.array([0.0, 4.0]), np.array([1.0, 0.5])), {}),
    "VonMises": (sx.VonMises(np.array([-3.0, 1.5]), np.array([8.0, 8.0])), {}),
    "Binomial": (sx.Binomial(np.array([10.0, 10.0]), np.array([0.2, 0.8])), {"total_count": 10}),
    "MultivariateNormal": (sx.MultivariateNormal(np.array([[0.0, 0.0], [3.0, 1.0]]), np.eye(2)), {}),
}


@pytest.mark.parametrize("name", [n if n == "MultivariateNormal" else at_length(n) for n in FAMILIES])
def test_fit_family_recovers_the_states(name):
    truth, known = FAMILIES[name]
    states, x = HiddenMarkov([0.5, 0.5], [[0.95, 0.05], [0.1, 0.9]], truth).sample(jax.random.key(3), 600)
    x = np.array(x, np.float64)
    x[np.arange(50, 60)] = np.nan
    model, outcome = HiddenMarkov.fit_family(type(truth), 2, [x[:400], x[400:]], **known)
    assert outcome.converged, str(outcome)
    found = np.concatenate([model.smooth(part).probabilities for part in (x[:400], x[400:])])
    right = np.mean(found.argmax(axis=1) == np.asarray(states))
    assert max(right, 1 - right) > 0.95
    assert model.emission.batch_shape == (2,)


def test_a_mixture_is_a_chain_that_is_cut_everywhere():
    model, outcome = HiddenMarkov.fit_family(sx.Poisson, 2, EARTHQUAKES[:, None], tolerance=1e-9)
    assert outcome.log_likelihood == pytest.approx(-360.369, abs=2e-3)
    np.testing.assert_allclose(model.emission.rate, [15.777, 26.840], atol=0.01)  # ibid., Table 1.2
    np.testing.assert_allclose(model.initial, [0.676, 0.324], atol=1e-3)


def test_free_parameters_of_covariances():
    vectors = HiddenMarkov([0.5, 0.5], TRUE, sx.MultivariateNormal(np.zeros((2, 3)), np.eye(3)))
    assert vectors.free_parameters() == 1 + 2 + 2 * (3 + 6)
    assert np.all(np.isnan(HiddenMarkov([0.5, 0.5], [TRUE], MODEL.emission).stationary()))


# Errors ---------------------------------------------------------------------------------------------------------------

MODEL = HiddenMarkov([0.5, 0.5], TRUE, sx.Normal(np.array([0.0, 3.0]), 1.0))
VECTORS = HiddenMarkov([0.5, 0.5], TRUE, sx.MultivariateNormal(np.zeros((2, 2)), np.eye(2)))


def test_logarithms_and_the_pytree():
    same = HiddenMarkov(log_initial=np.log([0.5, 0.5]), log_transition=np.log(TRUE), emission=MODEL.emission)
    x = np.array([0.1, 2.0])
    assert same.log_likelihood(x) == MODEL.log_likelihood(x)
    again = jax.tree.unflatten(jax.tree.structure(MODEL), jax.tree.leaves(MODEL))
    assert again.log_likelihood(x) == MODEL.log_likelihood(x)
    assert repr(MODEL).startswith(
        "HiddenMarkov(initial=[0.5, 0.5], transition=[[0.95, 0.05], [0.1 , 0.9 ]], emission=Normal("
    )
    with pytest.raises(AttributeError):
        MODEL.emission = None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: HiddenMarkov([0.5, 0.6], TRUE, MODEL.emission), "initial: the sum of probs must be 1; got 1.1"),
        (
            lambda: HiddenMarkov([0.5, 0.5], 0.9 * TRUE, MODEL.emission),
            "transition: the sum of probs must be 1; got .* at index 0",
        ),
        (lambda: HiddenMarkov([0.5, 0.5], None, MODEL.emission), "transition takes exactly one"),
        (lambda: HiddenMarkov([0.5, 0.5], np.eye(3), MODEL.emission), r"got shapes \(2,\) and \(3, 3\)"),
        (
            lambda: HiddenMarkov([0.5, 0.5], TRUE, sx.Normal(0.0, 1.0)),
            r"batch of shape \(2,\); got a batch of shape \(\)",
        ),
        (lambda: MODEL.log_likelihood([]), "at least one observation"),
        (lambda: MODEL.log_likelihood(3.0), r"one sequence of shape \(T,\) or a batch \(B, T\)"),
        (lambda: VECTORS.log_likelihood([1.0, 2.0]), r"one sequence of shape \(T, 2\)"),
        (lambda: VECTORS.smooth([[1.0, 2.0], [1.0, np.nan]]), "row 1 of sequence 0 has some components that are NaN"),
        (lambda: MODEL.filter(np.ones((1, 2)), lengths=[3]), "between 1 and 2.*got 3 at index 0"),
        (lambda: MODEL.filter(np.ones((1, 2)), lengths=[1.0]), "a whole number; got float64"),
        (lambda: MODEL.filter([1.0, 2.0], mask=[1, 0]), r"booleans of shape \(2,\); got int64"),
        (lambda: MODEL.filter([[1.0], [2.0, 3.0]], lengths=[1, 2]), "leave `lengths` out"),
        (lambda: MODEL.filter([[1.0], []]), "number 1 of the list has none"),
        (
            lambda: HiddenMarkov([0.5, 0.5], [TRUE], MODEL.emission).viterbi([1.0, 2.0, 3.0]),
            "1 transition matrices.*got length 3",
        ),
        (lambda: MODEL.sample(jax.random.key(0), 0), "at least 1; got 0"),
        (lambda: MODEL.fit([1.0, 2.0], iterations=0), "at least 1 iteration"),
        (lambda: MODEL.fit([np.nan, np.nan]), "all observations are missing"),
        (lambda: jax.jit(lambda x: MODEL.fit(x)[0].initial)(jnp.ones(3)), "outside of jit"),
        (lambda: jax.jit(lambda x: HiddenMarkov.fit_family(sx.Normal, 2, x)[0].initial)(jnp.ones(3)), "outside of jit"),
        (
            lambda: HiddenMarkov.fit_family(sx.Normal, 2, [1.0, 1.0, 1.0]),
            "at least as many different observations; got 1",
        ),
        (lambda: HiddenMarkov.fit_family(sx.Normal, 0, [1.0, 2.0]), "whole number of states, at least 1; got 0"),
        (lambda: HiddenMarkov.fit_family(sx.Normal, 2, [np.nan, np.nan]), "all observations are missing"),
        (lambda: HiddenMarkov.fit_family(sx.MultivariateNormal, 2, 3.0), r"one sequence \(T, …\)"),
    ],
)
def test_errors_are_sentences(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_what_is_no_distribution_is_refused():
    with pytest.raises(TypeError, match="emission must be a distribution"):
        HiddenMarkov([0.5, 0.5], TRUE, None)
    with pytest.raises(TypeError, match="takes a family of distributions"):
        HiddenMarkov.fit_family(MODEL.emission, 2, [1.0, 2.0])
    with pytest.raises(TypeError, match="are numbers"):
        MODEL.log_likelihood(np.array(["a", "b"]))


# Found in review ------------------------------------------------------------------------------------------------------


def test_held_parameters_are_held_from_any_start():
    start = HiddenMarkov([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], sx.Normal(np.array([0.0, 4.0]), 1.0))
    x = np.asarray(start.sample(jax.random.key(3), 200)[1])
    model, outcome = start.fit(x, scale=3.0)
    assert outcome.converged
    np.testing.assert_array_equal(model.emission.scale, [3.0, 3.0])
    assert np.all(np.diff(outcome.log_likelihoods) > -1e-8)
    assert len(outcome.log_likelihoods) == outcome.iterations + 1


def test_numbers_of_trials_are_not_fitted():
    model = HiddenMarkov([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], sx.Binomial(np.array([9.0, 9.0]), np.array([0.2, 0.8])))
    assert model.free_parameters() == 1 + 2 + 2


def test_the_likeliest_path_of_what_is_no_model_is_no_number():
    def path(initial, loc):
        return HiddenMarkov(initial, [[0.9, 0.1], [0.1, 0.9]], sx.Normal(loc, 1.0)).viterbi([0.1, -0.2, 0.3])

    for initial, loc in (([1.5, -0.5], [0.0, 9.0]), ([0.5, 0.5], [0.0, np.nan])):
        found = jax.jit(path)(np.array(initial), np.array(loc))
        assert np.isnan(found.log_probability)
        assert found.outcome.reason is ChainReason.NOT_A_NUMBER


def test_mixtures_are_emitted():
    emission = sx.MixtureSameFamily([[0.5, 0.5], [0.2, 0.8]], sx.Normal(np.array([[0.0, 1.0], [8.0, 9.0]]), 0.1))
    model = HiddenMarkov([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], emission)
    states, x = model.sample(jax.random.key(0), 50)
    np.testing.assert_array_equal(np.asarray(x) > 5, states)
    np.testing.assert_array_equal(model.viterbi(x).states, states)


def test_infinite_observations_have_no_starts():
    with pytest.raises(ValueError, match="row 2 of sequence 0"):
        HiddenMarkov.fit_family(sx.Normal, 2, [0.0, 1.0, np.inf, 2.0])


def test_states_are_in_order_though_float32_cannot_tell():
    model = HiddenMarkov([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], sx.Normal(np.array([0.0, 8.0]), np.array([3.0, 0.5])))
    x = np.asarray(model.sample(jax.random.key(1), 300)[1], np.float64)
    fit, _ = HiddenMarkov.fit_family(sx.Normal, 2, x + 1e10)
    assert np.diff(fit.emission.loc)[0] > 5


@pytest.mark.thorough  # criteria are those of the book, above
def test_criteria_are_in_float64():
    model = HiddenMarkov([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], sx.Normal(np.array([0.0, 4.0]), 1.0))
    x = np.asarray(model.sample(jax.random.key(1), 500)[1], np.float64)
    fit, outcome = model.fit(x)
    np.testing.assert_allclose(fit.aic(x), 14.0 - 2.0 * outcome.log_likelihood, rtol=1e-12)


def test_a_state_far_below_comes_back_with_all_its_digits():
    """An absorbing state is thousands of nats ahead, and then the data turn: steps of 1e-4 nat must not have been rounded away."""
    x = np.repeat([0.9, 1.1], 30_000).astype(np.float32)
    transition = [[1.0, 0.0], [1e-4, 1.0 - 1e-4]]
    model = HiddenMarkov([0.5, 0.5], transition, sx.Normal(np.array([0.0, 2.0]), 1.0))
    e = -0.5 * (x.astype(float)[:, None] - [0.0, 2.0]) ** 2 - 0.5 * np.log(2 * np.pi)
    belief, total, found = np.log([0.5, 0.5]), 0.0, []
    with np.errstate(divide="ignore"):
        log_m = np.log(np.array(transition))
    for row in e:
        belief = belief + row
        increment = np.logaddexp.reduce(belief)
        belief, total = belief - increment, total + increment
        found.append(belief)
        belief = np.logaddexp.reduce(belief[:, None] + log_m, axis=0)
    assert np.min(found) < -5_000
    filtered = model.filter(x)
    np.testing.assert_allclose(filtered.log_likelihood, total, rtol=3e-7)
    np.testing.assert_allclose(filtered.probabilities, np.exp(found), atol=1e-5)
