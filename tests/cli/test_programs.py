"""Compiled programs are kept where the user keeps such things, and nowhere else."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = "import surprax.programs as p, jax; p.keep_programs(); print(jax.config.jax_compilation_cache_dir)"


def folder(**environment: str) -> str:
    kept = {k: v for k, v in os.environ.items() if k not in ("SURPRAX_CACHE", "JAX_COMPILATION_CACHE_DIR")}
    words = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, env=kept | environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_programs_are_kept_in_the_users_cache(tmp_path):
    found = Path(folder(HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache")))
    assert found.is_relative_to(tmp_path)
    assert found.parts[-2:] == ("surprax", "programs")


def test_a_folder_of_jax_comes_first(tmp_path):
    assert folder(JAX_COMPILATION_CACHE_DIR=str(tmp_path)) == str(tmp_path)


def test_no_folder_where_none_is_wanted():
    assert folder(SURPRAX_CACHE="off") == "None"


def test_a_second_run_finds_what_the_first_has_compiled_and_says_the_same(tmp_path):
    (tmp_path / "data.csv").write_text("x\n" + "\n".join(str(0.1 * k * k) for k in range(1, 40)))
    (tmp_path / "cache").write_text("")  # a file where the folder should be: nothing can be kept
    told = []
    for cache in ("kept", "kept", "cache"):
        kept = {k: v for k, v in os.environ.items() if k not in ("SURPRAX_CACHE", "JAX_COMPILATION_CACHE_DIR")}
        words = [sys.executable, "-m", "surprax", "play", str(tmp_path / "data.csv"), "-f", "gamma"]
        environment = kept | {"HOME": str(tmp_path / cache), "XDG_CACHE_HOME": str(tmp_path / cache)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        told.append([line for line in done.stdout.splitlines() if "rate" not in line and "Gamma" not in line])
    assert told[0] == told[1] == told[2]
    assert [path for path in (tmp_path / "kept").rglob("surprax/programs/*") if path.is_file()]
