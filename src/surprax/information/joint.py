"""What several variables tell about each other, from a table of their joint probabilities.

A belief is such a table where its labels are tuples, ("rain", "cold") for example, with a value of each variable; combinations
without a label are impossible. Its axes are those of the variables, in the order of the tuples, behind those of a batch; a variable
that is not named in `axes` is summed over.

Each quantity is a KL divergence of the joint from a product of its marginals, and keeps its digits as they become independent.
"""

import math
from collections.abc import Hashable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.beliefs import Belief
from surprax.information.tables import (
    Table,
    divergence_terms,
    each_axis,
    floats,
    given_once,
    in_unit,
    minus_p_log,
    read,
    read_belief,
    table,
    unique_axes,
)
from surprax.numerics.elementary import logsumexp, xlogy
from surprax.numerics.precision import in_float64, is_traced
from surprax.units import Unit

__all__ = ["conditional_mutual_information", "interaction_information", "mutual_information", "total_correlation"]

type Variable = int | Sequence[int]


def mutual_information(
    p: Any = None, axes: tuple[Variable, Variable] = (-2, -1), unit: Unit = "nat", *, log_p: Any = None
) -> Array:
    """Mutual information I(X; Y) = KL(p(x, y) ‖ p(x) p(y)) ≥ 0: by how much one variable lessens the surprise of the other.

    Args:
        p: joint probabilities, which sum to 1 over all `axes`; or a `Belief` whose labels are tuples.
        axes: the axis of X and that of Y; several axes (a tuple) make one variable. All others are a batch.
        unit: of the result: "nat", "bit", "ban" or "deciban".
        log_p: log-weights in nats instead of `p`, not necessarily normalised.

    Returns:
        An array of the shape of the batch, between 0 and the lesser entropy; in float64 for concrete numbers.

    Raises:
        ValueError: for what is no distribution, with its index; for axes that the table lacks; for a belief without such labels.
            NaN where traced.

    Source: Shannon (1948), section 12; Cover & Thomas (2006), "Elements of information theory", section 2.3.

    >>> print(mutual_information([[0.25, 0.25, 0.0], [0.0, 0.25, 0.25]], unit="bit"))
    0.5
    >>> from surprax.beliefs import Belief
    >>> sky = [("rain", "cold"), ("rain", "warm"), ("sun", "warm")]
    >>> print(mutual_information(Belief.from_probabilities([0.5, 0.0, 0.5], labels=sky), unit="bit"))
    1.0
    """
    value, by_log, _ = _read(p, log_p, axes, 2)
    return in_unit(_total_correlation(value, by_log=by_log, variables=2), unit)


def total_correlation(
    p: Any = None, axes: Sequence[Variable] | None = None, unit: Unit = "nat", *, log_p: Any = None
) -> Array:
    """Total correlation KL(p(x₁, …, xₙ) ‖ p(x₁) ⋯ p(xₙ)) = Σ H(Xᵢ) − H(X₁, …, Xₙ) ≥ 0.

    Args:
        p: joint probabilities, which sum to 1 over all `axes`; or a `Belief` whose labels are tuples.
        axes: the axis of each variable; several axes (a tuple) make one. Every axis is a variable if not given.
        unit: of the result: "nat", "bit", "ban" or "deciban".
        log_p: log-weights in nats instead of `p`, not necessarily normalised.

    Returns:
        An array of the shape of the batch, ≥ 0; in float64 for concrete numbers.

    Raises:
        ValueError: for what is no distribution, with its index; for axes that the table lacks; for a belief without such labels.
            NaN where traced.

    Source: Watanabe (1960), "Information theoretical analysis of multivariate correlation".

    >>> import numpy as np
    >>> three_equal_coins = np.zeros((2, 2, 2))
    >>> three_equal_coins[[0, 1], [0, 1], [0, 1]] = 0.5
    >>> print(total_correlation(three_equal_coins, unit="bit"))
    2.0
    """
    value, by_log, number = _read(p, log_p, axes, None)
    return in_unit(_total_correlation(value, by_log=by_log, variables=number), unit)


