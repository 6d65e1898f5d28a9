"""Compiled programs, kept between runs of the command line: a second run need not compile what the first one did."""

import os

import jax
import platformdirs

__all__ = ["keep_programs"]

MOST_BYTES = 256 * 2**20
"""What the folder may hold; the programs that were not used for longest go first."""

LEAST_SECONDS = 0.1
"""What compiles faster is not kept."""


def keep_programs() -> None:
    """Let JAX look for compiled programs in the user's cache folder, and leave new ones there.

    Where JAX has a folder already (JAX_COMPILATION_CACHE_DIR), that is used; SURPRAX_CACHE=off asks for none.
    """
    unwanted = os.environ.get("SURPRAX_CACHE", "").lower() in ("off", "no", "0")
    if unwanted or jax.config.jax_compilation_cache_dir is not None:
        return
    folder = platformdirs.user_cache_path("surprax") / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # no reason to fail, nor to complain on every run
        return
    if not os.access(folder, os.W_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", MOST_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
