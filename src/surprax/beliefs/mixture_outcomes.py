"""What becomes of the fit of a mixture: values that read as sentences."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

__all__ = ["CRITERIA", "Candidate", "MixtureChoice", "MixtureFit", "MixtureReason", "Start"]


class MixtureReason(IntEnum):
    """How the fit of a mixture ended."""

    CONVERGED = 0
    NOT_CONVERGED = 1
    DECREASED = 2
    DEGENERATE = 3
    IMPOSSIBLE = 4
    TOO_FEW = 5


_SENTENCES = {
    MixtureReason.CONVERGED: "the likelihood has settled",
    MixtureReason.NOT_CONVERGED: "the likelihood did not settle within the limit of iterations",
    MixtureReason.DECREASED: "the likelihood fell: a component was not fitted at its maximum; the mixture before that is returned",
    MixtureReason.DEGENERATE: "every start led to a component that degenerates",
    MixtureReason.IMPOSSIBLE: "a row has probability 0 under every component",
    MixtureReason.TOO_FEW: "there are fewer different rows than components",
}


@dataclass(frozen=True)
class Start:
    """Where a climb of the likelihood began, and what became of it.

    Attributes:
        name: how the rows were first divided.
        reason: how it ended, or how far it was pursued.
        log_likelihood: per row, in nats, when it was last looked at; −∞ if it degenerated.
        iterations: how many steps it was given.
        fault: which component degenerated, and why; "" if none did.
    """

    name: str
    reason: MixtureReason
    log_likelihood: float
    iterations: int
    fault: str = ""

    def __str__(self) -> str:
        if self.fault:
            return f"{self.name}: abandoned after {self.iterations} iterations, {self.fault}"
        return f"{self.name}: {self.log_likelihood:.6g} nats per row after {self.iterations} iterations"


@dataclass(frozen=True)
class MixtureFit:
    """What became of the fit of a mixture.

    Attributes:
        reason: how it ended.
        iterations: steps from the start that was pursued to the end to what is returned.
        log_likelihoods: total log-likelihood in nats at the start and after each step that was kept, never falling.
        rows: number of observations, the sum of their weights.
        distinct: number of rows that were computed with: distinct ones, where many are alike.
        free_parameters: how many numbers were fitted.
        effective_rows: for each component, how many rows it rests on: (Σr)²/Σr² over distinct rows, r the share of each row (Kish).
        limits: for each component, "" or why its likelihood has no maximum inside; it then stands next to the limit.
        starts: all starts, the best first.
        alike: whether two components coincide.
    """

    reason: MixtureReason
    iterations: int
    log_likelihoods: np.ndarray
    rows: float
    distinct: int
    free_parameters: int
    effective_rows: np.ndarray
    limits: tuple[str, ...]
    starts: tuple[Start, ...]
    alike: bool = False

    @property
    def ok(self) -> bool:
        """Whether what is returned is a local maximum of the likelihood, or next to it if it is at a limit."""
        return self.reason == MixtureReason.CONVERGED

    @property
    def converged(self) -> bool:
        """Whether the likelihood has settled."""
        return self.reason == MixtureReason.CONVERGED

    @property
    def log_likelihood(self) -> float:
        """Of the mixture that is returned, in nats; NaN where there is none."""
        return float(self.log_likelihoods[-1]) if len(self.log_likelihoods) else float("nan")

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2·free − 2·log-likelihood."""
        return 2.0 * self.free_parameters - 2.0 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion, log(rows)·free − 2·log-likelihood."""
        return float(np.log(self.rows)) * self.free_parameters - 2.0 * self.log_likelihood

    @property
    def spurious(self) -> np.ndarray:
        """For each component, whether it rests on fewer rows than it has parameters: a chance cluster rather than a part."""
        k = len(self.effective_rows)
        return self.effective_rows < (self.free_parameters - (k - 1)) / max(k, 1) - 0.01

    def __str__(self) -> str:
        faults = [start for start in self.starts if start.fault]
        if self.reason == MixtureReason.TOO_FEW:
            return faults[0].fault
        if self.reason in (MixtureReason.DEGENERATE, MixtureReason.IMPOSSIBLE) and not len(self.log_likelihoods):
            first = f" (the first, {faults[0].name}: {faults[0].fault})" if faults else ""
            return f"{_SENTENCES[self.reason]}{first}"
        parts = [f"after {self.iterations} iterations {_SENTENCES[self.reason]}"]
        if faults:
            parts.append(
                f"{len(faults)} of {len(self.starts)} starts were abandoned, the first because {faults[0].fault}"
            )
        parts += [f"component {j}: {why}" for j, why in enumerate(self.limits) if why]
        if np.any(self.spurious):
            number = ", ".join(str(j) for j in np.flatnonzero(self.spurious))
            parts.append(f"component {number} rests on fewer rows than it has parameters, and may be a chance cluster")
        if self.alike:
            parts.append("two components coincide, so that fewer would do as well")
        return "; ".join(parts)


CRITERIA = ("bic", "aic", "icl")


@dataclass(frozen=True)
class Candidate:
    """A number of components that was tried.

    Attributes:
        k: how many.
        distribution: fitted.
        outcome: of the fit.
        icl: integrated classification likelihood, BIC + 2·(entropy of the assignments): asks for components that lie apart.
    """

    k: int
    distribution: Any
    outcome: MixtureFit
    icl: float

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return self.outcome.aic

    @property
    def bic(self) -> float:
        """Schwarz's criterion."""
        return self.outcome.bic


@dataclass(frozen=True)
class MixtureChoice:
    """Mixtures of several numbers of components, and which of them a criterion prefers.

    Attributes:
        family: of the components.
        criterion: "bic", "aic" or "icl": the smallest is best.
        candidates: one for each k that was asked for, in order.
        rows: number of observations.
    """

    family: Any
    criterion: str
    candidates: tuple[Candidate, ...]
    rows: float

    @property
    def chosen(self) -> Candidate:
        """The candidate of the smallest criterion, among those whose fit settled."""
        return min((c for c in self.candidates if c.outcome.ok), key=lambda c: getattr(c, self.criterion))

    @property
    def k(self) -> int:
        """Its number of components."""
        return self.chosen.k

    @property
    def best(self) -> Any:
        """Its distribution."""
        return self.chosen.distribution

    def __getitem__(self, k: int) -> Candidate:
        """The candidate of k components."""
        for candidate in self.candidates:
            if candidate.k == k:
                return candidate
        raise KeyError(f"k={k} was not tried; there are {', '.join(str(c.k) for c in self.candidates)}.")

    def __str__(self) -> str:
        head = ("k", "log-likelihood", "free", "BIC", "AIC", "ICL", "")
        rows = [head]
        best = self.chosen
        for c in self.candidates:
            if len(c.outcome.log_likelihoods):
                told = (c.outcome.log_likelihood, c.bic, c.aic, c.icl)
                log_likelihood, bic, aic, icl = (f"{value:.2f}" for value in told)
            else:
                log_likelihood = bic = aic = icl = ""
            note = f"<- least {self.criterion.upper()}" if c is best else "" if c.outcome.ok else str(c.outcome)
            rows.append((str(c.k), log_likelihood, str(c.outcome.free_parameters), bic, aic, icl, note))
        widths = [max(len(row[i]) for row in rows) for i in range(6)]
        lines = ["  ".join([*(cell.rjust(w) for cell, w in zip(row, widths)), row[6]]).rstrip() for row in rows]
        return "\n".join([f"Mixtures of {self.family.__name__}: {self.rows:,.6g} rows", *lines])

    __repr__ = __str__
