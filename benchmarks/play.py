"""`surprax play` as a whole process, from the shell to the board, and `play` alone: by size of the data, and against SciPy.

A whole process imports, compiles and plays. Compiled programs are kept from run to run for users, but not here, unless said.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fits import CONTINUOUS, TOLERANCE, shortfall
from benchmarks.harness import Case, Contest, Entrant, OracleError, Setting, Target
from benchmarks.machine import ROOT

__all__ = ["CASES"]

FIRST = "surprax, first"
SMALL, MIDDLE, LARGE = "surprax, 10,000 rows", "surprax, 1,000,000 rows", "surprax, 10,000,000 rows"


def by_size(setting: Setting) -> Contest:
    """Processes and compilation cost the same for any data; the rows should hardly show."""
    sizes = {LARGE: 600, SMALL: 200} if setting.quick else {LARGE: 10_000_000, MIDDLE: 1_000_000, SMALL: 10_000}
    data = {name: _column(size) for name, size in sizes.items()}
    families = _players(setting)
    entrants = {
        name: _process(_surprax, _write(setting.scratch / f"{len(x)}.parquet", x), families) for name, x in data.items()
    }
    judge = partial(_judge, data, families)
    return Contest(len(data[LARGE]), "float64", entrants, judge, TOLERANCE, peer_tolerance=TOLERANCE)


def again(setting: Setting) -> Contest:
    """The first run of a process finds no compiled programs, the second those that an earlier run has left."""
    x, families = _column(setting.size(10_000, 200)), _players(setting)
    path = _write(setting.scratch / "rows.parquet", x)
    kept = {"SURPRAX_CACHE": "on", "XDG_CACHE_HOME": str(setting.scratch / "cache")}
    entrants = {
        "surprax, again": _process(partial(_surprax, **kept), path, families),
        FIRST: _process(_surprax, path, families),
    }
    _surprax(path, families, **kept)
    return Contest(
        len(x),
        "float64",
        entrants,
        partial(_judge, dict.fromkeys(entrants, x), families),
        TOLERANCE,
        peer_tolerance=TOLERANCE,
    )


def alone(setting: Setting) -> Contest:
    """`surprax.play` in a process that has played before, against fits by SciPy; ours also scores ten folds of each family."""
    x, families = _column(setting.size(1_000_000, 400)), _players(setting)
    entrants = {
        "surprax, play": Entrant(lambda: _board(families, x), answer=json.loads, compilation={}),
        "scipy": Entrant(lambda: json.dumps(_fits(families, x)), answer=json.loads, compilation={}),
    }
    judge = partial(_judge, dict.fromkeys(entrants, x), families)
    return Contest(len(x), "float64", entrants, judge, TOLERANCE, peer_tolerance=1e-3)


def _board(families: Sequence[str], x: np.ndarray) -> str:
    import surprax as sx

    return json.dumps(sx.play(families, x, kind="continuous", unit="nat", progress=False).to_dict())


def against_scipy(setting: Setting) -> Contest:
    """The same families fitted by SciPy, one by one, once; ours also scores each by ten-fold cross-validation."""
    x, families = _column(setting.size(1_000_000, 400)), _players(setting)
    path = _write(setting.scratch / "rows.parquet", x)
    entrants = {
        "surprax": _process(_surprax, path, families),
        "scipy": _process(_scipy, path, families),
    }
    judge = partial(_judge, dict.fromkeys(entrants, x), families)
    return Contest(len(x), "float64", entrants, judge, TOLERANCE, peer_tolerance=1e-3)


def _players(setting: Setting) -> list[str]:
    """The families that SciPy fits as well; two of them, to see that it works."""
    return [*CONTINUOUS] if not setting.quick else ["Normal", "Exponential"]


def _column(rows: int) -> np.ndarray:
    """Between 0 and 1, so that Beta can play; with tails heavier than normal, so that StudentT has a maximum."""
    x = np.random.default_rng(20_240_229).gamma(2.5, 0.04, rows)
    return np.where(x < 1, x, 0.5)


def _write(path: Path, x: np.ndarray) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": x}), path)
    return path


def _process(start: Callable[[Path, Sequence[str]], str], path: Path, families: Sequence[str]) -> Entrant:
    return Entrant(partial(start, path, families), answer=json.loads, compilation={})


def _surprax(path: Path, families: Sequence[str], **environment: str) -> str:
    """The board as JSON, by the command line."""
    board = path.with_suffix(".json")
    words = ["play", str(path), "--column", "x", "--families", ",".join(families), "--unit", "nat"]
    program = "from surprax.cli import main; main()"
    _finish(
        [sys.executable, "-c", program, *words, "--kind", "continuous", "--quiet", "--json", str(board)], environment
    )
    return board.read_text(encoding="utf-8")


def _scipy(path: Path, families: Sequence[str]) -> str:
    """The fits as JSON, in the form of a board, by `main` below."""
    return _finish([sys.executable, "-m", "benchmarks.play", str(path), *families])


def _finish(words: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    settings = {**os.environ, "SURPRAX_CACHE": "off", **(environment or {})}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env=settings)
    if done.returncode:
        raise OracleError(f"a process failed: {done.stderr.strip()[-300:]}")
    return done.stdout


def _judge(data: Mapping[str, np.ndarray], families: Sequence[str], boards: Mapping[str, Any]) -> dict[str, float]:
    """The worst of any family, in nats per row: what a board says beside its parameters' log-likelihood by SciPy in
    float64, and by how much those parameters fall short of the best on the same data."""
    reached: dict[str, dict[str, float]] = {}
    misstated: dict[str, float] = {}
    for name, board in boards.items():
        if board["disqualified"]:
            raise OracleError(f"{name} disqualified {board['disqualified']}")
        entries = {entry["family"]: entry for entry in board["entries"]}
        if missing := set(families) - entries.keys():
            raise OracleError(f"{name} left out {', '.join(sorted(missing))}")
        reached[name] = {f: _log_likelihood(data[name], f, entries[f]["parameters"]) for f in families}
        misstated[name] = max(abs(entries[f]["total_surprise"] + reached[name][f]) for f in families) / len(data[name])
    errors = {}
    for name in boards:
        rivals = [other for other in boards if data[other] is data[name]]
        gaps = (shortfall({r: reached[r][f] for r in rivals}, len(data[name]))[name] for f in families)
        errors[name] = max(misstated[name], *gaps)
    return errors


def _log_likelihood(x: np.ndarray, family: str, parameters: Any) -> float:
    peer = CONTINUOUS[family]
    return peer.log_likelihood(x, peer.shape(**parameters) if isinstance(parameters, dict) else tuple(parameters))


def _fits(families: Sequence[str], x: np.ndarray) -> dict[str, Any]:
    """Fits one by one with SciPy, and what a board would say of them."""
    entries = []
    for family in families:
        parameters = CONTINUOUS[family].fit(x)
        total = -CONTINUOUS[family].log_likelihood(x, parameters)
        entries.append({"family": family, "parameters": [float(p) for p in parameters], "total_surprise": total})
    return {"entries": entries, "disqualified": []}


def main(words: Sequence[str]) -> None:
    """Fit the families named after the file, and print what a board would say of them."""
    import pyarrow.parquet as pq

    path, *families = words
    print(json.dumps(_fits(families, pq.read_table(path)["x"].to_numpy())))


CASES = [
    Case("play/sizes", "surprax play, a whole process", by_size, (Target(4.0, SMALL),), devices=("cpu",)),
    Case("play/again", "surprax play, a second process", again, (Target(1.0, FIRST),), devices=("cpu",)),
    Case("play/alone", "play, against scipy.stats fits one by one", alone, (Target(1 / 50, "scipy"),)),
    Case(
        "play/scipy",
        "surprax play, a whole process, against one of scipy.stats fits",
        against_scipy,
        (Target(1.0, "scipy"),),
        devices=("cpu",),
    ),
]

if __name__ == "__main__":
    main(sys.argv[1:])
