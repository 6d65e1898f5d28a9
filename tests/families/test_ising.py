"""The Ising model against sums over all joint states."""

import functools
import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surprax.evidence import Evidence
from surprax.families.ising import Ising
from surprax.numerics.junction_tree import elimination_order, width

GRAPHS = {
    "none": ([], 3),
    "chain": ([(2, 1), (1, 0), (0, 3)], None),
    "cycle": ([(0, 1), (1, 2), (2, 3), (3, 0)], None),
    "grid": ([(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)], None),
    "complete": (list(itertools.combinations(range(4), 2)), None),
    "apart": ([(0, 2), (3, 4), (4, 5), (5, 3)], 6),
}
each_graph = pytest.mark.parametrize(
    "name", [n if n in ("none", "grid", "apart") else pytest.param(n, marks=pytest.mark.thorough) for n in GRAPHS]
)
"""A program for each graph; chains are parts of these, and of cycles and complete graphs more is asked below."""
two_graphs = pytest.mark.parametrize("name", ["cycle", pytest.param("apart", marks=pytest.mark.thorough)])


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def family_on(name):
    edges, nodes = GRAPHS[name]
    return Ising.on(edges, nodes)


@functools.cache
def states_of(name):
    """All joint states and their statistics."""
    nodes = family_on(name).tree.nodes
    x = np.array(list(itertools.product([-1.0, 1.0], repeat=nodes)))
    edges = np.array(GRAPHS[name][0], int).reshape(-1, 2)
    return x, np.column_stack([x, x[:, edges[:, 0]] * x[:, edges[:, 1]]])


def parameters(name, seed=0, size=1.0, batch=()):
    rng = np.random.default_rng(seed)
    nodes, edges = family_on(name).tree.nodes, len(GRAPHS[name][0])
    return rng.normal(size=(*batch, nodes)) * size, rng.normal(size=(*batch, edges)) * size


def enumerated(name, field, coupling):
    """Everything about one distribution, by its 2ⁿ probabilities, in long double."""
    x, statistics = states_of(name)
    energy = statistics @ np.concatenate([field, coupling]).astype(np.longdouble)
    top = energy.max()
    A = top + np.log(np.sum(np.exp(energy - top)))
    log_p = energy - A
    p = np.exp(log_p)
    mean = p @ statistics
    away = statistics - mean
    return SimpleNamespace(x=x, T=statistics, A=A, log_p=log_p, p=p, mean=mean, fisher=(away.T * p) @ away)


def divergence(p, q):
    """Σ p (δ + e^−δ − 1), δ = log p/q."""
    gap = p.log_p - q.log_p
    return np.sum(p.p * (gap + np.expm1(-gap)))


def close(a, b, rtol=1e-11, atol=1e-13):
    np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(b, np.float64), rtol=rtol, atol=atol)


@jax.jit
def everything(d, q, x):
    return {
        "log_prob": d.log_prob(x),
        "level": d.log_normalizer,
        "entropy": d.entropy(),
        "kl": d.kl(q),
        "expectation": d.expectation,
        "variance": d.variance,
        "fisher": d.fisher_information(),
        "mode": d.mode,
    }


@each_graph
def test_everything_is_what_the_sum_over_all_states_gives(name):
    cls = family_on(name)
    p, q = parameters(name, 1), parameters(name, 2)
    truth, other = enumerated(name, *p), enumerated(name, *q)
    got = everything(cls(*p), cls(*q), truth.x)
    nodes = cls.tree.nodes
    close(got["log_prob"], truth.log_p)
    close(got["level"], truth.A)
    close(got["entropy"], -truth.p @ truth.log_p)
    close(got["kl"], divergence(truth, other))
    close(got["expectation"], truth.mean)
    close(got["variance"], np.diag(truth.fisher)[:nodes])
    close(got["fisher"], truth.fisher)
    close(got["mode"], truth.x[np.argmax(truth.p)])


FRUSTRATED = {"cycle": [50.0, 50.0, -50.0, 50.0], "complete": [-50.0] * 6}


@pytest.mark.parametrize("name", FRUSTRATED)
@pytest.mark.parametrize("field", [0.0, 50.0])
def test_single_precision_keeps_its_digits_at_strong_couplings(name, field):
    """Errors are within what rounding the couplings explains."""
    cls = family_on(name)
    p = [field * np.sign(parameters(name, 3)[0]), np.array(FRUSTRATED[name])]
    q = [(v + 1e-3 * w).astype(np.float32) for v, w in zip(p, parameters(name, 4))]
    truth, other = enumerated(name, *p), enumerated(name, *q)
    with jax.enable_x64(False):
        got = jax.tree.map(np.asarray, everything(cls(*p), cls(*q), truth.x))
    eps = np.finfo(np.float32).eps
    size = np.abs(np.concatenate(p)).sum()
    assert np.all(np.abs(got["log_prob"] - truth.log_p) <= 4 * eps * (size + np.abs(truth.log_p)))
    close(got["entropy"], -truth.p @ truth.log_p, rtol=2e-5, atol=1e-30)
    close(got["kl"], divergence(truth, other), rtol=5e-5, atol=1e-30)
    close(got["expectation"], truth.mean, rtol=0, atol=50 * eps)


