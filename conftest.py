"""Strictness for every test and doctest: no silent promotion of ranks, no reused random keys, warnings are errors."""

import gc
import itertools
import os
from pathlib import Path

import jax
import mpmath
import pytest
from hypothesis import settings

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
os.environ.setdefault("SURPRAX_CACHE", "off")  # programs of the command line stay out of the user's folder
# Workers compile the same functions: they share what one of them has compiled.
if cache := os.environ.get("SURPRAX_TEST_CACHE", str(Path(__file__).parent / ".pytest_cache" / "xla")):
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
# Both cores are busy with tests: a program that is split to be compiled on several takes some 5 % more of their time.
os.environ["XLA_FLAGS"] = f"--xla_cpu_parallel_codegen_split_count=1 {os.environ.get('XLA_FLAGS', '')}".strip()

# Oracles compute with this many digits unless a test says otherwise, for itself alone (mpmath.workdps).
DIGITS = 80
mpmath.mp.dps = DIGITS


def pytest_collection_finish() -> None:
    """A file that sets the digits when it is imported sets them for all others."""
    if mpmath.mp.dps != DIGITS:
        raise pytest.UsageError(
            f"A test file set mpmath.mp.dps = {mpmath.mp.dps} for every test; use mpmath.workdps inside the test."
        )
    # What was imported and collected stays: the garbage collector need not look through it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


# Most of the time of the tests goes into LLVM's optimisations of programs that are run once. Digits are tested in programs as users
# have them; what else is tested does not depend on that, and is compiled with less effort unless all is to be as users have it.
AS_USERS_HAVE_IT = (
    "tests/numerics/",
    "tests/test_accuracy.py",
    "tests/families/test_definition.py",
    "tests/families/test_passes",
)
ALL_AS_USERS_HAVE_IT = os.environ.get("SURPRAX_TEST_EFFORT") == "full"


def _is_as_users_have_it(item: pytest.Item) -> bool:
    return ALL_AS_USERS_HAVE_IT or item.nodeid.startswith(AS_USERS_HAVE_IT)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The compiler's effort for a test; what was compiled with another one is forgotten."""
    less = not _is_as_users_have_it(item)
    if jax.config.read("jax_disable_most_optimizations") != less:
        jax.config.update("jax_disable_most_optimizations", less)
        jax.clear_caches()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a file share a worker, and with it what is compiled, unless they are grouped in another way."""
    items.sort(key=_is_as_users_have_it, reverse=True)
    for item in items:
        if not any(item.iter_markers("xdist_group")):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


# Compilation makes the first example of a property slow; that is not what a deadline is for.
settings.register_profile("surprax", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("surprax")

# Every compiled program maps memory; Linux allows a process 65,530 mappings, and XLA crashes beyond. Old ones are dropped in time.
_MAPPINGS, _MOST_MAPPINGS, _count = Path("/proc/self/maps"), 30_000, itertools.count(1)


def pytest_runtest_teardown() -> None:
    """Drop compiled programs where they have become many."""
    if next(_count) % 25 or not _MAPPINGS.exists():
        return
    with _MAPPINGS.open("rb") as lines:
        if sum(1 for _ in lines) > _MOST_MAPPINGS:
            jax.clear_caches()
            gc.collect()
