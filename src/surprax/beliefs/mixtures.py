"""Families of mixtures: how many components of which family, fitted by expectation and maximisation."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from surprax.beliefs.mixture_distribution import MixtureSameFamily
from surprax.beliefs.mixture_fit import fit_mixture
from surprax.beliefs.mixture_outcomes import (
    CRITERIA,
    Candidate,
    MixtureChoice,
    MixtureFit,
    MixtureReason,
)
from surprax.families.base import Distribution
from surprax.families.batches import map_parameters
from surprax.families.outcomes import Outcome, Reason
from surprax.numerics.precision import float64_scope

__all__ = ["Mixture", "MixtureSameFamily"]

type Criterion = Literal["bic", "aic", "icl"]


@dataclass(frozen=True)
class Mixture:
    """The family of mixtures of k distributions of a family: p(x) = Σⱼ wⱼ pⱼ(x).

    Args:
        family: of the components, such as `Normal`, `Gamma`, `VonMises` or `MultivariateNormal`: any that has a fit.
        num_components: k, at least 1.

    `fit` raises the likelihood by expectation and maximisation in turn (Dempster, Laird & Rubin 1977), in float64: each row is
    shared out among the components by their responsibilities, and each component goes to the maximum of the likelihood of its
    weighted evidence. For families with evidence of finite size both are products of matrices over blocks of rows.

    The likelihood of a mixture has many maxima, and of a mixture of densities it is unbounded: it grows without end as one
    component narrows on a single value. Starts that lead there are abandoned, never propped up by a hidden prior, and the best
    proper maximum of the others is returned; where there is none, the fit refuses and says what happened.

    Raises:
        ValueError: for fewer than 1 component.
        TypeError: for what is not a family.

    >>> import surprax as sx
    >>> waiting = [51.0, 54.0, 49.0, 55.0, 53.0, 79.0, 85.0, 81.0, 77.0, 83.0, 84.0]
    >>> d = Mixture(sx.Normal, 2).fit(waiting)
    >>> print(d.components.mean.round(1), d.probs.round(3))
    [52.4 81.5] [0.455 0.545]
    """

    family: type[Distribution]
    num_components: int

    def __post_init__(self) -> None:
        if not (isinstance(self.family, type) and issubclass(self.family, Distribution)):
            raise TypeError(
                f"Mixture takes a family of distributions, such as Mixture(Normal, 3); got {self.family!r}."
            )
        if "fit" in self.family.lacks:
            raise TypeError(f"{self.family.__name__} has no fit: {self.family.lacks['fit']}.")
        k = self.num_components
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise ValueError(f"A mixture has a whole number of components, at least 1; got {k!r}.")
        object.__setattr__(self, "num_components", int(k))

    def __repr__(self) -> str:
        return f"Mixture({self.family.__name__}, {self.num_components})"

    # Maximum likelihood.

    def fit(
        self,
        x: Any,
        weights: Any = None,
        *,
        start: MixtureSameFamily | None = None,
        key: Any = None,
        starts: int = 8,
        max_iterations: int = 2000,
        tolerance: float = 1e-9,
        **known: Any,
    ) -> MixtureSameFamily:
        """The mixture at the best local maximum of the likelihood that was found.

        Args:
            x: observations on the first axis (NumPy, JAX, or a column of a data-frame). Rows that are alike are counted once.
            weights: of the observations, ≥ 0, shape (n,): a weight of 2 is the same as the row twice. None for 1 each.
            start: climb from this mixture alone.
            key: JAX random key, for `starts` more starts by k-means++. Without it, four starts that need no luck: slices of
                equal weight across the widest direction, the same after centres have settled, shells around the middle,
                and centres far apart. They are tried for a few iterations on at most 8,192 rows; the best go on.
            max_iterations: at most so many.
            tolerance: stop when what is left to gain is predicted to be less than this, in nats per row.
            known: parameters of the components that are held at a known value, by name, where their family allows it.

        Returns:
            The mixture, its components in order of mean (then variance; by parameters, `loc` first, where these are not finite),
            in NumPy float64.

        Raises:
            ValueError: for rows outside the support, NaN or bad weights, naming the first; for fewer different rows than
                components; where every start degenerates, or does not settle, it says which component, and why.
        """
        distribution, outcome = self.try_fit(
            x,
            weights,
            start=start,
            key=key,
            starts=starts,
            max_iterations=max_iterations,
            tolerance=tolerance,
            **known,
        )
        if outcome.reason == MixtureReason.TOO_FEW:
            raise ValueError(f"{outcome}. Ask for fewer components.")
        if not outcome.ok:
            remedy = {
                MixtureReason.NOT_CONVERGED: "Raise max_iterations, or take what try_fit returns",
                MixtureReason.DECREASED: "Take what try_fit returns, or another start",
            }.get(
                outcome.reason,
                "Ask for fewer components, pass a key for more starts, or hold a parameter at a known value",
            )
            raise ValueError(f"{self!r} has no maximum of the likelihood here: {outcome}. {remedy}.")
        return distribution

    def try_fit(
        self,
        x: Any,
        weights: Any = None,
        *,
        start: MixtureSameFamily | None = None,
        key: Any = None,
        starts: int = 8,
        max_iterations: int = 2000,
        tolerance: float = 1e-9,
        **known: Any,
    ) -> tuple[MixtureSameFamily, MixtureFit]:
        """Like `fit`: the mixture and what became of it, a `MixtureFit`: reason, iterations, log-likelihoods, all starts.

        Where nothing acceptable was found, or rows are too few, the parameters are NaN. Bad input raises as in `fit`.
        """
        log_weights, components, outcome = fit_mixture(
            self.family,
            self.num_components,
            x,
            weights,
            None if start is None else self._started(start),
            key,
            starts,
            max_iterations,
            tolerance,
            known,
        )
        return MixtureSameFamily._of(logits=log_weights, components=components), outcome

    def _started(self, start: MixtureSameFamily) -> tuple[Any, Any]:
        k = self.num_components
        good = isinstance(start, MixtureSameFamily) and type(start.components) is self.family
        if not good or start.batch_shape or start.num_components != k:
            raise ValueError(f"The start of {self!r} is a single mixture of {k} {self.family.__name__}; got {start!r}.")
        return start.logits, start.components

    @staticmethod
    def choose(
        family: type[Distribution],
        x: Any,
        k: Iterable[int] = range(1, 7),
        weights: Any = None,
        *,
        criterion: Criterion = "bic",
        **options: Any,
    ) -> MixtureChoice:
        """Mixtures of several numbers of components, by an information criterion.

        Args:
            family, x, weights: as in `fit`.
            k: numbers of components to try.
            criterion: "bic", log(n)·free − 2·log-likelihood, consistent for the number of components (Keribin 2000); "aic", with 2
                for log(n); or "icl", BIC plus twice the entropy of the assignments, for clusters that lie apart (Biernacki,
                Celeux & Govaert 2000).
            options: of `fit`.

        Returns:
            A `MixtureChoice`: prints as a table; `best` is the mixture, `k` its number of components, `[k]` any candidate.

        Raises:
            ValueError: as `fit`, for bad input; where no number of components has a fit.

        >>> import surprax as sx
        >>> counts = [0] * 30 + [1] * 33 + [2] * 18 + [3] * 6 + [7] * 5 + [8] * 9 + [9] * 11 + [10] * 9 + [11] * 7 + [12] * 3
        >>> choice = Mixture.choose(sx.Poisson, counts, range(1, 4))
        >>> choice.k
        2
        >>> print(choice)
        Mixtures of Poisson: 131 rows
        k  log-likelihood  free     BIC     AIC     ICL
        1  ...
        """
        if criterion not in CRITERIA:
            raise ValueError(f"criterion is one of {', '.join(map(repr, CRITERIA))}; got {criterion!r}.")
        numbers = list(k)
        if not numbers:
            raise ValueError("There must be some number of components to choose from; got none.")
        candidates = []
        for number in numbers:
            mixture, outcome = Mixture(family, number).try_fit(x, weights, **options)
            icl = outcome.bic + 2.0 * _entropy_of_assignments(mixture, x, weights) if outcome.ok else float("nan")
            candidates.append(Candidate(number, mixture, outcome, icl))
        if not any(c.outcome.ok for c in candidates):
            raise ValueError(f"No mixture of {family.__name__} has a fit: for k={numbers[0]}, {candidates[0].outcome}.")
        return MixtureChoice(family, criterion, tuple(candidates), candidates[0].outcome.rows)

    # What a game asks of its players.

    @property
    def event_dim(self) -> int:
        """How many of the last axes of an observation belong together."""
        return self.family.event_dim

    @property
    def discrete(self) -> bool:
        """Whether the components are."""
        return self.family.discrete

    def _data_support(self, known: dict[str, Any]) -> Any:
        return self.family._data_support(known)

    def free_parameters(self, fit: MixtureSameFamily) -> int:
        """How many numbers a fit adjusts, for AIC and BIC."""
        return MixtureSameFamily.free_parameters(fit)

    def _fit_with_and_without_each(
        self, rows: np.ndarray, weights: np.ndarray | None
    ) -> tuple[MixtureSameFamily, Outcome, MixtureSameFamily, Outcome]:
        """Fits to a matrix of folds (K, m), and to all of it but one fold each (batch K), from the fit to all."""
        w = np.ones(rows.shape) if weights is None else np.asarray(weights, np.float64)
        fit, outcome = self.try_fit(rows.ravel(), w.ravel())
        fits, outcomes = [fit] * len(rows), [outcome] * len(rows)
        if outcome.ok:
            for i in range(len(rows)):
                kept = w.copy()
                kept[i] = 0.0
                fits[i], outcomes[i] = self.try_fit(rows.ravel(), kept.ravel(), start=fit)
        batch = map_parameters(lambda leaf, _, *more: np.stack([leaf, *more]), fits[0], *fits[1:])
        codes = np.array([_reason_in_game(o) for o in [outcome, *outcomes]])
        return fit, Outcome(codes[0]), batch, Outcome(codes[1:])


def _reason_in_game(outcome: MixtureFit) -> int:
    if outcome.ok:
        return Reason.MAXIMUM
    known = {MixtureReason.DEGENERATE: Reason.DEGENERATE_COMPONENT, MixtureReason.TOO_FEW: Reason.TOO_FEW_VALUES}
    return known.get(outcome.reason, Reason.NOT_CONVERGED)


def _entropy_of_assignments(mixture: MixtureSameFamily, x: Any, weights: Any) -> float:
    """−Σᵢ Σⱼ rᵢⱼ log rᵢⱼ, in nats."""
    with float64_scope():
        r = mixture.responsibilities(np.asarray(x, np.float64))
        each = -jnp.sum(jnp.where(r > 0, r * jnp.log(jnp.where(r > 0, r, 1.0)), 0.0), axis=-1)
        return float(jnp.sum(each if weights is None else jnp.asarray(np.asarray(weights, np.float64)) * each))
