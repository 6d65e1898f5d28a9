"""What `import surprax` costs a fresh process, next to `import jax`, which it cannot do without."""

import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks.harness import Case, Contest, Entrant, OracleError, Setting, Target

__all__ = ["CASES"]


def fresh(setting: Setting) -> Contest:
    """Whole processes that import and leave; each says what it has loaded."""
    modules = ["surprax", "jax", "numpyro"] if not setting.quick else ["surprax", "jax"]
    entrants = {f"import {module}": Entrant(partial(_import, module), compilation={}) for module in modules}
    return Contest(0, "none", entrants, _judge, 0.0, 0.0)


def _import(module: str) -> str:
    program = f"import {module}, sys; print({module}.__name__, 'numpyro' in sys.modules, 'matplotlib' in sys.modules)"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def _judge(answers: Mapping[str, Any]) -> dict[str, float]:
    if answers["import surprax"].split() != ["surprax", "False", "False"]:
        raise OracleError(f"import surprax loads more than it should: {answers['import surprax']!r}")
    return dict.fromkeys(answers, 0.0)


CASES = [
    Case("import-time/fresh", "a fresh process that imports", fresh, (Target(1.3, "import jax"),), devices=("cpu",))
]
