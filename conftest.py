"""Strictness for every test and doctest: no silent promotion of ranks, no reused random keys, warnings are errors."""

import os
from pathlib import Path

import jax
from hypothesis import settings

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
os.environ.setdefault("SURPRAX_CACHE", "off")  # programs of the command line stay out of the user's folder
# Workers compile the same functions: they share what one of them has compiled.
if cache := os.environ.get("SURPRAX_TEST_CACHE", str(Path(__file__).parent / ".pytest_cache" / "xla")):
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

# Compilation makes the first example of a property slow; that is not what a deadline is for.
settings.register_profile("surprax", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("surprax")
