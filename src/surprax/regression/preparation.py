"""What a family of responses makes of columns: rows of a regression."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from surprax.data.errors import DataError
from surprax.regression.inputs import Inputs, checked, numbers
from surprax.regression.responses import BY_FAMILY, BinomialResponse, Response, Shaped
from surprax.regression.rows import Rows

__all__ = ["extra_name", "response_of", "rows_of"]


def response_of(family: Any) -> Response:
    if isinstance(family, Response):
        return family
    if isinstance(family, type) and family in BY_FAMILY:
        return BY_FAMILY[family]
    known = ", ".join(one.__name__ for one in BY_FAMILY)
    raise ValueError(
        f"A family of responses is one of {known}, Categorical, Multinomial, as a class, or Tweedie(power); got {family!r}."
    )


def extra_name(response: Response, names: Sequence[str]) -> str:
    return f"({response.extra})" if response.extra in names else response.extra


def rows_of(response: Response, inputs: Inputs) -> tuple[Rows, str]:
    """Rows of the model, and what the response is called."""
    columns = {name: numbers(variable, name) for name, variable in inputs.responses.items()}
    label = " + ".join(columns)
    weights, precision = checked(inputs.extras, inputs.n)
    trials = inputs.extras["trials"]
    if isinstance(response, BinomialResponse):
        if len(columns) > 2 or (len(columns) == 2 and response.whole):
            raise DataError(
                f"{response.name} responses are one column, or two columns of binomial successes and failures: found"
                f" {', '.join(columns)}"
            )
        y = next(iter(columns.values()))
        if len(columns) == 2:
            trials = np.sum(list(columns.values()), axis=0)
        elif trials is None and not response.whole and np.any(y > 1):
            raise DataError(
                f"{label} must be shares from 0 to 1, or counts with trials=, or two columns, successes + failures: found"
                f" {np.max(y):g}"
            )
        if trials is not None:
            y, weights, precision = _shares(y, trials, weights, precision, label)
            return Rows(inputs.design, y, weights, precision, inputs.extras["offset"]), label
    if isinstance(response, Shaped) and inputs.extras["precisions"] is not None:
        raise ValueError(
            f"{response.name} responses have no dispersion that precisions could divide: use weights=, or another family."
        )
    if trials is not None:
        raise ValueError(f"Trials belong to binomial responses; the family is {response.name}.")
    if len(columns) != 1:
        raise DataError(f"{response.name} responses are one column: found {', '.join(columns)}")
    (y,) = columns.values()
    rows = Rows(inputs.design, y, weights, precision, inputs.extras["offset"], inputs.rest)
    response.check(y, label, rows.whole)
    return rows, label


def _shares(
    y: np.ndarray, trials: np.ndarray, weights: np.ndarray, precision: np.ndarray, label: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    bad = (y < 0) | (y > trials) | (y != np.round(y)) | (trials != np.round(trials))
    if np.any(bad):
        i = int(np.argmax(bad))
        raise DataError(f"{label} must count successes among trials: found {y[i]:g} of {trials[i]:g} in row {i}")
    if not np.all(precision == 1.0):
        raise ValueError("Trials are the precisions of binomial responses; pass one of them, not both.")
    empty = trials == 0
    share = y / np.where(empty, 1.0, trials)
    return share, np.where(empty, 0.0, weights), np.where(empty, 1.0, trials)