def conditional_mutual_information(
    p: Any = None,
    axes: tuple[Variable, Variable] = (0, 1),
    given: Variable = 2,
    unit: Unit = "nat",
    *,
    log_p: Any = None,
) -> Array:
    """Conditional mutual information I(X; Y | Z) = Σ p(x, y, z) log p(x, y, z) p(z)/(p(x, z) p(y, z)) ≥ 0.

    Args:
        p: joint probabilities, which sum to 1 over `axes` and `given` together; or a `Belief` whose labels are tuples.
        axes: the axis of X and that of Y; several axes (a tuple) make one variable.
        given: the axis or axes of Z. All others are a batch.
        unit: of the result: "nat", "bit", "ban" or "deciban".
        log_p: log-weights in nats instead of `p`, not necessarily normalised.

    Returns:
        An array of the shape of the batch, ≥ 0; in float64 for concrete numbers.

    Raises:
        ValueError: for what is no distribution, with its index; for axes that the table lacks; for a belief without such labels.
            NaN where traced.

    Source: Cover & Thomas (2006), equation 2.61.

    >>> import numpy as np
    >>> xor = np.zeros((2, 2, 2))
    >>> for x, y in np.ndindex(2, 2):
    ...     xor[x, y, x ^ y] = 0.25
    >>> print(conditional_mutual_information(xor, (0, 1), given=2, unit="bit"), mutual_information(xor.sum(2), unit="bit"))
    1.0 0.0
    """
    _pair(axes)
    value, by_log, _ = _read(p, log_p, (*axes, given), 3)
    return in_unit(_conditional(value, by_log=by_log), unit)


def interaction_information(
    p: Any = None, axes: Sequence[Variable] | None = None, unit: Unit = "nat", *, log_p: Any = None
) -> Array:
    """Interaction information I(X; Y | Z) − I(X; Y): positive where two together tell more than each alone, as in an exclusive or.

    Of n variables V it is −Σ_{T ⊆ V} (−1)^(n − |T|) H(T), symmetric in them; of two, their mutual information. Others define it
    with the opposite sign, I(X; Y) − I(X; Y | Z) (co-information).

    Args:
        p: joint probabilities, which sum to 1 over all `axes`; or a `Belief` whose labels are tuples.
        axes: the axis of each variable; several axes (a tuple) make one. Every axis is a variable if not given.
        unit: of the result: "nat", "bit", "ban" or "deciban".
        log_p: log-weights in nats instead of `p`, not necessarily normalised.

    Returns:
        An array of the shape of the batch, of any sign; in float64 for concrete numbers.

    Raises:
        ValueError: for what is no distribution, with its index; for axes that the table lacks; for a belief without such labels.
            NaN where traced.

    Source: McGill (1954), "Multivariate information transmission"; the sign of Jakulin & Bratko (2003), "Quantifying and
    visualizing attribute interactions".

    >>> import numpy as np
    >>> xor = np.zeros((2, 2, 2))
    >>> for x, y in np.ndindex(2, 2):
    ...     xor[x, y, x ^ y] = 0.25
    >>> print(interaction_information(xor, unit="bit"))
    1.0
    """
    value, by_log, number = _read(p, log_p, axes, None)
    return in_unit(_interaction(value, by_log=by_log, variables=number), unit)


def _pair(axes: Any) -> None:
    if isinstance(axes, int | np.integer) or len(axes) != 2:
        raise ValueError(
            f"Mutual information is between two variables; got axes={axes}. Group axes in tuples: axes=((0, 1), 2)."
        )


def _read(p: Any, log_p: Any, axes: Any, number: int | None) -> tuple[Any, bool, int]:
    """Checked, of shape batch + (size of each variable, …); whether by log, and the number of variables."""
    given_once(p, log_p)
    belief = isinstance(p, Belief)
    batch = p.excess.ndim - 1 if belief else 0
    if belief:
        p, log_p = None, _by_variable(p)
    raw: Any = floats(log_p, "Log-weights") if p is None else floats(p, "Probabilities")
    if axes is None:
        axes = tuple(range(batch, raw.ndim))
    if number == 2:
        _pair(axes)
    groups = [each_axis(a) for a in axes]
    if len(groups) < 2 or not all(groups):
        raise ValueError(f"Information is shared by at least two variables, each with an axis; got axes={axes}.")
    front = flat = unique_axes(tuple(a for group in groups for a in group), raw.ndim)
    if belief:
        log_p, flat = _summed(log_p, front, batch)
    checked = read(p, log_p, flat)
    sizes = iter([raw.shape[a] for a in front])
    shape = tuple(math.prod(next(sizes) for _ in group) for group in groups)
    return checked.value.reshape((*checked.value.shape[:-1], *shape)), checked.by_log, len(groups)


