"""Write docs/families.md: what every family can do, and why not where it cannot. Run by `make docs`."""

from pathlib import Path

from surprax.beliefs import conjugates
from surprax.families import ExponentialFamily
from surprax.families.catalogue import FAMILIES
from surprax.files import replaced

TARGET = Path(__file__).parent / "families.md"

DENSITY = {
    "log_prob": "log_prob, surprise",
    "sample": "sample",
    "mean": "mean",
    "variance": "variance",
    "mode": "mode",
    "cdf": "cdf, log_cdf, log_sf, icdf",
    "entropy": "entropy",
    "kl": "kl, cross_entropy",
    "fit": "fit",
}
EXPONENTIAL = {
    "natural": "natural",
    "expectation": "expectation",
    "from_expectation": "from_expectation",
    "fisher_information": "fisher_information, fisher_solve",
    "renyi": "renyi, bhattacharyya, hellinger",
    "evidence": "evidence",
}
"""Columns: one method that stands for those which come with it."""


def reason(family: type, method: str) -> str | None:
    """Why a family lacks a method; None where it has it."""
    lacks = family.lacks
    if method in lacks:
        return lacks[method]
    if method == "renyi" and "kl" in lacks:
        return lacks["kl"]
    if method == "evidence" and hasattr(family, "evidence"):
        return None
    if method in EXPONENTIAL and not issubclass(family, ExponentialFamily):
        return "not an exponential family"
    return None


def _table(columns: dict[str, str], families: list[type], notes: dict[str, int]) -> list[str]:
    lines = ["| family | " + " | ".join(columns.values()) + " |", "|---" * (1 + len(columns)) + "|"]
    for family in families:
        cells = []
        for method in columns:
            why = reason(family, method)
            cells.append("✓" if why is None else f"[{notes.setdefault(why, len(notes) + 1)}](#why)")
        lines.append(f"| {family.__name__} | " + " | ".join(cells) + " |")
    return lines


def page() -> str:
    """The text of the page."""
    notes: dict[str, int] = {}
    families = list(FAMILIES.values())
    exponential = [f for f in families if issubclass(f, ExponentialFamily)]
    lines = [
        "# Families",
        "",
        f"What each of the {len(families)} families can do. Made from the code by `make docs`; do not edit. A number says why a"
        " method is not there.",
        "",
        "## Densities, moments, information, fits",
        "",
        *_table(DENSITY, families, notes),
        "",
        "## Exponential families",
        "",
        "A parameter in brackets has to be known.",
        "",
        *_table(EXPONENTIAL, exponential, notes),
        "",
        "## Why",
        "",
        *(f"{number}. {why[0].upper()}{why[1:]}." for why, number in notes.items()),
        "",
        "## Conjugate pairs",
        "",
        "`prior + evidence → posterior`, `log_evidence(prior, evidence)`, `predictive(belief, Family, **known)`.",
        "",
        "| belief | data | about | known |",
        "|---|---|---|---|",
        *(
            f"| {row.prior.__name__} | {row.likelihood.__name__} | {row.about.rstrip(',')} | {', '.join(row.known)} |"
            for row in conjugates()
        ),
        "",
        "Any exponential family of at most two natural parameters has a `ConjugatePrior` beside these.",
    ]
    known = {f.__name__: ", ".join(f.known_parameters) for f in exponential if f.known_parameters}
    text = "\n".join(lines) + "\n"
    head, tail = text.split("## Exponential families", 1)
    for name, held in known.items():
        tail = tail.replace(f"| {name} | ✓", f"| {name} ({held}) | ✓", 1)
    return head + "## Exponential families" + tail


def write(target: Path = TARGET) -> None:
    """Write the page."""
    with replaced(target, "w") as file:
        file.write(page())


if __name__ == "__main__":
    write()