@pytest.mark.parametrize("step", [1.0, 1e-3, 1e-6])
def test_divergence_keeps_its_digits_as_laws_meet(step):
    name = "cycle"
    cls = family_on(name)
    p = [v.astype(np.float32) for v in parameters(name, 1)]
    q = [(v + step * w).astype(np.float32) for v, w in zip(p, parameters(name, 2))]
    truth = divergence(enumerated(name, *p), enumerated(name, *q))
    with jax.enable_x64(False):
        close(everything(cls(*p), cls(*q), states_of(name)[0])["kl"], truth, rtol=3e-6)


def test_gradients_are_those_of_the_formulas():
    """∇ log p(x) = T(x) − E T; ∇_q KL = E_q T − E_p T; ∇_p KL = F (η_p − η_q)."""
    name = "complete"
    cls = family_on(name)
    p, q = parameters(name, 1), parameters(name, 2)
    truth, other = enumerated(name, *p), enumerated(name, *q)
    slope = jax.jit(jax.grad(lambda d, x: d.log_prob(x)))
    for row in (0, 5):
        g = slope(cls(*p), truth.x[row])
        close(np.concatenate([g.field, g.coupling]), truth.T[row] - truth.mean)
    for_p, for_q = jax.jit(jax.grad(lambda d, q: d.kl(q), argnums=(0, 1)))(cls(*p), cls(*q))
    step = np.concatenate(p) - np.concatenate(q)
    close(np.concatenate([for_p.field, for_p.coupling]), truth.fisher @ step, rtol=1e-9, atol=1e-11)
    close(np.concatenate([for_q.field, for_q.coupling]), other.mean - truth.mean, rtol=1e-9, atol=1e-11)


def test_batches_are_loops():
    name = "cycle"
    cls = family_on(name)
    field, _ = parameters(name, 1, batch=(2, 1))
    _, coupling = parameters(name, 2, batch=(3,))
    batch, q, x = cls(field, coupling), parameters(name, 4), states_of(name)[0]
    assert batch.batch_shape == (2, 3)
    got = everything(batch, cls(*q), x[:, None, None])
    other = enumerated(name, *q)
    for i, j in itertools.product(range(2), range(3)):
        truth = enumerated(name, field[i, 0], coupling[j])
        close(got["log_prob"][:, i, j], truth.log_p)
        close(got["level"][i, j], truth.A)
        close(got["kl"][i, j], divergence(truth, other))
        close(got["entropy"][i, j], -truth.p @ truth.log_p)
        close(got["fisher"][i, j], truth.fisher)
        close(got["expectation"][i, j], truth.mean)
        close(got["mode"][i, j], truth.x[np.argmax(truth.p)])
    every = jax.vmap(lambda h: cls(h, coupling[1]).entropy())(jnp.asarray(field[:, 0]))
    close(every, got["entropy"][:, 1])
    draws = jax.eval_shape(lambda d: d.sample(jax.random.key(0), (4,)), batch)
    assert draws.shape == (4, 2, 3, 4)


@two_graphs
def test_samples_have_the_probabilities(name):
    cls = family_on(name)
    p = parameters(name, 1, size=0.7)
    truth = enumerated(name, *p)
    x = np.asarray(cls(*p).sample(jax.random.key(3), (20_000,)))
    place = ((x + 1) // 2) @ (1 << np.arange(x.shape[1])[::-1])
    share = np.bincount(place, minlength=len(truth.p)) / len(x)
    assert np.all(np.abs(share - truth.p) <= 5 * np.sqrt(truth.p * (1 - truth.p) / len(x)) + 1e-4)


@two_graphs
def test_expectations_lead_back(name):
    cls = family_on(name)
    both = [parameters(name, seed, size=size) for seed, size in ((1, 0.5), (2, 1.0))]
    means = np.array([enumerated(name, *p).mean for p in both], np.float64)
    found, outcome = cls.try_from_expectation(means)
    assert np.all(outcome.ok), str(outcome)
    for i, p in enumerate(both):
        close(found.natural[i], np.concatenate(p), rtol=1e-7, atol=1e-8)


def test_expectations_that_are_impossible_are_refused():
    """Of x_0x_1 + x_1x_2 + x_2x_3 − x_3x_0, no value is above 2."""
    cls = family_on("cycle")
    around = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0])
    node, pair = np.zeros(8), np.zeros(8)
    node[0] = 1.0
    pair[[0, 1, 4]] = 0.8, -0.8, 0.2
    found, outcome = cls.try_from_expectation(np.stack([0.9 * around, 0.5 * around, node, pair, 0.49 * around]))
    assert np.asarray(outcome.ok).tolist() == [False] * 4 + [True]
    assert np.all(np.isnan(found.natural[:4]))
    close(enumerated("cycle", found.field[4], found.coupling[4]).mean, 0.49 * around, atol=1e-9)
    with pytest.raises(ValueError, match="no distribution of the family has these expectations"):
        cls.fit(np.ones((10, 4)))
    with pytest.raises(ValueError, match="there are no observations"):
        cls.fit(np.ones((10, 4)), np.zeros(10))


