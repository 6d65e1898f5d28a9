"""The page: a table of families by operations, the same beside the peers, and the cells that miss the bound."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.accuracy.exceptions import BOUND, EXCEPTIONS

__all__ = ["report"]

SHORT = {
    "log_prob": "log_prob",
    "d/dx": "its slope in x",
    "d/dθ": "in parameters",
    "kl": "kl",
    "entropy": "entropy",
    "cdf": "cdf",
    "log_cdf": "log_cdf",
    "log_sf": "log_sf",
    "icdf": "icdf",
    "log_normalizer": "log-normaliser",
    "expectation": "expectation",
    "from_expectation": "from expectation",
}
"""Columns; the gradients in all parameters share one, which shows the worst of them."""

PREFACE = """\
# Accuracy

Worst **excess wrong bits** of float32 results, family by family and operation by operation: the binary logarithm of

    |result − truth| / (one ulp of the truth + what one ulp in each argument and parameter changes),

at least 0. 0 is as good as the arguments allow; 24 is nothing right. Truth is the textbook's definition in mpmath with {digits}
digits, on a deterministic grid of {rows} points per cell at most, whose parameters and arguments spread over the range of float32:
near modes, in tails as far as e^−450, near boundaries, beyond them. *n* NaN or *n* ∞ counts results that are NaN, or infinite
where the truth is finite (or the other way round); — is an operation that does not exist, *?* one that is not measured. Truths
outside the range of normal numbers are left to tests of limits, and so are parameters of which an ulp in the expectations leaves
less than four bits.

Not measured are slopes in x on the simplex, on the sphere and of symmetric matrices (off them a density has many extensions, with
slopes of their own) and of Uniform (which is 0), and what takes mpmath too long: sums over all counts of BetaNegativeBinomial, and
expectations of GeneralizedInverseGaussian solved for its parameters. Those have tests in float64.

The aim is at most {bound:g} everywhere and no NaN. Cells that miss it are **bold**, and explained below the tables.

Made by `python -m benchmarks.accuracy`; do not edit."""

PEERS = """\
## Beside NumPyro and SciPy

Of the operations that either has: ours / NumPyro's / SciPy's, where the first two compute in float32. SciPy is given the same
float32 numbers, but computes in float64; its results are rounded to float32. Where our parameter is log-odds, SciPy is given the
probability that they make, and pays for that. NumPyro is taken as it is by default, without validation: then its densities outside
of a support may be finite, which is counted as ∞."""


def report(document: Mapping[str, Any]) -> str:
    """The page as Markdown, from the document that `__main__` writes."""
    families = document["families"]
    lines = [PREFACE.format(digits=document["digits"], rows=document["rows"], bound=BOUND), ""]
    machines: dict[str, int] = {}
    for family in families.values():
        about = document["runs"][family["run"]]
        versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
        machine = f"{family['run'][:10]}, {about['processor']}; {versions}"
        machines[machine] = machines.get(machine, 0) + 1
    lines += [f"- {count} famil{'ies' if count != 1 else 'y'}: {machine}" for machine, count in machines.items()]
    lines += ["", "## Ours", "", _line(["", *SHORT.values()]), _line(["---"] * (len(SHORT) + 1))]
    lines += [_line([name, *(_worst(family, column) for column in SHORT)]) for name, family in families.items()]
    lines += [_line([name, *("*?*" for _ in SHORT)]) for name in document["unmeasured"]]
    lines += ["", PEERS, ""]
    shared = [
        c
        for c in SHORT
        if any(_has(f["cells"], c, "numpyro") or _has(f["cells"], c, "scipy") for f in families.values())
    ]
    lines += [_line(["", *(SHORT[c] for c in shared)]), _line(["---"] * (len(shared) + 1))]
    for name, family in families.items():
        if any(_has(family["cells"], c, who) for c in shared for who in ("numpyro", "scipy")):
            lines.append(_line([name, *(_beside(family["cells"], column) for column in shared)]))
    if document["unmeasured"]:
        lines += ["", f"Not measured yet: {', '.join(document['unmeasured'])}."]
    lines += ["", "## Cells beyond the bound", ""]
    notes = [f"- {family}, {operation}: {known.reason}" for (family, operation), known in sorted(EXCEPTIONS.items())]
    return "\n".join(lines + (notes or ["None."])) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _of(cells: Mapping[str, Any], column: str, who: str) -> list[Mapping[str, Any]]:
    names: Iterable[str] = [n for n in cells if n.startswith("d/d ")] if column == "d/dθ" else [column]
    return [cells[name][who] for name in names if name in cells and who in cells[name]]


def _has(cells: Mapping[str, Any], column: str, who: str) -> bool:
    return bool(_of(cells, column, who))


def _worst(family: Mapping[str, Any], column: str) -> str:
    scores = _of(family["cells"], column, "surprax")
    if not scores:
        names = family["operations"]
        there = any(n.startswith("d/d ") for n in names) if column == "d/dθ" else column in names
        return "*?*" if there else "—"
    told = _told(scores)
    missed = any(s["bits"] > BOUND or s["nan"] or s["infinite"] for s in scores)
    return f"**{told}**" if missed else told


def _beside(cells: Mapping[str, Any], column: str) -> str:
    everyone = [_of(cells, column, who) for who in ("surprax", "numpyro", "scipy")]
    if not any(everyone[1:]):
        return ""
    return " / ".join(_told(scores) if scores else "—" for scores in everyone)


def _told(scores: Sequence[Mapping[str, Any]]) -> str:
    nan, infinite = (sum(s[kind] for s in scores) for kind in ("nan", "infinite"))
    finite = [s["bits"] for s in scores if s["points"] > s["nan"] + s["infinite"]]
    parts = [f"{max(finite):.1f}"] if finite else []
    parts += [f"{nan} NaN"] * bool(nan) + [f"{infinite} ∞"] * bool(infinite)
    return ", ".join(parts) if parts else "0.0"
