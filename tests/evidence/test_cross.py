"""Means and scatter of several columns by group, against sums in extended precision."""

import numpy as np
import pytest

from surprax.evidence.cross import BLOCK, cross_moments


def by_hand(columns, weights, codes, groups):
    x = np.stack(columns, axis=-1).astype(np.longdouble)
    w = np.ones(len(x), np.longdouble) if weights is None else weights.astype(np.longdouble)
    codes = np.zeros(len(x), int) if codes is None else codes
    found = []
    for g in range(groups):
        mine = codes == g
        total = w[mine].sum()
        mean = (w[mine, None] * x[mine]).sum(axis=0) / total if total else None
        d = x[mine] - mean if total else x[mine]
        found.append((total, mean, (w[mine, None] * d).T @ d))
    return found


@pytest.mark.parametrize("rows", [1, 7, BLOCK - 1, 2 * BLOCK + 3])
@pytest.mark.parametrize("groups", [1, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_are_sums_by_group(rows, groups, weighted):
    rng = np.random.default_rng(rows)
    columns = [rng.normal(3.0, 1.0, rows), rng.gamma(2.0, 1.0, rows).astype(np.float32), rng.integers(0, 4, rows)]
    codes = rng.integers(0, groups, rows).astype(np.int32) if groups > 1 else None
    weights = rng.uniform(0.5, 2.0, rows) if weighted else None
    total, mean, scatter = cross_moments(columns, weights, codes, groups)
    for g, (count, centre, spread) in enumerate(by_hand(columns, weights, codes, groups)):
        np.testing.assert_allclose(total[g], float(count), rtol=1e-13)
        if count:
            np.testing.assert_allclose(mean[g], centre.astype(float), rtol=1e-13)
            np.testing.assert_allclose(scatter[g], spread.astype(float), rtol=1e-10, atol=1e-10 * float(count))
        else:
            np.testing.assert_array_equal(scatter[g], 0.0)


@pytest.mark.parametrize("apart", [1e6, 1e9])
def test_groups_far_from_each_other_keep_their_digits(apart):
    """The spread within groups is a billionth of that between them: a second pass sees it."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 5000).astype(np.int32)
    x = apart * codes + rng.normal(0.0, 1.0, 5000)
    _, mean, scatter = cross_moments([x, x], None, codes, 3)
    for g, (_, centre, spread) in enumerate(by_hand([x, x], None, codes, 3)):
        np.testing.assert_allclose(mean[g], centre.astype(float), rtol=1e-14)
        np.testing.assert_allclose(scatter[g], spread.astype(float), rtol=1e-11)
