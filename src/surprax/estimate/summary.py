"""Estimates as tables."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.stats as st

from surprax.estimate.checks import checked_level

if TYPE_CHECKING:
    from surprax.estimate.estimate import Estimate

__all__ = ["Summary", "summary_of"]


@dataclass(frozen=True)
class Summary(Mapping[str, Mapping[str, float]]):
    """A table with one row for each element of each parameter: print it, or read it by label and column.

    Attributes:
        head: what it is a table of: pairs of a name and a value.
        columns: names of the columns.
        rows: values by label and column; NaN where there is none.
        notes: sentences below the table.

    >>> import surprax as sx
    >>> print(sx.mle(sx.Normal, [1.3, -0.2, 2.1, 0.8, 1.5]).summary())
    Model         Normal                Log-likelihood  -5.800906
    Method        maximum likelihood    AIC             15.60181
    Observations  5                     BIC             14.82069
    Std. errors   observed              Converged       yes
    ----------------------------------------------------------------
           estimate  std. error     z      p   bit   [2.5 %  97.5 %]
    ----------------------------------------------------------------
    loc         1.1     0.34525  3.19  0.001  9.44  0.42332   1.7767
    scale   0.77201     0.24413                     0.29352   1.2505
    ----------------------------------------------------------------
    """

    head: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...]

    def __getitem__(self, label: str) -> Mapping[str, float]:
        return self.rows[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        half = -(-len(self.head) // 2)
        left, right = self.head[:half], (*self.head[half:], ("", ""))
        width = [max(len(a) for a, _ in side) + 2 for side in (left, right)]
        inner = max(len(b) for _, b in left) + 4
        lines = [f"{a:<{width[0]}}{b:<{inner}}{c:<{width[1]}}{d}".rstrip() for (a, b), (c, d) in zip(left, right)]
        cells = [["", *self.columns]] + [
            [label, *("" if np.isnan(row[c]) else _told(c, row[c]) for c in self.columns)]
            for label, row in self.rows.items()
        ]
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
        table = [
            "  ".join([line[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(line[1:], widths[1:])]).rstrip()
            for line in cells
        ]
        rule = "-" * max(map(len, [*lines, *table]))
        return "\n".join([*lines, rule, table[0], rule, *table[1:], rule, *self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{self}</pre>"


def _told(column: str, value: float) -> str:
    if column == "p":
        return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}" if value >= 1e-300 else "<1e-300"
    return f"{value:.2f}" if column in ("z", "t", "bit") else f"{value:.5g}"


def summary_of(estimate: "Estimate", level: float, kind: str) -> Summary:
    """`Estimate.summary`."""
    level = checked_level(level)
    ends = tuple(
        f"[{100 * q:.4g} %" if q < 0.5 else f"{100 * q:.4g} %]" for q in (0.5 * (1 - level), 0.5 * (1 + level))
    )
    reference = estimate.reference
    ratio = "z" if reference is st.norm else "t"
    tests = (ratio, "p", "bit") if any(map(estimate.spans_zero, estimate.labels)) else ()
    columns = ("estimate", "std. error", *tests, *ends)
    notes = [] if estimate.converged else [f"Not a maximum: {estimate.report.reason}."]
    try:
        errors = np.sqrt(np.diagonal(estimate.covariance(kind)))  # type: ignore[arg-type]
    except ValueError as why:
        errors = np.full(len(estimate.labels), np.nan)
        notes.append(str(why))
    reach = float(reference.isf(0.5 * (1.0 - level)))
    rows = {}
    for label, value, error in zip(estimate.labels, estimate.theta, errors):
        if estimate.held(label):
            rows[label] = dict.fromkeys(columns, np.nan) | {"estimate": float(value)}
            continue
        z = value / error if error > 0 and estimate.spans_zero(label) else np.nan
        log_p = float(np.log(2.0) + reference.logsf(abs(z)))
        numbers = {
            "estimate": value,
            "std. error": error,
            ratio: z,
            "p": np.exp(log_p),
            "bit": max(-log_p, 0.0) / np.log(2.0),
            ends[0]: value - reach * error,
            ends[1]: value + reach * error,
        }
        rows[label] = {name: float(numbers[name]) for name in columns}
    held = [label for label in estimate.labels if estimate.held(label)]
    if held:
        notes.append(f"Held: {', '.join(held)}.")
    head = [
        ("Model", estimate.problem.title),
        ("Method", estimate.kind),
        ("Observations", "unknown" if estimate.nobs is None else f"{estimate.nobs:,.10g}"),
        ("Std. errors", kind),
        ("Log-likelihood", f"{estimate.log_likelihood:.7g}"),
        ("AIC", f"{estimate.aic:.7g}"),
    ]
    if estimate.nobs is not None:
        head += [("BIC", f"{estimate.bic:.7g}")]
    head += estimate.about()
    head += [("Converged", "yes" if estimate.converged else "no")]
    return Summary(tuple(head), columns, rows, tuple(notes))
