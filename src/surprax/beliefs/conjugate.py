"""Conjugate pairs: a belief about a parameter, and the evidence that moves it within its family.

    posterior = prior + evidence

In natural parameters this is addition of vectors. Each pair is a row of one table (`surprax.beliefs.pairs`): how n observations
move the parameters of the belief, which distribution of the data a value of the unknown stands for, and what the belief predicts.
The evidence of the data under the belief follows from these for every pair alike (Besag 1989):

    log p(data) = log L(θ) + log prior(θ) − log posterior(θ)    for any θ.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from surprax.evidence import Evidence
from surprax.families.base import Distribution
from surprax.families.batches import Wide, align
from surprax.families.fitting import check_known
from surprax.numerics.precision import in_float64, is_traced

__all__ = ["Conjugacy", "check_posterior", "conjugates", "find", "log_evidence", "predictive", "update"]


@dataclass(frozen=True)
class Conjugacy:
    """A family of beliefs that stays one under evidence of a family of data.

    Attributes:
        prior: family of the belief.
        likelihood: family of the data.
        about: what the belief is about, in the words of the likelihood's parameters.
        known: parameters of the likelihood that must be known, by name.
        update: (belief, evidence, n) → belief moved by n observations with the means and gaps of the evidence; −n takes them away.
        given: (value of the unknown, known parameters) → distribution of an observation.
        predict: (belief, known parameters) → distribution of the next observation.
        point: (belief) → a value of the unknown that is well inside.
    """

    prior: type[Distribution]
    likelihood: type[Distribution]
    about: str
    known: tuple[str, ...]
    update: Callable[[Any, Any, Any], Any]
    given: Callable[[Any, Mapping[str, Any]], Any]
    predict: Callable[[Any, Mapping[str, Any]], Any]
    point: Callable[[Any], Any]

    def __str__(self) -> str:
        held = f" with known {' and '.join(self.known)}" if self.known else ""
        return f"{self.prior.__name__} belief about {self.about} of {self.likelihood.__name__}{held}"


def find(prior: type, likelihood: type, known: Any) -> Conjugacy:
    """The row of the table, or an error that names the rows there are."""
    from surprax.beliefs.pairs import PAIRS

    given = {name for name, value in known.items() if value is not None}
    rows = [row for row in PAIRS if row.prior is prior and row.likelihood is likelihood]
    for row in rows:
        if set(row.known) == given:
            return row
    if rows:
        needs = " or ".join(" and ".join(f"{name}=..." for name in row.known) or "no known parameter" for row in rows)
        has = " and ".join(sorted(given)) or "none"
        raise ValueError(
            f"The {prior.__name__} belief about {likelihood.__name__} needs {needs}; known here: {has}. Say what is known where the"
            f" evidence is made: {likelihood.__name__}.evidence(x, name=value)."
        )
    of_prior = sorted({row.likelihood.__name__ for row in PAIRS if row.prior is prior})
    of_data = [f"{row.prior.__name__} ({row.about})" for row in PAIRS if row.likelihood is likelihood]
    raise ValueError(
        f"{prior.__name__} is not conjugate to {likelihood.__name__}."
        + (f" {prior.__name__} takes evidence of {', '.join(of_prior)}." if of_prior else "")
        + (f" Evidence of {likelihood.__name__} moves beliefs of {', '.join(of_data)}." if of_data else "")
        + " surprax.conjugates() lists all pairs; ConjugatePrior makes one for any family of at most two natural parameters."
    )


def update(prior: Any, evidence: Evidence, sign: float) -> Any:
    """The belief with the evidence added (sign 1) or taken away (−1), checked."""
    row = find(type(prior), evidence.family, evidence.known)
    posterior = _moved(prior, evidence._replace(labels=None), sign, row=row)
    check_posterior(posterior, prior, sign)
    return posterior


def _lined_up(prior: Any, e: Any) -> tuple[Any, Any]:
    """Prior and evidence with their batch axes at one rank."""
    event = {"gaps": 1, "counts": 1, "mean": e.family.layout.rank if e.family.layout else 0}
    arrays = {name: value for name, value in e._arrays().items() if name != "values"}
    known = {name: (value, e.family.known_event_dim(name)) for name, value in e.known.items()}
    prior, *lined = align(
        prior, *(Wide(v, event.get(name, 0)) for name, v in arrays.items()), *(Wide(*v) for v in known.values())
    )
    values = dict(zip(arrays, lined))
    return prior, e._replace(
        **{name: v for name, v in values.items() if hasattr(e, name)}, known=dict(zip(known, lined[len(arrays) :]))
    )


def _move(prior: Any, evidence: Any, sign: Any, row: Conjugacy) -> Any:
    prior, evidence = _lined_up(prior, evidence)
    return row.update(prior, evidence, sign * evidence.count)


_moved = in_float64(_move, static_argnames=("row",))


def check_posterior(posterior: Any, prior: Any, sign: float) -> None:
    """Raise `ValueError` where what is left after a subtraction is no distribution."""
    if is_traced(posterior):
        return
    for name, meta in posterior.parameters.items():
        value = np.asarray(getattr(posterior, name))
        good = meta["constraint"].holds(value)
        if not np.all(good):
            index = tuple(int(i) for i in np.argwhere(~np.broadcast_to(good, value.shape))[0]) if value.ndim else ()
            what = (
                "What is left of a belief after taking evidence away must be a distribution"
                if sign < 0
                else f"Evidence must leave a belief that is a {type(prior).__name__}"
            )
            hint = " Subtract only what was added before." if sign < 0 else " Is the prior a distribution?"
            raise ValueError(
                f"{what}: its {name} must be {meta['constraint'].words}, and would be {value[index]:g}"
                + (f" at index {index}" if index else "")
                + f".{hint}"
            )


def log_evidence(prior: Any, evidence: Evidence) -> Any:
    """Log marginal likelihood of the data behind `evidence`, log ∫ L(θ) prior(θ) dθ, in nats.

    The probability that the belief gave to the data before seeing them: what Bayes factors are ratios of. By Besag's identity
    log L(θ) + log prior(θ) − log posterior(θ), which holds at any θ, in float64 whatever JAX's default precision.

    Args:
        prior: a belief (one of a conjugate pair, see `conjugates`, or a `ConjugatePrior`).
        evidence: what the data say to their family, `Family.evidence(x)`; the observations count in the order they came.

    Returns:
        log p(data), shape: the batches of both broadcast. Differentiable in the parameters of the prior.

    Raises:
        ValueError: where the two are not a conjugate pair; it names those that are.

    >>> import surprax as sx
    >>> tosses = sx.Bernoulli.evidence([0, 1, 1, 1, 0, 1])
    >>> print(sx.log_evidence(sx.Beta(1.0, 1.0), tosses).round(4), -np.log(105).round(4))  # 1/B(5, 3)
    -4.654 -4.654
    """
    if not isinstance(evidence, Evidence):
        raise TypeError(
            f"log_evidence takes a belief and evidence; got {type(evidence).__name__}. Make it with Family.evidence(x)."
        )
    if hasattr(prior, "_log_evidence_of"):
        return prior._log_evidence_of(evidence)
    row = find(type(prior), evidence.family, evidence.known)
    return _log_evidence(prior, evidence._replace(labels=None), row=row)


def _log_marginal(prior: Any, evidence: Any, row: Conjugacy) -> Any:
    posterior = _move(prior, evidence, 1.0, row)
    theta = row.point(posterior)
    likelihood = evidence.log_likelihood(row.given(theta, evidence.known))
    return likelihood + prior.log_prob(theta) - posterior.log_prob(theta)


_log_evidence = in_float64(_log_marginal, static_argnames=("row",))


def predictive(belief: Any, family: type[Distribution], **known: Any) -> Any:
    """The distribution of the next observation under a belief about its parameter: ∫ p(x | θ) belief(θ) dθ.

    Args:
        belief: one of a conjugate pair (see `conjugates`), or a `ConjugatePrior`.
        family: of the observation.
        known: its known parameters, by name.

    Returns:
        A distribution like any other, of the batch of the belief (and of the known parameters).

    Raises:
        ValueError: where the two are not a conjugate pair; it names those that are.

    >>> import surprax as sx
    >>> belief = sx.Gamma(2.0, 1.0) + sx.Poisson.evidence([3, 5, 4])
    >>> sx.predictive(belief, sx.Poisson)
    NegativeBinomial(mean=3.5, concentration=14)
    """
    if hasattr(belief, "_predictive_of"):
        return belief._predictive_of(family, known)
    row = find(type(belief), family, known)
    return _predicted(belief, check_known(family, known), row=row)


@functools.partial(in_float64, static_argnames=("row",))
def _predicted(belief: Any, known: Any, row: Conjugacy) -> Any:
    wide = (Wide(value, row.likelihood.known_event_dim(name)) for name, value in known.items())
    belief, *lined = align(belief, *wide)
    return row.predict(belief, dict(zip(known, lined)))


def conjugates(family: type[Distribution] | None = None) -> tuple[Conjugacy, ...]:
    """The conjugate pairs of a family, of data or of beliefs; all of them without an argument. Printed, each reads as a sentence.

    >>> import surprax as sx
    >>> for pair in sx.conjugates(sx.Poisson):
    ...     print(pair)
    Gamma belief about rate of Poisson
    """
    from surprax.beliefs.pairs import PAIRS

    return tuple(row for row in PAIRS if family is None or family in (row.prior, row.likelihood))
