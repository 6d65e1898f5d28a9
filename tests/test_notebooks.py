"""Every notebook runs as a script, from start to end."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.py"))


def test_there_are_notebooks():
    assert NOTEBOOKS


USUAL = ("01", "02", "03")
"""Those that compile most are run in thorough runs only; what they show has tests of its own."""


@pytest.mark.parametrize(
    "notebook",
    [pytest.param(p, id=p.stem, marks=[] if p.stem.startswith(USUAL) else pytest.mark.thorough) for p in NOTEBOOKS],
)
def test_notebook_runs(notebook, tmp_path):
    cache = jax.config.jax_compilation_cache_dir
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:Error reading persistent compilation cache entry", notebook],
        cwd=tmp_path,
        env=os.environ | ({"JAX_COMPILATION_CACHE_DIR": cache} if cache else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "play").glob("*.png"))
