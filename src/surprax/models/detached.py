"""A model whose NumPy arrays are objects of their own, to be read in float64 without a trace.

JAX 0.12 remembers, for each NumPy array object, how it was first turned into one of JAX's, whatever the precision of the moment: an
array that was seen while float64 is enabled stays float64 for the rest of the program, and breaks models in float32. Views of the
same memory are other objects. Arguments are easily replaced by views; arrays that a function takes from around it are replaced in a
copy of the function.
"""

import functools
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

__all__ = ["detached", "views"]


def views(tree: Any) -> Any:
    """The same with views for NumPy arrays."""
    return jax.tree.map(_view, tree)


def _view(leaf: Any) -> Any:
    return leaf.view() if type(leaf) is np.ndarray else leaf


def detached(model: Callable[..., Any]) -> Callable[..., Any]:
    """The function with views for the arrays that it closes over, or finds among its globals."""
    if isinstance(model, functools.partial):
        return functools.partial(detached(model.func), *views(model.args), **views(model.keywords))
    if not isinstance(model, types.FunctionType):
        return model
    used = _names(model.__code__)
    around: Mapping[str, Any] = {n: v for n, v in model.__globals__.items() if n in used and type(v) is np.ndarray}
    cells = model.__closure__ or ()
    if not around and not any(type(_content(cell)) is np.ndarray for cell in cells):
        return model
    own = {**model.__globals__, **views(dict(around))} if around else model.__globals__
    closure = tuple(types.CellType(_view(_content(c))) if type(_content(c)) is np.ndarray else c for c in cells)
    copy = types.FunctionType(model.__code__, own, model.__name__, model.__defaults__, closure or None)
    copy.__kwdefaults__ = model.__kwdefaults__
    return functools.update_wrapper(copy, model)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _names(code: types.CodeType) -> set[str]:
    """Global names that a function uses, in functions inside it too."""
    inner = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))
