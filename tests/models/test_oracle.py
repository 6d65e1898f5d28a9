"""The oracle finds what it is there to find, and lets constants be."""

import numpy as np
import numpyro
import numpyro.distributions as dist
from tests.models.case import ROWS, Case
from tests.models.cases import named
from tests.models.oracle import Evaluations, double_precision, evaluate, points

FEW = 3


def _pair(case: Case, model, arguments=None) -> tuple[Evaluations, Evaluations]:
    """A case's model and another at the same points."""
    args, kwargs = case.arguments()
    with double_precision():
        at = points(case.model, args, kwargs, FEW)
        return evaluate(case.model, args, kwargs, at), evaluate(model, arguments or args, kwargs, at)


@named("gamma", "bernoulli-by-group", "linear-regression", "varying-slopes", "student-t")
def test_one_row_less_is_found_out(case):
    args, _ = case.arguments()
    plain, other = _pair(case, case.model, tuple(array[:-1] for array in args))
    assert len(plain.disagreements(other)) > FEW


@named("gamma", "scales-by-group", "regression-term-by-term")
def test_one_value_changed_by_a_thousandth_is_found_out(case):
    args, _ = case.arguments()
    y = args[0].astype(float)
    y[-1] *= 1.001
    plain, other = _pair(case, case.model, (y, *args[1:]))
    assert plain.disagreements(other)


@named("gamma", "varying-slopes", "ordered-logistic")
def test_a_constant_is_no_change(case):
    """And `offset_error` tells by how much it is off."""

    def with_constant(*args):
        case.model(*args)
        numpyro.factor("constant", -3.0)

    plain, other = _pair(case, with_constant)
    assert not plain.disagreements(other)
    assert plain.offset_error(other, 3.0) < 1e-12 < plain.offset_error(other, 0.0)


@named("gamma", "poisson-by-group", "varying-slopes")
def test_rows_are_seen_in_the_program(case):
    """As one of the axes; of a model of five rows there is none."""

    def of_five_rows(*args):
        case.model(np.ones(5), *(array[:5] for array in args[1:]))

    plain, other = _pair(case, of_five_rows)
    assert ROWS in plain.axes()
    assert ROWS not in other.axes()


@named("gamma")
def test_log_density_is_the_sum_of_priors_and_rows(case):
    """By hand, with NumPyro's densities one by one, at values that SciPy's users would pass."""
    (y,), _ = case.arguments()
    with double_precision():
        at = points(case.model, (y,), {}, FEW)
        found = evaluate(case.model, (y,), {}, at)
        for point, density, potential in zip(at, found.log_densities, found.potentials):
            shape, rate = np.exp(point.free["shape"]), np.exp(point.free["rate"])
            terms = [dist.LogNormal(0.0, 1.0).log_prob(v) for v in (shape, rate)]
            expected = sum(terms) + dist.Gamma(shape, rate).log_prob(y).sum()
            np.testing.assert_allclose(density, expected, rtol=1e-12)
            np.testing.assert_allclose(-potential, expected + point.free["shape"] + point.free["rate"], rtol=1e-12)