def _by_variable(belief: Belief) -> Any:
    """Log-weights with an axis for each part of the labels, −∞ where there is no such label."""
    labels = belief.labels
    if labels is None or not all(isinstance(label, tuple) for label in labels):
        odd = "none" if labels is None else repr(next(label for label in labels if not isinstance(label, tuple)))
        raise ValueError(
            f"A belief is about several variables where its labels are tuples, with a value of each; got {odd}."
            " Name its hypotheses so, or pass an array of its probabilities with an axis for each variable."
        )
    tuples: list[tuple[Hashable, ...]] = [label for label in labels if isinstance(label, tuple)]
    if any(len(label) != len(tuples[0]) for label in tuples):
        odd = repr(next(label for label in tuples if len(label) != len(tuples[0])))
        raise ValueError(
            f"The labels of a belief about several variables have a value of each; got {tuples[0]!r} and {odd}."
            " Give them the same length."
        )
    values: Any = [{value: i for i, value in enumerate(dict.fromkeys(part))} for part in zip(*tuples)]
    places: Any = tuple(np.array([number[value] for value in part]) for number, part in zip(values, zip(*tuples)))
    log = read_belief(belief, "p")
    shape = (*log.shape[:-1], *map(len, values))
    if is_traced(log):
        return jnp.full(shape, -jnp.inf, log.dtype).at[(..., *places)].set(log)
    whole = np.full(shape, -np.inf)
    whole[(..., *places)] = log
    return whole


def _summed(log: Any, axes: tuple[int, ...], batch: int) -> tuple[Any, tuple[int, ...]]:
    """A belief about these axes alone, and where they are in it."""
    if any(a < batch for a in axes):
        raise ValueError(
            f"The variables of a belief come behind the axes of its batch, which are none; got axis {min(axes)} of a batch of"
            f" {batch} axes. Count variables from the end: axes=(-2, -1)."
        )
    rest = tuple(a for a in range(batch, log.ndim) if a not in axes)
    return _log_sum(log, over=rest) if rest else log, tuple(a - sum(r < a for r in rest) for a in axes)


def _joint(value: Array, by_log: bool, variables: int) -> Table:
    """The normalised joint, with all variables' axes."""
    t = table(value.reshape((*value.shape[: value.ndim - variables], -1)), by_log)
    return Table(t.p.reshape(value.shape), t.log.reshape(value.shape), by_log)


def _marginal(t: Table, out: tuple[int, ...]) -> Table:
    """Summed over these axes, which are kept with length 1."""
    if not out:
        return t
    p = jnp.sum(t.p, axis=out, keepdims=True)
    if t.by_log:
        return Table(p, logsumexp(t.log, axis=out, keepdims=True), True)
    zero = p == 0
    return Table(p, jnp.where(zero, -jnp.inf, jnp.log(jnp.where(zero, 1.0, p))), False)


def _sum(terms: Array, variables: int) -> Array:
    return jnp.sum(terms, axis=tuple(range(-variables, 0)))


@in_float64(static_argnames=("over",))
def _log_sum(log: Array, *, over: tuple[int, ...]) -> Array:
    return logsumexp(log, axis=over)


@in_float64(static_argnames=("by_log", "variables"))
def _total_correlation(p: Array, *, by_log: bool, variables: int) -> Array:
    t = _joint(p, by_log, variables)
    every = range(-variables, 0)
    marginals = [_marginal(t, tuple(a for a in every if a != keep)) for keep in every]
    product: Any = marginals[0]
    for m in marginals[1:]:
        product = Table(product.p * m.p, product.log + m.log, by_log)
    return _sum(divergence_terms(t, product), variables)


@in_float64(static_argnames=("by_log",))
def _conditional(p: Array, *, by_log: bool) -> Array:
    t = _joint(p, by_log, 3)
    xz, yz, z = _marginal(t, (-2,)), _marginal(t, (-3,)), _marginal(t, (-3, -2))
    empty = z.p == 0
    impossible = z.log == -jnp.inf
    apart = Table(
        jnp.where(empty, 0.0, xz.p * (yz.p / jnp.where(empty, 1.0, z.p))),
        jnp.where(impossible, -jnp.inf, xz.log + yz.log - jnp.where(impossible, 0.0, z.log)),
        by_log,
    )
    return _sum(divergence_terms(t, apart), 3)


@in_float64(static_argnames=("by_log", "variables"))
def _interaction(p: Array, *, by_log: bool, variables: int) -> Array:
    t = _joint(p, by_log, variables)
    total: Any = 0.0
    for subset in range(1, 2**variables):
        out = tuple(a - variables for a in range(variables) if not subset >> a & 1)
        m = _marginal(t, out)
        entropy = _sum(minus_p_log(m, m.log) if by_log else 0.0 - xlogy(m.p, m.p), variables)
        total = total - (-1) ** len(out) * entropy
    return total
