"""Columns of pandas that are given beside others: they have to have the same index, or rows would be put together by accident."""

from typing import Any

from surprax.data.errors import DataError

__all__ = ["refuse_other_index"]


def refuse_other_index(data: Any, whose: str, given: Any, role: str) -> None:
    """An error where both have an index, and these are not the same labels in the same order.

    Args:
        data: what has the rows, and what it is called.
        whose: what it is called.
        given: numbers for each row.
        role: what they are called.

    >>> import pandas as pd
    >>> refuse_other_index(pd.Series([1, 2], index=[3, 5]), "data", pd.Series([0, 0], index=[5, 3]), "weights")
    Traceback (most recent call last):
    surprax.data.errors.DataError: weights must have the index of data: row 0 is 5 there, and 3 in data, the same labels in another
    order; align them with reindex, or pass weights.to_numpy() where rows are in order
    """
    if not (hasattr(data, "iloc") and hasattr(given, "iloc")):
        return
    ours, theirs = data.index, given.index
    if len(ours) != len(theirs) or ours.equals(theirs):
        return  # lengths are looked at elsewhere
    pairs = enumerate(zip(ours, theirs))
    i = next((i for i, (one, other) in pairs if one is not other and one != other), None)
    if i is None:
        return
    shuffled = ", the same labels in another order" if ours.symmetric_difference(theirs).empty else ""
    raise DataError(
        f"{role} must have the index of {whose}: row {i} is {theirs[i]} there, and {ours[i]} in {whose}{shuffled}; align them with"
        f" reindex, or pass {role}.to_numpy() where rows are in order"
    )
