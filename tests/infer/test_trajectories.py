"""The program of chains: what it draws, and what it tells of points that it only looks at."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surprax.infer.nuts import Settings, _lengths
from surprax.infer.trajectories import NOWHERE, Noise, Position, Seen, adaptation_at, iterations, noise, rows_of

PRECISION = np.array([[2.0, 0.8, 0.0], [0.8, 1.0, 0.3], [0.0, 0.3, 0.5]])
DEPTH = 8


def normal(w):
    return 0.5 * w @ PRECISION @ w, PRECISION @ w


def halfline(w):
    """Densities on one side only."""
    return jnp.where(w[0] > 0.0, jnp.sum(w), jnp.inf), jnp.ones_like(w)


def started(slope, size, *, step=0.7, target=0.8, dtype=np.float64):
    """A program for iterations, and its arguments before the first."""

    def run(position, adaptation, count, adapting, looking, numbers):
        return iterations(slope, position, adaptation, count, adapting, looking, numbers, target)

    position = Position(np.zeros((2, size), dtype), np.zeros((), dtype))
    return jax.jit(run), position, adaptation_at(np.log(step), dtype)


def chain(slope, size, rounds):
    program, position, adaptation = started(slope, size)
    rng, found, told = np.random.default_rng(1), [], []
    for i in range(rounds):
        own = noise(rng, size, DEPTH, np.float64)
        position, adaptation, record = program(position, adaptation, rows_of(DEPTH), i < 10, False, own)
        if i >= 10:
            seen = Seen.of(record, rows_of(DEPTH))
            found.append(seen.w)
            told.append(seen.statistics)
    return np.concatenate(found), {name: np.concatenate([one[name] for one in told]) for name in told[0]}


def test_draws_of_a_normal():
    with jax.enable_x64(True):
        draws, told = chain(normal, 3, 410)
    covariance = np.linalg.inv(PRECISION)
    sd = np.sqrt(np.diagonal(covariance))
    assert np.all(np.abs(draws.mean(axis=0)) < 0.05 * sd)
    assert np.cov(draws.T) == pytest.approx(covariance, abs=0.05 * np.max(covariance))
    assert np.mean(draws**4, axis=0) == pytest.approx(3.0 * sd**4, rel=0.1)
    assert 0.7 < told["acceptance_rate"].mean() < 0.95
    assert not told["diverging"].any()
    assert np.array_equal(told["step_size"], np.full(len(draws), told["step_size"][0]))
    assert -told["lp"] == pytest.approx([normal(w)[0] for w in draws])
    kinetic = told["energy"] + told["lp"]
    assert np.all(kinetic >= 0.0)
    assert kinetic.mean() == pytest.approx(1.5, rel=0.05)


def test_points_that_are_only_looked_at():
    with jax.enable_x64(True):
        program, position, adaptation = started(normal, 3)
        points = np.random.default_rng(0).normal(size=(rows_of(DEPTH), 3)) * 100.0
        own = noise(np.random.default_rng(2), 3, DEPTH, np.float64)._replace(momenta=points)
        _, _, record = program(position, adaptation, 7, False, True, own)
        seen, told = Seen.of(record, 7), [normal(w) for w in points[:7]]
        assert np.array_equal(seen.w, points[:7])
        assert -seen.statistics["lp"] == pytest.approx([value for value, _ in told], rel=1e-14)
        assert seen.gradient == pytest.approx(np.array([gradient for _, gradient in told]), rel=1e-12)


def test_points_without_a_density():
    with jax.enable_x64(True):
        program, position, adaptation = started(halfline, 2)
        points = np.zeros((rows_of(DEPTH), 2))
        points[:3] = [[1.0, 2.0], [-1.0, 2.0], [np.nan, 1.0]]
        own = noise(np.random.default_rng(2), 2, DEPTH, np.float64)._replace(momenta=points)
        _, _, record = program(position, adaptation, 3, False, True, own)
        assert (-Seen.of(record, 3).statistics["lp"]).tolist() == [3.0, NOWHERE, NOWHERE]


def test_a_step_too_far_diverges_and_stays():
    with jax.enable_x64(True):
        program, position, _ = started(lambda w: (0.5 * jnp.sum(w * w), w), 2)
        own = noise(np.random.default_rng(2), 2, DEPTH, np.float64)
        _, _, record = program(position, adaptation_at(np.log(1e3), np.float64), 5, False, False, own)
        seen = Seen.of(record, 5)
        assert seen.statistics["diverging"].all()
        assert np.all(seen.statistics["n_steps"] == 1)
        assert np.all(seen.w == 0.0)


def test_random_numbers_for_deep_trees_come_for_fewer_iterations():
    assert (rows_of(10), rows_of(12), rows_of(20)) == (50, 16, 1)
    own = noise(np.random.default_rng(0), 4, 12, np.float32)
    assert isinstance(own, Noise)
    assert [part.shape for part in own] == [(16, 4), (16, 12), (16, 12), (16, 4096)]
    assert own.momenta.dtype == np.float32


@pytest.mark.parametrize("warmup", [0, 1, 19, 20, 150, 500, 1_000])
def test_the_warm_up_is_as_long_as_it_is_said_to_be(warmup):
    found = _lengths(Settings(1, warmup, 70, 0.8, 10), 50)
    assert sum(length for length, window, _ in found if window is not None) == warmup
    assert [length for length, window, _ in found if window is None] == [50, 20]
    assert all(0 < length <= 50 for length, _, _ in found)
