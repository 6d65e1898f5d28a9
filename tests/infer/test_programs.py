"""Functions without their data, and the store of programs."""

import functools
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import surprax as sx
from surprax.infer.programs import Hoisted
from surprax.numerics import compilation
from surprax.numerics.compilation import kept


def times(data):
    return Hoisted(lambda x: jnp.sum(data * x), jnp.zeros(3))


def test_fingerprints_are_equal_for_functions_that_differ_in_data_only():
    one, other = times(np.array([1.0, 2.0, 3.0])), times(np.array([4.0, 5.0, 6.0]))
    assert one.fingerprint == other.fingerprint
    assert one.slope_fingerprint == other.slope_fingerprint
    x = jnp.ones(3)
    assert float(one.pure(other.constants, x)) == float(other.pure(other.constants, x)) == 15.0
    assert times(np.arange(3.0)).fingerprint != Hoisted(lambda x: jnp.sum(x * x), jnp.zeros(3)).fingerprint


def test_which_of_its_data_a_function_uses_is_part_of_it():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])

    def pick(first):
        def function(x):
            values = jnp.sum(a * x), jnp.sum(b * x)
            return values[0 if first else 1]

        return Hoisted(function, jnp.zeros(3))

    assert len(pick(True).constants) == 2
    assert pick(True).fingerprint != pick(False).fingerprint


def test_rules_of_differentiation_are_part_of_a_function():
    def with_slope(slope):
        @jax.custom_jvp
        def f(x):
            return jnp.sum(x)

        f.defjvp(lambda primals, tangents: (f(*primals), slope * jnp.sum(tangents[0])))
        return Hoisted(lambda x: f(x), jnp.zeros(2))

    assert with_slope(1.0).fingerprint == with_slope(2.0).fingerprint
    assert with_slope(1.0).slope_fingerprint != with_slope(2.0).slope_fingerprint


def test_float64_inside_of_float32():
    data = np.array([1.0, 1e-9])

    def exactly(x):
        with jax.enable_x64(True):
            return jax.lax.convert_element_type(1e9 * (jnp.sum(jnp.asarray(data)) - 1.0), np.float32) * x

    f = Hoisted(exactly, jnp.float32(0.0))
    assert abs(float(jax.jit(f.pure)(f.constants, jnp.float32(2.0))) - 2.0) < 1e-6


def test_programs_do_not_keep_data_alive():
    data = np.arange(3.0)
    f = times(data)
    alive = weakref.ref(f.constants[0])
    program = kept(("test", f.fingerprint), functools.partial(jax.jit, f.pure))
    assert float(program(f.constants, jnp.ones(3))) == 3.0
    del f
    gc.collect()
    assert alive() is None


def test_arrays_stay_what_they_are_for_float32():
    data = np.arange(3.0)
    with jax.enable_x64(True):
        wide = times(data)
        assert wide.constants[0].dtype == np.float64
    assert times(data).constants[0].dtype == np.float32


def test_the_program_that_was_unused_for_longest_goes(monkeypatch):
    monkeypatch.setattr(compilation, "_programs", type(compilation._programs)())
    monkeypatch.setattr(compilation, "_KEPT", 2)
    made = []

    def build(name):
        return kept(name, lambda: made.append(name) or name)

    assert [build(name) for name in ("a", "b", "a", "c", "a", "b")] == ["a", "b", "a", "c", "a", "b"]
    assert made == ["a", "b", "c", "b"]


@pytest.mark.parametrize("simplified", [False, True])
def test_data_of_compiled_functions_inside_are_part_of_a_program(simplified):
    def made(seed):
        data = np.random.default_rng(seed).normal(size=1_000)
        inner = jax.jit(lambda b: jnp.sum(b * data))
        return Hoisted(lambda z: inner(z[0]), np.zeros(1, np.float32))

    before = jax.config.jax_use_simplified_jaxpr_constants
    jax.config.update("jax_use_simplified_jaxpr_constants", simplified)
    try:
        one, same, other = made(1), made(1), made(2)
        assert one.fingerprint == same.fingerprint != other.fingerprint
        assert one.slope_fingerprint == same.slope_fingerprint != other.slope_fingerprint
    finally:
        jax.config.update("jax_use_simplified_jaxpr_constants", before)


def test_other_data_of_the_same_shape_are_proved_by_the_same_programs():
    def model(x):
        rate = numpyro.sample("rate", dist.Exponential(1.0))
        with numpyro.plate("rows", len(x)):
            numpyro.sample("x", dist.Poisson(rate), obs=x)

    def proofs():
        return [key for key in compilation._programs if key[0] == "aside"]

    rng = np.random.default_rng(0)
    x = rng.poisson(3.0, 200).astype(np.int32)
    told = weakref.ref(x)
    assert sx.compress(model, x).certificate.error < 1e-9
    before = proofs()
    again = sx.compress(model, rng.poisson(40.0, 200).astype(np.int32))
    assert again.certificate.error < 1e-9
    assert sorted(before) == sorted(proofs())
    assert len(before) >= 2
    del x
    gc.collect()
    assert told() is None
