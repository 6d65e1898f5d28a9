"""Ten million rows as a handful of numbers: whole, by group, and from a file of a hundred million rows."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import surprax as sx
from benchmarks.harness import Case, Contest, Entrant, Setting, Target, against, call, stages

__all__ = ["CASES"]

TOLERANCE = 1e-9
"""Evidence is accumulated in float64, also of float32 rows."""

SMALL = 1 << 21
"""Bytes; what a fused reduction may take beside its input."""


@dataclass(frozen=True)
class Summary:
    """A family's mean statistics, and how NumPy's users get them: elementwise in float32, summed in float64."""

    family: str
    draw: Callable[[np.random.Generator, int], np.ndarray]
    statistics: tuple[Callable[[np.ndarray], np.ndarray], ...]

    def data(self, rows: int) -> np.ndarray:
        x = self.draw(np.random.default_rng(20_240_229), rows)
        return x.astype(np.int32 if x.dtype.kind == "i" else np.float32)

    def by_numpy(self, x: np.ndarray) -> np.ndarray:
        return np.array([np.mean(statistic(x), dtype=np.float64) for statistic in self.statistics])


def itself(x: np.ndarray) -> np.ndarray:
    return x


def log_complement(x: np.ndarray) -> np.ndarray:
    return np.log1p(-x)


def squared_log(x: np.ndarray) -> np.ndarray:
    return np.square(np.log(x))


GAMMA = Summary("Gamma", lambda rng, n: rng.gamma(2.5, 1 / 1.5, n), (np.log, itself))

SUMMARIES = {
    "normal": Summary("Normal", lambda rng, n: rng.normal(1.0, 2.0, n), (itself, np.square)),
    "gamma": GAMMA,
    "beta": Summary("Beta", lambda rng, n: np.clip(rng.beta(2.0, 3.0, n), 1e-6, 1 - 1e-6), (np.log, log_complement)),
    "inverse-gaussian": Summary("InverseGaussian", lambda rng, n: rng.wald(2.0, 3.0, n), (itself, np.reciprocal)),
    "log-normal": Summary("LogNormal", lambda rng, n: rng.lognormal(0.5, 0.7, n), (np.log, squared_log)),
    "poisson": Summary("Poisson", lambda rng, n: rng.poisson(4.0, n).astype(np.int64), (itself,)),
}


def whole(summary: Summary, setting: Setting) -> Contest:
    """`Family.evidence(x)` against the reductions that make the same statistics."""
    x = summary.data(setting.size(10_000_000, 2_000))
    on_device = jax.device_put(x)
    family = getattr(sx, summary.family)
    temporaries = None if family.discrete else _temporaries(family, on_device)
    # Ours reads the array on the device, and so does its plain sum.
    ours = replace(call(family.evidence, on_device, answer=_statistics), temporaries=temporaries)
    entrants = {"surprax": ours, "NumPy": call(summary.by_numpy, x)}
    truth = summary.by_numpy(x.astype(np.float64))
    scale = np.array([np.mean(np.abs(s(x)), dtype=np.float64) for s in summary.statistics])
    return Contest(len(x), str(x.dtype), entrants, against(truth, scale), TOLERANCE, reads=on_device)


def _statistics(evidence: Any) -> np.ndarray:
    return np.asarray(evidence.statistics())


def _temporaries(family: Any, x: jax.Array) -> int | None:
    """Bytes beside the input that the reduction takes, which `evidence` of known rows runs in float64."""
    from surprax.families.fitting import _domain, _reduce_in_one_pass

    with jax.enable_x64(True):
        return stages(lambda x: _reduce_in_one_pass(family, x, {}, _domain(family, {})), x)[2]


# By group.


def grouped(groups: int, setting: Setting) -> Contest:
    """`Gamma.evidence(x, by=labels)` against what NumPy and Polars do for the same two means per group."""
    import polars

    rows = setting.size(10_000_000, 2_000)
    groups = setting.size(groups, 10)
    x = GAMMA.data(rows)
    labels = np.random.default_rng(1).permutation(np.arange(rows) % groups).astype(np.int32)
    on_device, frame = jax.device_put(x), polars.DataFrame({"x": x, "by": labels})

    def by_numpy(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
        count = np.bincount(labels, minlength=groups)
        return np.stack([np.bincount(labels, s(x), minlength=groups) / count for s in GAMMA.statistics], axis=-1)

    def by_polars() -> Any:
        column = polars.col("x")
        return frame.group_by("by").agg(column.log().mean().alias("log"), column.cast(polars.Float64).mean().alias("x"))

    truth = by_numpy(x.astype(np.float64), labels)
    entrants = {
        "surprax": call(lambda: sx.Gamma.evidence(on_device, by=labels), answer=_statistics),
        "NumPy": call(by_numpy, x, labels),
        "Polars": call(by_polars, answer=lambda frame: frame.sort("by").select("log", "x").to_numpy()),
    }
    scale = np.abs(by_numpy(np.abs(x), labels)) + 1.0
    return Contest(rows, str(x.dtype), entrants, against(truth, scale), TOLERANCE, reads=on_device)


# From a file.


def streamed(setting: Setting) -> Contest:
    """`read_evidence` of a Parquet column, in chunks, against Polars' streaming engine."""
    import polars

    rows = setting.size(100_000_000, 20_000)
    path = setting.scratch / "rows.parquet"
    truth = write_rows(path, rows, chunk=setting.size(1_000_000, 7_000))

    def by_polars() -> Any:
        column = polars.col("x").cast(polars.Float64)
        return (
            polars.scan_parquet(path)
            .select(column.log().mean().alias("log"), column.mean())
            .collect(engine="streaming")
        )

    entrants = {
        "surprax": Entrant(partial(read, path, setting.size(1_000_000, 6_000)), _statistics),
        "Polars": call(by_polars, answer=lambda frame: frame.to_numpy()[0]),
    }
    return Contest(rows, "float32", entrants, against(truth, 1.0), TOLERANCE)


def read(path: Path, chunk_rows: int) -> Any:
    from surprax.data import read_evidence

    return read_evidence(path, sx.Gamma, column="x", chunk_rows=chunk_rows, progress=False)


def write_rows(path: Path, rows: int, chunk: int) -> np.ndarray:
    """Gamma rows in a Parquet file, written in chunks; the mean statistics of what was written, in float64."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(20_240_229)
    sums: list[np.ndarray] = []
    with pq.ParquetWriter(path, pa.schema([("x", pa.float32())])) as writer:
        for start in range(0, rows, chunk):
            x = rng.standard_gamma(2.5, min(chunk, rows - start), np.float32)
            x = np.maximum(x, np.float32(1e-6))
            writer.write_table(pa.table({"x": x}))
            sums.append(len(x) * GAMMA.by_numpy(x.astype(np.float64)))
    return np.array([math.fsum(column) for column in np.array(sums).T]) / rows


CASES = [
    *(
        Case(
            f"evidence/{name}",
            f"{summary.family}.evidence(x)",
            partial(whole, summary),
            (Target(1.0, "NumPy"), *(() if name == "poisson" else (Target(SMALL, measure="temporaries"),))),
        )
        for name, summary in SUMMARIES.items()
    ),
    Case(
        "evidence/by-group",
        "Gamma.evidence(x, by=labels), 1,000 groups",
        partial(grouped, 1_000),
        (Target(1.0, "NumPy"),),
    ),
    Case(
        "evidence/parquet",
        "read_evidence of a Parquet file, Gamma",
        streamed,
        (Target(1 << 30, measure="growth"),),
    ),
]
