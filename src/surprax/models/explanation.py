"""Plans: what becomes of each site of a model, and why, like a database's EXPLAIN."""

import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from surprax.models.certificate import Certificate
from surprax.models.compact import Compact
from surprax.models.reading import Reading, Site

__all__ = ["Plan", "SitePlan", "plan_of"]


@dataclass(frozen=True)
class SitePlan:
    """What becomes of one site.

    Attributes:
        name: of the site.
        kind: "observed", "factor", "deterministic" or "latent".
        rule: by which it is compressed; None where it is not.
        rows: entries of its log-density.
        numbers: how many are left; `rows` where it stays as it is.
        detail: what is left, in words.
        reason: why it stays as it is; None where it does not.
        before, after: numbers that one evaluation of the gradient reads: of all parameters and observations, or of what is left.
    """

    name: str
    kind: str
    rule: str | None
    rows: int
    numbers: int
    detail: str
    reason: str | None
    before: int
    after: int


@dataclass(frozen=True)
class Plan:
    """A plan: printed it is a table, in a notebook too; `data()` is it as dictionaries.

    Attributes:
        model: name of the model.
        sites: observed sites, factors, and deterministic sites that have rows.
        latents: shapes of the latent sites.
        certificate: of the comparison with the plain model; None where nothing is compressed, or nobody asked.
        obstacle: why the model has to be run itself, if it has.
    """

    model: str
    sites: tuple[SitePlan, ...]
    latents: Mapping[str, tuple[int, ...]]
    certificate: Certificate | None
    obstacle: str | None = None

    def __getitem__(self, name: str) -> SitePlan:
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(f"The plan has no site {name!r}; it has {', '.join(s.name for s in self.sites)}.")

    @property
    def compressed(self) -> bool:
        """Whether any site is."""
        return any(site.rule for site in self.sites)

    def data(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {
            "model": self.model,
            "sites": [asdict(site) for site in self.sites],
            "latents": {name: list(shape) for name, shape in self.latents.items()},
            "certificate": None
            if self.certificate is None
            else {**asdict(self.certificate), "holds": self.certificate.holds},
            "obstacle": self.obstacle,
        }

    def __str__(self) -> str:
        console = Console(width=110, record=False, file=None, color_system=None)
        with console.capture() as capture:
            console.print(self._table(), highlight=False)
        lines = [line.rstrip() for line in capture.get().splitlines()]
        return "\n".join([f"Plan of {self.model}", *lines, *self._notes()])

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="")
        for name, justify in (
            ("site", "left"),
            ("rule", "left"),
            ("rows → numbers", "left"),
            ("per gradient", "right"),
        ):
            table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for site in self.sites:
            table.add_row(*_cells(site))
        return table

    def _notes(self) -> list[str]:
        notes = []
        if self.obstacle:
            notes.append(f"The model itself is run at every step: {self.obstacle}.")
        if self.certificate is not None:
            notes.append(str(self.certificate))
        return notes

    def _repr_html_(self) -> str:
        """The table for notebooks."""
        head = "".join(
            f"<th style='text-align:left'>{h}</th>" for h in ("site", "rule", "rows → numbers", "per gradient")
        )
        rows = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in _cells(site)) + "</tr>"
            for site in self.sites
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        return f"<table><caption>Plan of {html.escape(self.model)}</caption><tr>{head}</tr>{rows}</table>{notes}"


def _cells(site: SitePlan) -> tuple[str, str, str, str]:
    rows = f"{site.rows:,} row{'s' if site.rows != 1 else ''}"
    if site.rule is None:
        return site.name, "as it is", f"{rows}: {site.reason}", f"{site.before:,}"
    return site.name, site.rule, f"{rows} → {site.detail}", f"{site.before:,} → {site.after:,}"


def plan_of(name: str, reading: Reading, outcomes: Mapping[str, Any], certificate: Certificate | None) -> Plan:
    """The plan of a model that was read, from what became of its observed sites."""
    rows = [_observed(reading.sites[n], outcome) for n, outcome in outcomes.items()]
    most = max((site.rows for site in rows), default=0)
    compressed = any(site.rule for site in rows)
    for site in reading.sites.values():
        size = site.value.size if site.value is not None else 0
        if site.kind == "factor":
            numbers = max(max((v.size for v in site.leaves), default=1), 1)
            rows.append(
                SitePlan(
                    site.name, "factor", None, numbers, numbers, "", "a factor is taken as it is", numbers, numbers
                )
            )
        elif site.kind == "deterministic" and compressed and most > 1 and size >= most:
            reason = "a deterministic site by row is left out; predict computes it"
            rows.append(SitePlan(site.name, "deterministic", None, size, size, "", reason, 0, 0))
        elif site.kind == "latent" and compressed and most > 1 and _size(reading, site) >= most:
            size = _size(reading, site)
            rows.append(
                SitePlan(
                    site.name, "latent", None, size, size, "", "a latent site with a value for each row", size, size
                )
            )
    shapes = {n: tuple(spec.shape) for n, spec in reading.latents.items()}
    return Plan(name, tuple(rows), shapes, certificate, reading.obstacle)


def _observed(site: Site, outcome: Any) -> SitePlan:
    before = site.rows * (1 + sum(v.size >= site.rows for v in site.parameters.values()))
    if isinstance(outcome, Compact):
        return SitePlan(
            site.name,
            site.kind,
            outcome.rule,
            outcome.rows,
            outcome.numbers,
            outcome.detail,
            None,
            before,
            outcome.numbers,
        )
    return SitePlan(site.name, site.kind, None, site.rows, site.rows, "", outcome.reason, before, before)


def _size(reading: Reading, site: Site) -> int:
    return int(np.prod(reading.latents[site.name].shape, dtype=np.int64))
