"""`python -m benchmarks`: run cases, each in a process of its own, and keep what came out."""

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT, environment, platforms

RESULTS = ROOT / "benchmarks" / "results"

DEVICES = ("cpu", "gpu", "tpu")
"""Kinds of devices, and names of the files of results; other files of that folder are not ours."""

LONGEST = 3600.0
"""Seconds after which a case is given up."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; 0 if no case is missing, failed or wrong."""
    options = _parser().parse_args(words)
    os.environ["JAX_PLATFORMS"] = platforms(options.device)
    # What an earlier process compiled must not be found: compile times are among the results.
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)

    from benchmarks.registry import all_cases, select

    cases = all_cases()
    try:
        chosen = select(cases, options.only, options.device)
    except ValueError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    if options.list:
        for case in chosen:
            print(f"{case.name:<44} {case.title}")
        return 0
    if options.record is not None:
        return _record_one(next(case for case in chosen if [case.name] == options.only), options)
    if options.report:
        return _report(options.out or RESULTS, cases)
    return _run_all(chosen, cases, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Time surprax against what else there is."
    )
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where to run (default: cpu)")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="names, groups or patterns; default: all")
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that all works; written only with --out"
    )
    parser.add_argument("--list", action="store_true", help="list the cases and leave")
    parser.add_argument("--report", action="store_true", help="only make RESULTS.md from what there is")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for results (default: benchmarks/results)")
    parser.add_argument("--repeats", type=int, default=30, help="turns of each entrant, at most (default: 30)")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of turns per case, about (default: 60)")
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    return parser


def _record_one(case: Any, options: argparse.Namespace) -> int:
    """Run a case in this process, and write its record: what `_run_all` starts."""
    from benchmarks.harness import Effort, run_case
    from benchmarks.results import write

    effort = Effort.least() if options.quick else Effort(repeats=options.repeats, budget=options.budget)
    told: dict[str, Any] = {}
    try:
        told["about"] = about = environment()
        if about["device"] != options.device:
            raise RuntimeError(f"asked for {options.device}, found {about['device']} ({about['device_kind']})")
        told["record"] = run_case(case, effort)
    except Exception as error:
        traceback.print_exc()
        told["record"] = {"failure": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
    write(options.record, told)
    return 0


def _run_all(chosen: Sequence[Any], cases: Sequence[Any], options: argparse.Namespace) -> int:
    from benchmarks.results import load, merge, missing, write

    keep = options.out is not None or not options.quick
    folder = options.out or RESULTS
    path = folder / f"{options.device}.json"
    document = load(path) if keep else {"schema": 0, "device": options.device, "runs": {}, "cases": {}}
    run = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    about: dict[str, Any] | None = None
    failed = []
    for number, case in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {case.name} ", end="", flush=True)
        start = time.perf_counter()
        told = _in_own_process(case.name, options)
        about = about or told.get("about")
        record = {"date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), **told["record"]}
        failure = record.get("failure")
        failed += [case.name] if failure else []
        print(
            f"({time.perf_counter() - start:.0f} s) {f'FAILED: {failure}' if failure else _summary(record)}", flush=True
        )
        # Written case by case, so that a run that is stopped keeps what it has.
        document = merge(document, run, about or {"failure": failure}, {case.name: record})
        if keep and about:
            write(path, document)
    if failed:
        print(f"{len(failed)} of {len(chosen)} cases failed: {', '.join(failed)}", file=sys.stderr)
    if not keep:
        return 1 if failed else 0
    lacking = missing(document, cases if options.only is None else chosen)
    return max(1 if failed or lacking else 0, _report(folder, cases, complete=options.only is None))


def _in_own_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The record of a case that runs alone: a heavy one slows its neighbours down many times, long after it is done."""
    with tempfile.TemporaryDirectory(prefix="surprax-bench-") as folder:
        path = Path(folder) / "record.json"
        words = [sys.executable, "-m", "benchmarks", "--device", options.device, "--only", name, "--record", str(path)]
        words += ["--repeats", str(options.repeats), "--budget", str(options.budget)] + ["--quick"] * options.quick
        try:
            done = subprocess.run(words, cwd=ROOT, timeout=LONGEST, check=False)
            return json.loads(path.read_text(encoding="utf-8"))
        except subprocess.TimeoutExpired:
            return {"record": {"failure": f"gave up after {LONGEST:.0f} s"}}
        except FileNotFoundError:
            return {"record": {"failure": f"its process ended with status {done.returncode} and no record"}}


def _summary(record: dict[str, Any]) -> str:
    parts = [f"{ratio['median']:.3g} × {peer}" for peer, ratio in record["ratios"].items()]
    parts += [f"{t['measure']} {t['value']}" for t in record["targets"] if t["measure"] != "ratio"]
    return "; ".join(parts)


def _report(folder: Path, cases: Sequence[Any], complete: bool = True) -> int:
    """Make the tables again; 1 if any file lacks a case (of those that it should have)."""
    from benchmarks.results import load, missing, report, write

    documents = [load(path) for path in sorted(folder.glob("*.json")) if path.stem in DEVICES]
    target = (ROOT / "benchmarks" if folder.resolve() == RESULTS else folder) / "RESULTS.md"
    write(target, report(documents, cases))
    print(f"Wrote {target}")
    lacking = [f"{document['device']}: {gap}" for document in documents for gap in missing(document, cases)]
    if complete and lacking:
        print("Missing:\n  " + "\n  ".join(lacking), file=sys.stderr)
    return 1 if complete and lacking else 0


if __name__ == "__main__":
    sys.exit(main())
