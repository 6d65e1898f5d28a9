"""Evidence: a vector that adds, subtracts and scales, whatever the order and the split."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays

import surprax as sx

FAMILIES = {
    "Normal": sx.Normal,
    "LogNormal": sx.LogNormal,
    "Gamma": sx.Gamma,
    "InverseGamma": sx.InverseGamma,
    "InverseGaussian": sx.InverseGaussian,
    "HalfNormal": sx.HalfNormal,
    "Exponential": sx.Exponential,
    "Beta": sx.Beta,
}
each = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
# Values inside every continuous family's domain.
samples = arrays.arrays(np.float64, some.integers(3, 40), elements=some.floats(0.01, 0.99), unique=True)


def same(a, b, rtol=1e-12):
    for name, value in a._arrays().items():
        np.testing.assert_allclose(
            b._arrays()[name], value, rtol=rtol, atol=1e-13 * max(1.0, float(np.max(np.abs(value), initial=0.0)))
        )


@each
@given(x=samples, cut=some.integers(1, 39))
def test_evidence_of_a_union_is_the_sum(family, x, cut):
    cut = min(cut, len(x) - 1)
    same(family.evidence(x), family.evidence(x[:cut]) + family.evidence(x[cut:]))


@each
@given(x=samples, order=some.randoms())
def test_order_and_bracketing_do_not_matter(family, x, order):
    a, b, c = (family.evidence(part) for part in (x[:1], x[1:2], x[2:]))
    same((a + b) + c, c + (a + b))
    same((a + b) + c, a + (c + b))
    mixed = list(x)
    order.shuffle(mixed)
    same(family.evidence(x), family.evidence(np.array(mixed)))


@each
@given(x=samples)
def test_removing_what_was_added_gives_back_the_rest(family, x):
    rest, part = family.evidence(x[:2]), family.evidence(x[2:])
    back = (rest + part) - part
    np.testing.assert_allclose(back.count, rest.count)
    np.testing.assert_allclose(back.mean, rest.mean, rtol=1e-10)
    np.testing.assert_allclose(back.gaps, rest.gaps, rtol=1e-7, atol=1e-11)


@each
@given(x=samples, t=some.floats(0.1, 10))
def test_scaling_multiplies_the_log_likelihood(family, x, t):
    e = family.evidence(x)
    q = e.fit()
    np.testing.assert_allclose((e * t).log_likelihood(q), t * e.log_likelihood(q), rtol=1e-10)
    same(e + e, e * 2)


@each
def test_weights_are_repetitions(family):
    x = np.random.default_rng(1).uniform(0.05, 0.95, 30)
    w = np.random.default_rng(2).integers(0, 4, 30)
    same(family.evidence(x, w), family.evidence(np.repeat(x, w)))
    same(family.evidence(x, w.astype(float) / 3) * 3, family.evidence(np.repeat(x, w)), rtol=1e-11)


@each
def test_shards_of_any_size_merge_to_the_whole(family):
    x = np.random.default_rng(3).beta(2.0, 3.0, 20_000)
    whole = family.evidence(x)
    same(whole, sum(family.evidence(part) for part in np.array_split(x, 37)))
    one_by_one = family.evidence(x[:0])
    for value in x[:200]:
        one_by_one = one_by_one + family.evidence(np.array([value]))
    same(family.evidence(x[:200]), one_by_one)


@each
def test_groups_are_the_parts(family):
    x = np.random.default_rng(4).uniform(0.05, 0.95, 500)
    by = np.array(["north", "south", "west"])[np.random.default_rng(5).integers(0, 3, 500)]
    grouped = family.evidence(x, by=by)
    assert grouped.labels == ("north", "south", "west")
    assert grouped.batch_shape == (3,)
    for i, label in enumerate(grouped.labels):
        same(grouped[i], family.evidence(x[by == label]))
    same(grouped.total(), family.evidence(x))
    fits = grouped.fit()
    assert fits.batch_shape == (3,)
    np.testing.assert_allclose(fits.mean[1], family.fit(x[by == "south"]).mean, rtol=1e-6)


def test_groups_merge_by_label():
    a = sx.Normal.evidence([1.0, 2.0, 3.0], by=["u", "v", "v"])
    b = sx.Normal.evidence([4.0, 6.0, 5.0], by=["w", "v", "w"])
    both = a + b
    assert both.labels == ("u", "v", "w")
    np.testing.assert_allclose(both.count, [1, 3, 2])
    np.testing.assert_allclose(both.mean, [1, 11 / 3, 4.5])
    np.testing.assert_allclose((both - b).count, [1, 2, 0])
    with pytest.raises(ValueError, match="group 'w'"):
        a - b


def test_evidence_keeps_its_digits_far_from_the_origin():
    x = 1e9 + np.random.default_rng(6).normal(0, 1e-3, 10_000)
    e = sx.Normal.evidence(x)
    exact = np.mean((x.astype(np.longdouble) - x.astype(np.longdouble).mean()) ** 2)
    assert float(e.gaps[0]) == pytest.approx(float(exact), rel=1e-9)
    narrow = np.random.default_rng(7).gamma(1e8, 1e-8, 10_000)
    gap = sx.Gamma.evidence(narrow).gaps[0]
    wide = narrow.astype(np.longdouble)
    assert float(gap) == pytest.approx(float(np.log(wide.mean()) - np.log(wide).mean()), rel=1e-7)


def test_evidence_is_float64_and_leaves_the_configuration_alone():
    e = sx.Gamma.evidence(np.array([1.0, 2.0], np.float32))
    assert {np.asarray(v).dtype for v in e._arrays().values()} == {np.dtype(np.float64)}
    assert jnp.asarray(1.0).dtype == jnp.float32


@pytest.mark.parametrize(
    "wrap", [list, tuple, np.asarray, jnp.asarray, pd.Series, pl.Series, pa.array, lambda x: pa.chunked_array([x])]
)
def test_columns_of_any_kind_are_taken(wrap):
    same(sx.Poisson.evidence(wrap([3, 0, 2])), sx.Poisson.evidence(np.array([3, 0, 2])))


def test_subtraction_that_leaves_the_cone_is_refused_in_words():
    few, many = sx.Normal.evidence([1.0, 2.0]), sx.Normal.evidence([1.0, 5.0, 9.0])
    with pytest.raises(ValueError, match="Subtract only what was added"):
        few - many
    with pytest.raises(ValueError, match="Subtract only what was added"):
        sx.Normal.evidence([1.0, 1.1, 1.2]) - sx.Normal.evidence([7.0])
    with pytest.raises(ValueError, match="Subtract only what was added"):
        sx.Poisson.evidence([1, 1, 1]) - sx.Poisson.evidence([9])
    with pytest.raises(ValueError, match="Subtract only what was added"):
        sx.NegativeBinomial.evidence([1, 1, 1]) - sx.NegativeBinomial.evidence([9])
    with pytest.raises(ValueError, match="at least 0"):
        few * -1.0


def test_evidence_that_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match="Cannot add evidence for Normal and for Gamma"):
        sx.Normal.evidence([1.0]) + sx.Gamma.evidence([1.0])
    with pytest.raises(ValueError, match="different known parameters"):
        sx.Binomial.evidence([1], total_count=3) + sx.Binomial.evidence([1], total_count=4)
    with pytest.raises(TypeError):
        sx.Normal.evidence([1.0]) + 3.0


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([1.0, -2.0, np.nan], r"row 1 is -2 \(2 such rows in all\)"),
        ([1.0, np.nan], "row 1 is missing"),
        ([np.inf, 1.0], "row 0 is inf"),
        ([0.0, 1.0], "row 0 is 0"),
        (3.0, "one row each"),
        (["a"], "are numbers"),
    ],
)
def test_data_outside_the_domain_name_the_first_row(x, message):
    with pytest.raises(ValueError, match=message):
        sx.Gamma.evidence(x)
    if not isinstance(x, float) and x != ["a"]:
        with pytest.raises(ValueError, match=message):
            sx.Gamma.fit(jnp.asarray(x))


def test_weights_are_checked():
    with pytest.raises(ValueError, match="row 1 has -1"):
        sx.Normal.evidence([1.0, 2.0], [1.0, -1.0])
    with pytest.raises(ValueError, match="one to an observation"):
        sx.Normal.evidence([1.0, 2.0], [1.0])


@each
def test_save_and_load_go_round_exactly(family, tmp_path):
    x = np.random.default_rng(8).uniform(0.05, 0.95, 50)
    for e in (family.evidence(x), family.evidence(x, by=np.arange(50) % 3)):
        e.save(tmp_path / "e.json")
        again = sx.Evidence.load(tmp_path / "e.json")
        assert again.family is family
        assert again.labels == e.labels
        for name, value in e._arrays().items():
            np.testing.assert_array_equal(again._arrays()[name], value)
    assert [p.name for p in tmp_path.iterdir()] == ["e.json"]


def test_save_and_load_of_counts_and_known_parameters(tmp_path):
    e = sx.NegativeBinomial.evidence([3, 0, 3, 7])
    e.save(tmp_path / "e.json")
    again = sx.Evidence.load(tmp_path / "e.json")
    assert again.log_likelihood(sx.NegativeBinomial(2.0, 1.0)) == e.log_likelihood(sx.NegativeBinomial(2.0, 1.0))
    sx.Binomial.evidence([3, 1], total_count=5).save(tmp_path / "b.json")
    assert float(sx.Evidence.load(tmp_path / "b.json").fit().probs) == pytest.approx(0.4)


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "x.json"
    for text in ("not json", "{}", '{"format": "other", "kind": "moments", "family": "Normal"}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="not a file that"):
            sx.Evidence.load(path)
    sx.Normal.evidence([1.0, 2.0]).save(path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "version": 99}))
    with pytest.raises(ValueError, match="newer surprax"):
        sx.Evidence.load(path)
    path.write_text(json.dumps({**document, "family": "Nobody"}))
    with pytest.raises(ValueError, match="no family here"):
        sx.Evidence.load(path)


@each
def test_log_likelihood_is_the_sum_of_log_densities(family):
    x = np.random.default_rng(9).uniform(0.05, 0.95, 100)
    e, q = family.evidence(x), family.fit(x[:20])
    with jax.enable_x64(True):
        truth = float(jnp.sum(q.log_prob(x)))
    assert float(e.log_likelihood(q)) == pytest.approx(truth, rel=1e-10)
    assert float(q.log_likelihood(jnp.asarray(x))) == pytest.approx(truth, rel=1e-4)
    assert float(jax.jit(lambda q: e.log_likelihood(q))(q)) == pytest.approx(truth, rel=1e-5)


@pytest.mark.parametrize(
    "truth",
    [
        sx.Gamma(3.0, 2.0),
        sx.Gamma(1e4, 1e2),
        sx.Normal(50.0, 1.0),
        pytest.param(sx.Beta(2.0, 50.0), marks=pytest.mark.thorough),
        sx.Poisson(7.0),
        pytest.param(sx.InverseGaussian(2.0, 9.0), marks=pytest.mark.thorough),
    ],
    ids=repr,
)
def test_float32_likelihood_of_a_billion_rows_has_the_right_curvature(truth):
    """Synthetic evidence: what n = 1e9 rows of the distribution itself would average to."""
    family = type(truth)
    few = family.evidence(np.asarray(truth.sample(jax.random.key(0), (2000,)), np.float64))
    big = few * (1e9 / 2000)
    fit = big.fit()
    leaves, structure = jax.tree.flatten(fit)
    centre = jnp.log(jnp.asarray([float(v) for v in leaves], jnp.float32))
    move = lambda t: big.log_likelihood(jax.tree.unflatten(structure, list(jnp.exp(centre + t))))
    got = np.asarray(jax.jit(jax.hessian(move))(jnp.zeros(len(leaves), jnp.float32)))
    with jax.enable_x64(True):
        exact_centre = jnp.log(jnp.asarray([float(v) for v in leaves]))
        total = lambda t: big.log_likelihood(jax.tree.unflatten(structure, list(jnp.exp(exact_centre + t))))
        want = np.asarray(jax.jit(jax.hessian(total))(jnp.zeros(len(leaves))))
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * np.abs(want).max())
    # A hundred posterior standard deviations away the energy has risen by about 5,000 nats, in float32 too.
    for i in range(len(leaves)):
        step = np.zeros(len(leaves), np.float32)
        step[i] = 100 / np.sqrt(-want[i, i])
        there = jax.tree.unflatten(structure, list(jnp.exp(centre + step)))
        truth = big.excess_surprise(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), there))
        assert truth == pytest.approx(0.5 * 100**2, rel=0.1)  # the step itself is rounded to float32
        assert float(jax.jit(big.excess_surprise)(there)) == pytest.approx(truth, rel=0.01)


def test_the_sampler_sees_the_right_energy_difference():
    """The difference between two nearby energies survives float32 only if it is computed as such."""
    big = sx.Gamma.evidence(np.random.default_rng(10).gamma(2.0, 1.0, 1000)) * 1e6
    fit = big.fit()
    slope = jax.jit(jax.grad(lambda a: big.log_likelihood(sx.Gamma(a, fit.rate))))(jnp.float32(fit.concentration))
    assert abs(float(slope)) < 1e9 * 1e-6


def test_evidence_batches_against_distributions():
    e = sx.Normal.evidence(np.arange(10.0))
    scores = e.log_likelihood(sx.Normal(np.array([0.0, 4.5, 9.0]), 2.0))
    assert scores.shape == (3,)
    assert np.argmax(scores) == 1
    grouped = sx.Normal.evidence(np.arange(10.0), by=np.arange(10) % 2)
    assert grouped.log_likelihood(sx.Normal(4.5, 2.0)).shape == (2,)
    np.testing.assert_allclose(grouped.log_likelihood(sx.Normal(4.5, 2.0)).sum(), scores[1])


def test_evidence_without_observations_is_neutral():
    e = sx.Gamma.evidence([1.0, 2.0, 4.0])
    none = sx.Gamma.evidence(np.zeros(0))
    same(e + none, e, rtol=0)
    same(none + e, e, rtol=0)
    assert float((e - e).count) == 0
    assert float(none.log_likelihood(sx.Gamma(2.0, 2.0))) == 0.0
    with pytest.raises(ValueError, match="no observations"):
        none.fit()


def test_traced_evidence_is_evidence():
    x = jnp.asarray([1.0, 2.0, 4.0])
    a = jax.jit(lambda x: sx.Gamma.evidence(x).fit().mean)(x)
    assert float(a) == pytest.approx(7 / 3, rel=1e-6)
    e = sx.Gamma.evidence(x)
    score = jax.jit(lambda e, q: e.log_likelihood(q))(e, sx.Gamma(2.0, 1.0))
    assert float(score) == pytest.approx(float(e.log_likelihood(sx.Gamma(2.0, 1.0))), rel=1e-5)
    batch = jax.vmap(lambda row: sx.Gamma.evidence(row).mean)(jnp.ones((2, 3)))
    assert batch.shape == (2,)


def test_a_single_point_is_scored_without_a_maximum():
    e = sx.Normal.evidence([2.0])
    assert float(e.log_likelihood(sx.Normal(0.0, 1.0))) == pytest.approx(-2.9189385)
    assert float(jax.grad(lambda m: e.log_likelihood(sx.Normal(m, 1.0)))(0.0)) == 2.0


def test_evidence_says_what_it_is():
    assert repr(sx.Normal.evidence([1.0, 3.0])) == "Evidence(Normal, count=2, mean x=2, variance=1)"
    assert repr(sx.NegativeBinomial.evidence([1, 3, 3])) == "Evidence(NegativeBinomial, count=3, 2 distinct values)"


@pytest.mark.parametrize(
    ("evidence", "certain", "excluded"),
    [
        (sx.Bernoulli.evidence([1, 1, 1]), sx.Bernoulli(1.0), sx.Bernoulli(0.0)),
        (sx.Bernoulli.evidence([0]), sx.Bernoulli(0.0), sx.Bernoulli(1.0)),
        (sx.Binomial.evidence([9, 9], total_count=9), sx.Binomial(9, 1.0), sx.Binomial(9, 0.0)),
        (sx.Poisson.evidence([0, 0]), sx.Poisson(0.0), None),
        (sx.Geometric.evidence([0, 0]), sx.Geometric(1.0), None),
        (sx.Categorical.evidence([1, 1]), sx.Categorical([0.0, 1.0]), sx.Categorical([1.0, 0.0])),
        (
            sx.Multinomial.evidence([[3, 0], [3, 0]], total_count=3),
            sx.Multinomial(3, [1.0, 0.0]),
            sx.Multinomial(3, [0.0, 1.0]),
        ),
    ],
    ids=lambda v: type(v).__name__,
)
def test_the_ends_of_a_family_are_certain_of_what_they_allow(evidence, certain, excluded):
    assert float(evidence.log_likelihood(certain)) == 0.0
    if excluded is not None:
        assert float(evidence.log_likelihood(excluded)) == -np.inf


def test_statistics_for_another_known_parameter_are_refused():
    evidence = sx.Weibull.evidence([1.0, 2.0, 0.5], concentration=3.0)
    with pytest.raises(ValueError, match=r"made for concentration=3.0, .* the distribution has concentration=1.5"):
        evidence.log_likelihood(sx.Weibull(1.0, 1.5))
    assert np.isfinite(float(evidence.log_likelihood(sx.Weibull(np.float32(1.3), np.float32(3.0)))))
    assert np.isfinite(float(sx.Normal.evidence([1.0, 2.0], scale=0.5).log_likelihood(sx.Normal(0.0, 3.0))))


def test_new_names_of_groups_compile_nothing(caplog):
    """What is computed of groups does not depend on their names."""
    x = np.random.default_rng(0).gamma(2.0, size=60)

    def told(names):
        evidence = sx.Gamma.evidence(x, by=np.repeat(names, 20))
        return evidence.fit(), evidence.log_likelihood(sx.Gamma(2.0, 1.0)), evidence.excess_surprise(sx.Gamma(2.0, 1.0))

    told(["a", "b", "c"])
    with jax.log_compiles():
        told(["d", "e", "f"])
    assert not [record.message for record in caplog.records if "Compiling" in record.message]
