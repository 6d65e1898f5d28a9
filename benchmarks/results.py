"""What came out: one JSON file per kind of device, and the tables made from all of them.

A file maps cases to records, and each record names the run (date, commit, machine, versions) that it came from. Writing
some cases leaves the others as they were; a run on one device leaves the files of other devices alone.
"""

import contextlib
import json
import os
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import FEWEST_PAIRS, Case

__all__ = ["SCHEMA", "load", "merge", "missing", "report", "verdict", "write"]

SCHEMA = 1


def load(path: Path) -> dict[str, Any]:
    """The document in a file; an empty one where there is no file."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"schema": SCHEMA, "device": path.stem, "runs": {}, "cases": {}}
    if document.get("schema") != SCHEMA:
        raise ValueError(
            f"{path} has schema {document.get('schema')}; this is schema {SCHEMA}. Move it away and run again."
        )
    return document


def merge(
    document: Mapping[str, Any], run: str, about: Mapping[str, Any], records: Mapping[str, Any]
) -> dict[str, Any]:
    """A document with new records of the run `run` (its date); runs that no record names any more are left out."""
    cases = {**document["cases"], **{name: {"run": run, **record} for name, record in records.items()}}
    named = {record["run"] for record in cases.values()}
    runs = {name: told for name, told in {**document["runs"], run: dict(about)}.items() if name in named}
    return {**document, "runs": runs, "cases": dict(sorted(cases.items()))}


def write(path: Path, content: Mapping[str, Any] | str) -> None:
    """Write JSON (of a mapping) or text, by way of a temporary name: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (
        content
        if isinstance(content, str)
        else json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    )
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def missing(document: Mapping[str, Any], cases: Iterable[Case]) -> list[str]:
    """What a comparison lacks: cases of this device without a record, and cases that failed."""
    lacking = []
    for case in cases:
        if document["device"] not in case.devices:
            continue
        record = document["cases"].get(case.name)
        if record is None:
            lacking.append(f"{case.name}: never run")
        elif "failure" in record:
            lacking.append(f"{case.name}: {record['failure']}")
        else:
            ratios = record["ratios"]
            lacking += [
                f"{case.name}: no ratio to {target.peer}"
                for target in case.targets
                if target.measure == "ratio" and target.peer not in ratios
            ]
    return lacking


def verdict(ratio: Mapping[str, Any]) -> str:
    """A win or a loss is claimed only where the interval excludes 1."""
    if ratio["pairs"] < FEWEST_PAIRS:
        return "too few pairs"
    return "faster" if ratio["high"] < 1 else "slower" if ratio["low"] > 1 else "even"


# Tables.

PREFACE = """\
Made by `python -m benchmarks --report` from the files in `results/`; do not edit. Entrants take turns in one process,
once their answers were held against float64. A ratio is our time over the peer's (below one: ours is faster), the
median of paired turns with its 95 % bootstrap interval; a win or a loss is claimed only where that interval excludes
one. Times are medians (and minima), warm; *compile* is tracing, lowering and compiling, or (≈) the first call less a
warm one; *read* is the speed of reading the data, as a share of that of their plain sum in the same run; *error* is
what the judge found, ours / theirs."""


def report(documents: Sequence[Mapping[str, Any]], cases: Sequence[Case]) -> str:
    """All results as Markdown, a section per device and a table per group."""
    lines = ["# Benchmarks", "", PREFACE]
    for document in documents:
        lines += ["", f"## {document['device']}", ""]
        for date, about in sorted(document["runs"].items()):
            count = sum(record["run"] == date for record in document["cases"].values())
            lines.append(f"- {date} ({count} case{'s' * (count != 1)}): {_about(about)}")
        if lacking := missing(document, cases):
            lines.append(f"- **missing**: {_cell('; '.join(lacking))}")
        known = {case.name: case for case in cases}
        groups = dict.fromkeys([*(case.group for case in cases), *(name.split("/")[0] for name in document["cases"])])
        for group in groups:
            chosen = [name for name in known if name in document["cases"] and known[name].group == group]
            chosen += [n for n in document["cases"] if n not in known and n.split("/")[0] == group]
            if chosen:
                records = {name: document["cases"][name] for name in chosen}
                lines += ["", f"### {group}", "", *_table(records), *_means(records)]
    return "\n".join(lines) + "\n"


