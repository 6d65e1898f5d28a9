"""Posteriors as tables."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from surprax.infer import diagnostics
from surprax.infer.forms import Form

__all__ = ["Summary", "summarise"]


@dataclass(frozen=True)
class Summary(Mapping[str, Mapping[str, float]]):
    """A table with one row for each element of each site: print it, or read it by element and column.

    Attributes:
        title: what it is a table of.
        columns: names of the columns.
        rows: values by element ("theta[0]") and column.
    """

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, Mapping[str, float]]

    def __getitem__(self, label: str) -> Mapping[str, float]:
        return self.rows[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        return f"{self.title}\n\n{self.table()}"

    __repr__ = __str__

    def table(self) -> str:
        """The table alone."""
        cells = [["", *self.columns]] + [
            [label, *(_FORMATS.get(column, "{:.4g}").format(row[column]) for column in self.columns)]
            for label, row in self.rows.items()
        ]
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])])
            for line in cells
        )

    def _repr_html_(self) -> str:
        header = "".join(f"<th>{column}</th>" for column in ("", *self.columns))
        body = "".join(
            f"<tr><th>{label}</th>"
            + "".join(f"<td>{_FORMATS.get(column, '{:.4g}').format(row[column])}</td>" for column in self.columns)
            + "</tr>"
            for label, row in self.rows.items()
        )
        return f"<p>{self.title}</p><table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


_FORMATS = {"ess_bulk": "{:,.0f}", "ess_tail": "{:,.0f}", "r_hat": "{:.3f}"}


def summarise(
    title: str,
    form: Form,
    names: tuple[str, ...],
    ci_prob: float,
    draws: Mapping[str, np.ndarray] | None,
    spread: bool,
    most: int | None = None,
) -> Summary:
    """Mean, standard deviation and central interval of each element; of chains their diagnostics, too.

    Args:
        title: of the table.
        form: of the posterior.
        names: of the sites.
        ci_prob: of the interval.
        draws: of chains, (chains, draws, …) by site, where there are.
        spread: whether there is any; a point has none.
        most: how many rows; None for all.
    """
    if not 0.0 < ci_prob < 1.0:
        raise ValueError(f"An interval has a probability between 0 and 1; got ci_prob={ci_prob!r}.")
    tails = np.array([0.5 * (1.0 - ci_prob), 0.5 * (1.0 + ci_prob)])
    ends = [f"{100.0 * tail:.4g}%" for tail in tails]
    rows: dict[str, dict[str, float]] = {}
    for name in names:
        values = {"mean": np.asarray(form.mean(name))}
        if spread:
            values |= {"sd": np.asarray(form.sd(name)), **dict(zip(ends, form.quantile(name, tails)))}
        shape = values["mean"].shape
        indices = list(np.ndindex(shape))[: None if most is None else max(0, most - len(rows))]
        if draws is not None and indices:
            chains = draws[name].reshape(*draws[name].shape[:2], -1)[:, :, : len(indices)]
            for column, of in _DIAGNOSTICS.items():
                values[column] = np.resize(of(chains), shape)
        for index in indices:
            rows[diagnostics.element(name, index)] = {column: float(value[index]) for column, value in values.items()}
    columns = ("mean", *(("sd", *ends) if spread else ()), *(_DIAGNOSTICS if draws is not None else ()))
    return Summary(title, columns, rows)


_DIAGNOSTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ess_bulk": lambda chains: diagnostics.ess(chains, "bulk"),
    "ess_tail": lambda chains: diagnostics.ess(chains, "tail"),
    "r_hat": diagnostics.rhat,
}
