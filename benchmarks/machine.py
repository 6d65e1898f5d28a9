"""On what the benchmarks ran, and how much memory something takes."""

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "can_measure_growth", "commit", "environment", "growth", "platforms"]

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = ("surprax", "jax", "jaxlib", "numpyro", "numpy", "scipy", "statsmodels", "polars", "pyarrow")

FLAGS = ("XLA_FLAGS", "JAX_PLATFORMS", "JAX_ENABLE_X64", "OMP_NUM_THREADS", "XLA_PYTHON_CLIENT_PREALLOCATE")


def platforms(device: str) -> str:
    """JAX's name for a kind of device; the processor stays within reach, since data are made there."""
    return {"cpu": "cpu", "gpu": "cuda,cpu", "tpu": "tpu,cpu"}[device]


def environment() -> dict[str, Any]:
    """Device, driver, versions, flags and commit: whatever a time depends on beside the code that was timed."""
    import jax

    first = jax.devices()[0]
    return {
        "device": {"cpu": "cpu", "tpu": "tpu"}.get(first.platform, "gpu"),
        "device_kind": _processor() if first.platform == "cpu" else first.device_kind,
        "driver": _driver() if first.platform not in ("cpu", "tpu") else None,
        "platform_version": str(first.client.platform_version).strip(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "flags": {name: os.environ[name] for name in FLAGS if name in os.environ},
        "commit": commit(),
    }


def commit() -> str | None:
    """The commit that is checked out, marked where the sources differ from it; None outside a repository."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks/*.py")
        return git("rev-parse", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _driver() -> str | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    told = subprocess.run(
        [program, "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return told.stdout.split("\n")[0].strip() or None


# Memory.


def growth(run: Callable[[], Any]) -> tuple[int, Any]:
    """Bytes by which memory grew at its highest while `run()` ran, over what was held before; and its result.

    On a processor this is the resident size of the process; on an accelerator what its allocator counts (there the
    high-water mark cannot be set back, so that a run after a larger one shows 0).
    """
    import jax

    stats = jax.devices()[0].memory_stats()
    if stats is not None and "peak_bytes_in_use" in stats:
        result = run()
        after = jax.devices()[0].memory_stats() or {}
        peak = after["peak_bytes_in_use"] if after["peak_bytes_in_use"] > stats["peak_bytes_in_use"] else 0
        return max(0, peak - stats["bytes_in_use"]), result
    before = _settle()
    result = run()
    return max(0, _peak() - before), result


def can_measure_growth() -> bool:
    """Whether the high-water mark of this process can be set back."""
    return os.access("/proc/self/clear_refs", os.W_OK)


def _settle() -> int:
    """Return freed memory to the system, set the high-water mark back to what is left, and say how much that is."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    return _peak()


def _peak() -> int:
    with contextlib.suppress(OSError, LookupError):
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)
