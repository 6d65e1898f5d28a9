"""Families in both precisions: all of them in float32, a few in float64 too, the rest of which is tried in thorough runs."""

from collections.abc import Iterable

import numpy as np
import pytest


def each_precision(families: Iterable[type], *both: type) -> pytest.MarkDecorator:
    """Parameters `family` and `dtype` of a test; every program is compiled anew for float64."""

    def parameter(family: type, dtype: type):
        marks = [pytest.mark.thorough] if dtype is np.float64 and family not in both else []
        return pytest.param(family, dtype, id=f"{family.__name__}-{dtype.__name__}", marks=marks)

    return pytest.mark.parametrize(
        ("family", "dtype"), [parameter(family, dtype) for family in families for dtype in (np.float32, np.float64)]
    )


each_dtype = pytest.mark.parametrize(
    "dtype",
    [pytest.param(np.float32, id="float32"), pytest.param(np.float64, id="float64", marks=pytest.mark.thorough)],
)
"""For a family's hardest points, which single precision meets first; the definition is tried in float64 for all families."""
