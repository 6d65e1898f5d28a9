"""Evidence of many rows by group, and of integers, is that of each group by itself: the fast ways on the CPU."""

from fractions import Fraction

import numpy as np
import pytest

import surprax as sx
from surprax.evidence import grouped, repeats, tally
from surprax.evidence.grouped import Codes, sums_by_group
from surprax.evidence.tally import count_values
from surprax.families import fitting

ROWS, GROUPS = 4_000, 7
RNG = np.random.default_rng(20_240_229)
BY = RNG.integers(0, GROUPS, ROWS)
DATA = {
    "Normal": (sx.Normal, {}, RNG.normal(50.0, 2.0, ROWS)),
    "LogNormal": (sx.LogNormal, {}, RNG.lognormal(1.0, 0.5, ROWS)),
    "Exponential": (sx.Exponential, {}, RNG.exponential(3.0, ROWS)),
    "HalfNormal": (sx.HalfNormal, {}, np.abs(RNG.normal(0.0, 3.0, ROWS))),
    "Gamma": (sx.Gamma, {}, RNG.gamma(2.5, 0.7, ROWS)),
    "InverseGamma": (sx.InverseGamma, {}, 1.0 / RNG.gamma(2.5, 0.7, ROWS)),
    "InverseGaussian": (sx.InverseGaussian, {}, RNG.wald(2.0, 3.0, ROWS)),
    "Beta": (sx.Beta, {}, RNG.beta(2.0, 3.0, ROWS)),
    "Weibull": (sx.Weibull, {"concentration": 1.7}, RNG.weibull(1.7, ROWS)),
    "Dirichlet": (sx.Dirichlet, {}, RNG.dirichlet([2.0, 3.0, 4.0], ROWS)),
    "MultivariateNormal": (sx.MultivariateNormal, {}, RNG.normal(3.0, 1.0, (ROWS, 3)) @ RNG.normal(size=(3, 3))),
    "Poisson": (sx.Poisson, {}, RNG.poisson(4.0, ROWS)),
    "Bernoulli": (sx.Bernoulli, {}, RNG.integers(0, 2, ROWS)),
    "Binomial": (sx.Binomial, {"total_count": 9}, RNG.binomial(9, 0.3, ROWS)),
    "Geometric": (sx.Geometric, {}, RNG.geometric(0.3, ROWS) - 1),
    "NegativeBinomial": (sx.NegativeBinomial, {"concentration": 2.5}, RNG.negative_binomial(2.5, 0.3, ROWS)),
    "Multinomial": (sx.Multinomial, {"total_count": 6}, RNG.multinomial(6, [0.2, 0.3, 0.5], ROWS)),
}
CONTINUOUS = [name for name, (family, _, _) in DATA.items() if not family.discrete]
each = pytest.mark.parametrize("name", DATA)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Everything in several runs of rows, and a part of one."""
    monkeypatch.setattr(fitting, "FEW", 1_000)
    for module, name, value in (
        (grouped, "PLAIN_RUN", 500),
        (grouped, "RUN", 700),
        (grouped, "GLANCE", 512),
        (repeats, "RUN", 600),
        (tally, "_RUN", 900),
    ):
        monkeypatch.setattr(module, name, value)


def one_by_one(family, known, x, by, weights=None):
    """Evidence of each group by itself, by way of rows that are few."""
    found = []
    for label in np.unique(by):
        mine = by == label
        found.append(family.evidence(x[mine], None if weights is None else weights[mine], **known))
    return found


def agree(together, each_alone, tolerance=1e-13):
    for i, alone in enumerate(each_alone):
        one = together[i]
        assert one.count == pytest.approx(alone.count, rel=1e-14)
        np.testing.assert_allclose(one.mean, alone.mean, rtol=tolerance, atol=tolerance)
        scale = np.max(np.abs(alone.gaps), initial=0.0)
        np.testing.assert_allclose(one.gaps, alone.gaps, rtol=tolerance, atol=tolerance * scale)
        np.testing.assert_allclose(one.log_base, alone.log_base, rtol=tolerance, atol=1e-11)


@each
def test_evidence_by_group_is_that_of_each_group(name):
    family, known, x = DATA[name]
    together = family.evidence(x, by=BY, **known)
    assert together.labels == tuple(range(GROUPS))
    agree(together, one_by_one(family, known, x, BY))


@each
def test_weighted_evidence_by_group_is_that_of_each_group(name):
    family, known, x = DATA[name]
    weights = RNG.uniform(0.0, 2.0, ROWS) * (BY != 2)
    together = family.evidence(x, weights, by=BY, **known)
    assert together.labels == tuple(range(GROUPS))
    assert together.count[2] == 0.0
    agree(together, one_by_one(family, known, x, BY, weights))


@pytest.mark.parametrize("name", ["Normal", "Gamma", "Beta", "InverseGaussian", "MultivariateNormal"])
def test_groups_far_apart_keep_their_digits(name):
    family, known, x = DATA[name]
    power = 10.0 ** (BY - 3)
    x = x / (1.0 + 1e5 * BY) if name == "Beta" else x * (power[:, None] if x.ndim > 1 else power)
    agree(family.evidence(x, by=BY, **known), one_by_one(family, known, x, BY), 1e-11)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_rows_of_a_group_that_are_all_alike_have_no_gap(name):
    family, known, x = DATA[name]
    by = np.where(np.arange(ROWS) == 1_234, 99, BY)  # and a group of a single row
    x = x.copy()
    x[by == 3] = x[0] if name != "Weibull" else 0.3
    together = family.evidence(x, by=by, **known)
    assert together.labels == (*range(GROUPS), 99)
    alike, single = (np.asarray(together.gaps[i]) for i in (3, GROUPS))
    least = 1e-28 if x.ndim > 1 else 0.0
    assert np.all(np.abs(alike) <= least)
    assert np.all(np.abs(single) <= least)
    agree(together, one_by_one(family, known, x, by), 1e-12)


def test_sums_of_whole_numbers_are_exact():
    x, by = DATA["Poisson"][2], BY.astype(np.int8) - 100
    together = sx.Poisson.evidence(x, by=by)
    for i, label in enumerate(together.labels):
        mine = x[by == label]
        assert together.count[i] == len(mine)
        assert together.mean[i] == float(Fraction(int(mine.sum()), len(mine)))


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64])
def test_integers_of_any_type_are_data_and_labels(kind):
    x, by = DATA["Poisson"][2].astype(kind), (3 * BY + 5).astype(kind)
    together = sx.Poisson.evidence(x, by=by)
    assert together.labels == tuple(range(5, 5 + 3 * GROUPS, 3))
    agree(together, one_by_one(sx.Poisson, {}, x.astype(float), by))
    whole = sx.Poisson.evidence(x)
    assert (whole.count, whole.mean) == (ROWS, float(Fraction(int(x.sum(dtype=int)), ROWS)))


@pytest.mark.parametrize("name", ["Gamma", "Poisson", "Multinomial"])
def test_labels_may_be_text(name):
    family, known, x = DATA[name]
    names = np.array(["g", "f", "e", "d", "c", "b", "a"])
    together = family.evidence(x, by=names[BY], **known)
    assert together.labels == tuple("abcdefg")
    agree(together, one_by_one(family, known, x, names[BY]))


@pytest.mark.parametrize("by", [None, BY])
@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("Gamma", -1.0, "row 3100 is -1"),
        ("Gamma", np.nan, "row 3100 is missing"),
        ("Poisson", -2, "row 3100 is -2"),
        ("Binomial", 10, "row 3100 is 10"),
        ("Multinomial", [1, 1, 1], r"row 3100 is \[1, 1, 1\]"),
    ],
)
def test_the_first_row_outside_is_named(name, wrong, told, by):
    family, known, x = DATA[name]
    x = x.copy()
    x[3_100] = x[3_900] = wrong
    with pytest.raises(ValueError, match=told):
        family.evidence(x, by=by, **known)


@pytest.mark.parametrize("high", [1, 2, 15, 16, 200, 40_000])
def test_counts_are_those_of_each_value(high):
    x = RNG.integers(0, high, ROWS + 2).astype(np.int32)
    x[-1] = high  # longer than the rest, and seen last
    values, counts = count_values(x, None, None, 0)
    truth = np.unique(x, return_counts=True)
    np.testing.assert_array_equal(values, truth[0])
    np.testing.assert_array_equal(counts, truth[1])


def test_vectors_of_counts_are_counted_by_value():
    family, known, x = DATA["Multinomial"]
    whole, rows = family.evidence(x, **known), family.evidence(x.astype(float), **known)
    assert whole.count == ROWS
    np.testing.assert_allclose(whole.mean, x.mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(whole.log_base, rows.log_base, rtol=1e-13)


def test_signs_are_told_apart_in_packed_sums():
    x = RNG.choice([-3, -1, 2], (ROWS, 4))
    found = repeats.repeats(x)
    np.testing.assert_array_equal(found.values[found.of(slice(None))], x)
    layout = grouped.Layout(sx.MultivariateNormal.layout.carrier)
    sums = repeats.reduce_values_by_group(layout, found, found.values, None, Codes(BY, 0, GROUPS + 1))
    for group in range(GROUPS):
        mine = x[group == BY]
        np.testing.assert_array_equal(sums.mean[group], mine.sum(axis=0) / len(mine))
    assert sums.number[GROUPS] == 0.0


def test_long_sums_of_a_group_keep_their_digits():
    x = RNG.uniform(size=300_000)
    (total,) = sums_by_group(lambda run, _: [x[run]], Codes(np.zeros(len(x), np.uint8), 0, 1), 1 << 10)
    assert abs(total[0] / float(sum(map(Fraction, x))) - 1.0) < 1e-14