def test_a_fit_is_where_the_statistics_meet_and_evidence_is_all_it_needs(tmp_path):
    cls = Ising.on([(0, 1)])
    d = cls([0.3, -0.2], [0.4])
    x = np.asarray(d.sample(jax.random.key(5), (300,)), np.float64)
    evidence = cls.evidence(x[:100]) + cls.evidence(x[100:])
    fit = evidence.fit()
    close(fit.expectation, np.asarray(d.sufficient_statistics(x)).mean(axis=0), atol=1e-12)
    close(evidence.log_likelihood(d), np.sum(d.log_prob(x)))
    close(evidence.log_likelihood(fit), np.sum(fit.log_prob(x)))
    assert 0 < float(evidence.excess_surprise(d)) < 12  # half a chi-square of 3 degrees of freedom
    evidence.save(tmp_path / "evidence.json")
    close(Evidence.load(tmp_path / "evidence.json").log_likelihood(d), evidence.log_likelihood(d))
    with pytest.raises(ValueError, match="vectors of −1 and \\+1"):
        cls.evidence(np.where(x > 0, 1.0, 0.0))
    # The derivative of the fit in the means is the inverse of the information.
    mean = np.asarray(d.expectation)
    slope = jax.jacobian(lambda m: cls.from_expectation(m).natural)(jnp.asarray(mean))
    close(np.asarray(slope) @ np.asarray(d.fisher_information()), np.eye(3), atol=1e-8)


def test_a_graph_has_one_family():
    assert Ising.on([(1, 0), (1, 2)]) is Ising.on(np.array([[0, 1], [2, 1]]))
    assert Ising.on([(0, 1)]) is not Ising.on([(0, 1)], nodes=3)
    d = Ising.on([(0, 1)])([0.0, 1.0], [0.5])
    assert repr(jax.tree.unflatten(*jax.tree.flatten(d)[::-1])) == repr(d)
    assert repr(d).startswith("Ising[2: 0-1](field=")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Ising.on([(0, 0)]), "edge 0 is \\(0, 0\\)"),
        (lambda: Ising.on([(0, 1), (1, 0)]), "edge 1, \\(1, 0\\), is there already"),
        (lambda: Ising.on([(0, 3)], nodes=3), "among 0, …, 2"),
        (lambda: Ising.on([]), "at least one node"),
        (lambda: Ising.on(itertools.combinations(range(14), 2)), "needs 2\\^13"),
        (lambda: Ising.on([(0, 1)])([0.0], [1.0]), "one number for each node on its last axis, 2 in all"),
        (lambda: Ising.on([(0, 1)])([0.0, 0.0], 1.0), "one number for each edge"),
        (lambda: Ising.on([(0, 1)])([0.0, np.inf], [1.0]), "field must be finite"),
        (lambda: Ising.on([(0, 1)]).from_natural(np.zeros(4)), "2 \\+ 1 natural parameters"),
    ],
)
def test_what_it_refuses(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_ising_itself_asks_for_a_graph():
    for ask in (
        lambda: Ising([0.0], [1.0]),
        lambda: Ising.fit(np.ones((3, 2))),
        lambda: Ising.from_natural(np.ones(3)),
    ):
        with pytest.raises(TypeError, match="Ising is one family for each graph"):
            ask()


def test_least_fill_finds_the_width_of_simple_graphs():
    def grid(rows, columns):
        across = [(i * columns + j, i * columns + j + 1) for i in range(rows) for j in range(columns - 1)]
        return (*across, *((v, v + columns) for v in range((rows - 1) * columns)))

    assert width(50, tuple((i, i + 1) for i in range(49))) == 1
    assert width(50, tuple((i, (i + 1) % 50) for i in range(50))) == 2
    assert width(12, grid(3, 4)) == 3
    assert width(5, tuple(itertools.combinations(range(5), 2))) == 4
    assert sorted(v for v, _ in elimination_order(12, grid(3, 4))) == list(range(12))
