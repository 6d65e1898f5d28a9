"""`python -m benchmarks.accuracy`: measure every family, and write the table."""

import argparse
import datetime
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, environment

RESULTS = ROOT / "benchmarks" / "results" / "accuracy.json"
PAGE = ROOT / "docs" / "accuracy.md"
SCHEMA = 1


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if the page was written."""
    options = _parser().parse_args(words)
    os.environ["JAX_PLATFORMS"] = "cpu"

    from benchmarks.accuracy.cells import DIGITS, ROWS, measure, operations_of
    from benchmarks.accuracy.oracle import all_oracles
    from benchmarks.accuracy.report import report
    from benchmarks.results import write
    from surprax.families import FAMILIES

    oracles = all_oracles()
    chosen = options.family or [name for name in FAMILIES if name in oracles]
    if unknown := [name for name in chosen if name not in oracles]:
        print(f"There is no oracle for {', '.join(unknown)}. There are: {', '.join(oracles)}.", file=sys.stderr)
        return 2
    rows = min(options.points, ROWS)
    document = {**load(options.json), "digits": DIGITS, "rows": ROWS}
    run = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about = environment()
    for name in [] if options.report else chosen:
        start = time.perf_counter()
        cells = measure(FAMILIES[name], oracles[name], rows)
        seconds = time.perf_counter() - start
        worst = max(cells, key=lambda operation: cells[operation]["surprax"].bits)
        print(f"{name:<24} {seconds:5.0f} s   worst: {worst} {cells[worst]['surprax'].bits:.1f}", flush=True)
        told = {op: {who: _score(s) for who, s in scores.items()} for op, scores in cells.items()}
        family = {"points": rows, "operations": operations_of(FAMILIES[name]), "cells": told}
        document = merge(document, run, about, name, family, list(FAMILIES))
        # Written family by family, so that a run that is stopped keeps what it has.
        write(options.json, document)
    document["unmeasured"] = [name for name in FAMILIES if name not in document["families"]]
    write(options.json, document)
    write(options.page, report(document))
    if document["unmeasured"]:
        print(f"Not measured: {', '.join(document['unmeasured'])}", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accuracy", description="Measure how many bits are wrong, and write the table."
    )
    parser.add_argument("--family", nargs="+", metavar="NAME", help="families to measure again; default: all")
    parser.add_argument("--points", type=int, default=1000, help="points per cell, at most (default: all of the grid)")
    parser.add_argument("--report", action="store_true", help="only make the page from what there is")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the numbers go (default: benchmarks/results)")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the page goes (default: docs/accuracy.md)")
    return parser


def load(path: Path) -> dict[str, Any]:
    """The document in a file; an empty one where there is no file."""
    import json

    if not path.exists():
        return {"schema": SCHEMA, "runs": {}, "families": {}}
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.get("schema") != SCHEMA:
        raise ValueError(
            f"{path} has schema {document.get('schema')}; this is schema {SCHEMA}. Move it away and run again."
        )
    return document


def merge(
    document: Mapping[str, Any],
    run: str,
    about: Mapping[str, Any],
    name: str,
    family: Mapping[str, Any],
    order: list[str],
) -> dict[str, Any]:
    """The document with one family measured again, in the order of the catalogue; runs that no family came from are left out."""
    families = {**document["families"], name: {"run": run, **family}}
    families = {
        key: families[key] for key in sorted(families, key=lambda k: order.index(k) if k in order else len(order))
    }
    named = {told["run"] for told in families.values()}
    runs = {key: told for key, told in {**document["runs"], run: dict(about)}.items() if key in named}
    return {**document, "runs": runs, "families": families}


def _score(score: Any) -> dict[str, Any]:
    return {
        "bits": round(score.bits, 2) if score.bits != float("inf") else 99.0,
        "nan": score.nan,
        "infinite": score.infinite,
        "points": score.points,
        "where": score.where,
        **({"lost": score.lost} if score.lost else {}),
    }


if __name__ == "__main__":
    sys.exit(main())