HEADER = ("case", "ours", "peer", "its time", "ratio", "", "ns/row", "read", "compile", "error", "target")


def _table(records: Mapping[str, Any]) -> list[str]:
    rows = [row for name, record in records.items() for row in _rows(name, record)]
    return [_line(HEADER), _line(["---"] * len(HEADER)), *(_line(row) for row in rows)]


def _rows(name: str, record: Mapping[str, Any]) -> list[list[str]]:
    title = f"`{name}`"
    if "failure" in record:
        return [[title, "**failed**", _cell(record["failure"]), *[""] * (len(HEADER) - 3)]]
    (label, ours), *peers = record["entrants"].items()
    reading = record["reading"]
    size = f"; {record['rows']:,} row{'s' * (record['rows'] != 1)}, {record['dtype']}" if record["rows"] else ""
    told = f"{title}<br>{_cell(record['title'])}{size}"
    mine = [_time(ours)]
    rest = [
        _number(ours["ns_per_row"]) if record["rows"] else "",
        "" if reading is None else f"{reading['fraction']:.0%}",
        _compile(ours),
    ]
    rows = []
    for peer, its in peers:
        ratio = record["ratios"][peer]
        its_time = _time(its) + (", scaled from a part" if its["extrapolated"] != 1 else "")
        claim = "" if _same(label, peer) else verdict(ratio)
        errors = f"{ours['error']:.1e} / {its['error']:.1e}"
        rows.append([told, *mine, peer, its_time, _ratio(ratio), claim, *rest, errors, _targets(record, peer)])
        told, mine, rest = "", [""], [""] * 3
    if not rows:
        rows.append([told, *mine, "", "", "", "", *rest, f"{ours['error']:.1e}", ""])
    for target in record["targets"]:
        if target["measure"] != "ratio":
            used = "unknown" if target["value"] is None else _bytes(target["value"])
            rows.append(["", "", f"*{target['measure']}*: {used}", *[""] * 7, _target(target, _bytes(target["limit"]))])
    return rows


MANY = 5
"""Cases that a mean is worth telling of."""


def _means(records: Mapping[str, Any]) -> list[str]:
    """The geometric mean of the ratios to each peer that many cases of a group share."""
    ratios: dict[str, list[float]] = {}
    for record in records.values():
        for peer, ratio in record.get("ratios", {}).items():
            ratios.setdefault(peer, []).append(ratio["median"])
    told = [
        f"{_number(statistics.geometric_mean(medians))} to {_cell(peer)} ({len(medians)} cases)"
        for peer, medians in ratios.items()
        if len(medians) >= MANY
    ]
    return ["", f"Geometric mean of the ratios: {'; '.join(told)}."] if told else []


def _same(ours: str, peer: str) -> bool:
    """Whether both are ours, at two sizes: nothing to win there."""
    return ours.split(",")[0] == peer.split(",")[0]


def _targets(record: Mapping[str, Any], peer: str) -> str:
    return "; ".join(
        _target(t, f"{t['limit']:.3g}") for t in record["targets"] if t["measure"] == "ratio" and t["peer"] == peer
    )


def _target(target: Mapping[str, Any], limit: str) -> str:
    return f"≤ {limit}: " + {True: "met", False: "**not met**", None: "open"}[target["met"]]


def _time(entrant: Mapping[str, Any]) -> str:
    return f"{_seconds(entrant['median'])} ({_seconds(entrant['minimum'])})"


def _compile(entrant: Mapping[str, Any]) -> str:
    if entrant["compilation"] == {}:
        return ""
    if entrant["compilation"] is not None:
        return _seconds(sum(entrant["compilation"].values()))
    return "≈ " + _seconds(max(0.0, entrant["first_call"] - entrant["median"]))


def _ratio(ratio: Mapping[str, Any]) -> str:
    return f"{ratio['median']:.3g} [{ratio['low']:.3g}, {ratio['high']:.3g}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _seconds(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _bytes(count: float) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


def _about(about: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    commit = about["commit"] or "no commit"
    driver = f", driver {about['driver']}" if about["driver"] else ""
    flags = ", ".join(f"{name}={value}" for name, value in about["flags"].items())
    place = f"{about['device_kind']}{driver}, {about['cores']} cores of {about['processor']}, Python {about['python']}"
    return f"{place}; {versions}; commit {commit[:12]}{commit[40:]}" + (f"; {flags}" if flags else "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
