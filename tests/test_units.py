"""Units of surprise: conversions agree with their definitions and with each other."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import surprax as sx
from surprax.units import from_nats, nats_per, to_nats

UNITS = ["nat", "bit", "ban", "deciban"]
units = some.sampled_from(UNITS)
amounts = some.floats(-1e6, 1e6, allow_nan=False, width=32)


@pytest.mark.parametrize(
    ("start", "end", "factor"), [("ban", "nat", 2.302585), ("ban", "bit", 3.321928), ("deciban", "bit", 0.332193)]
)
def test_one_unit_is_so_many_of_another(start, end, factor):
    assert float(sx.convert(1.0, start, end)) == pytest.approx(factor, abs=1e-6)


@given(amounts, units, units, units)
def test_converting_twice_is_converting_once(value, a, b, c):
    np.testing.assert_allclose(
        sx.convert(sx.convert(value, a, b), b, c), sx.convert(value, a, c), rtol=1e-6, atol=1e-30
    )


@given(amounts, units)
def test_to_nats_and_back(value, unit):
    np.testing.assert_allclose(from_nats(to_nats(value, unit), unit), value, rtol=1e-6, atol=1e-30)


@given(amounts, amounts, units, units)
def test_converting_is_linear(x, y, a, b):
    np.testing.assert_allclose(
        sx.convert(np.float32(x), a, b) + sx.convert(np.float32(y), a, b),
        sx.convert(np.float32(x) + np.float32(y), a, b),
        rtol=1e-4,
        atol=1e-6 * (abs(x) + abs(y)) * nats_per(a) / nats_per(b),
    )


@pytest.mark.parametrize("unit", UNITS)
def test_infinite_stays_infinite_and_nan_stays_nan(unit):
    assert float(sx.convert(np.inf, "nat", unit)) == np.inf
    assert np.isnan(sx.convert(np.nan, "nat", unit))


def test_conversion_is_batched_and_traceable():
    x = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(jax.jit(lambda v: sx.convert(v, "bit", "nat"))(x), x * np.log(2), rtol=1e-6)
    assert float(jax.grad(lambda v: sx.convert(v, "bit", "nat"))(1.0)) == pytest.approx(np.log(2))


@pytest.mark.parametrize("wrong", ["bits", "Bit", "", None, 3])
def test_unknown_unit_is_refused_in_words(wrong):
    with pytest.raises(ValueError, match=r"one of nat, bit, ban, deciban; got"):
        sx.convert(1.0, wrong, "nat")
    with pytest.raises(ValueError, match="Did you mean 'bit'"):
        nats_per("bits")
