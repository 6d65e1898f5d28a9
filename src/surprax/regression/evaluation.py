"""What formulaic makes of a frame, and what it says of a formula that it cannot compute, in sentences."""

import difflib
import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from formulaic import Formula, ModelSpec
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.parser.types import Term
from formulaic.transforms import TRANSFORMS

from surprax.regression.syntax import Context, one_line

__all__ = ["evaluated", "untrained"]


def untrained(terms: Sequence[Term]) -> ModelSpec:
    """A specification of terms, in their order, that has learnt nothing yet."""
    return ModelSpec(Formula(list(terms), _ordering="none"), na_action="ignore", output="numpy")


def evaluated(spec: ModelSpec, frame: pd.DataFrame, formula: str, context: Context) -> Any:
    """The model matrix of a frame, with one row for each of the frame's.

    Raises `ValueError`, one sentence, where a term cannot be computed or a category is not among those known.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", DataMismatchWarning)
        try:
            matrix = spec.get_model_matrix(frame, context=context)
            if len(matrix) == len(frame):
                return matrix
            raise ValueError(f"there are {len(matrix)} rows for {len(frame)}")
        except DataMismatchWarning as error:
            found = re.sub(r"np\.\w+\((.*?)\)", r"\1", str(error).partition("{")[2].partition("}")[0])
            raise ValueError(
                f"Every value must be among the levels that {formula!r} lists or was fitted to: found {found}; "
                "list them too, or drop such rows"
            ) from None
        except (FormulaicError, ValueError, TypeError, LookupError, ArithmeticError, SyntaxError) as error:
            raise _failure(formula, error, context, list(frame.columns), _unlike_rows(spec, frame, context)) from error


def _unlike_rows(spec: ModelSpec, frame: pd.DataFrame, context: Context) -> str:
    """A factor that alone makes no matrix of one row for each of the frame's; "" if there is none."""
    for factor in dict.fromkeys(factor for term in spec.formula for factor in term.factors):
        try:
            if len(untrained([Term([factor])]).get_model_matrix(frame, context=context)) != len(frame):
                return str(factor.expr)
        except (FormulaicError, ValueError, TypeError, LookupError, ArithmeticError, SyntaxError):
            return str(factor.expr)
    return ""


def _failure(formula: str, error: Exception, context: Context, columns: Sequence[str], odd: str) -> ValueError:
    """What formulaic says of a factor that it cannot evaluate, in a sentence."""
    message = one_line(str(error))
    match = re.match(
        r"Unable to evaluate factor `(?P<factor>.*)`\. \[(?P<kind>\w+): (?P<what>.*)\]$", message, re.DOTALL
    )
    if match is None and odd:
        return ValueError(
            f"Every term of the formula {formula!r} must have one value for each row: {odd} has not; a number for all rows is"
            " computed beforehand, and passed in context="
        )
    if match is None:
        return ValueError(f"Every term of the formula {formula!r} must be computable: {message.rstrip('.')}")
    what = match["what"].rstrip(".")
    hint = ""
    if unknown := re.search(r"name '(\w+)' is not defined|has no attribute '(\w+)'", what):
        name = unknown[1] or unknown[2]
        known = [*TRANSFORMS, *context, *columns] if unknown[1] else dir(np)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "; correct it, or pass it in context="
    return ValueError(
        f"Every term of the formula {formula!r} must be computable: {match['factor']} is not ({what}){hint}"
    )
