"""Cells that are known to miss the bound, each with what it may be off by, and why."""

from typing import NamedTuple

__all__ = ["BOUND", "EXCEPTIONS", "Known"]

BOUND = 4.0
"""Excess wrong bits that a cell may have."""


class Known(NamedTuple):
    """How many excess wrong bits a cell may have instead, how many results may be NaN or wrongly infinite, and the reason."""

    bits: float
    lost: int
    reason: str


NEARLY_CERTAIN = (
    "the logarithm of a probability within 1e-13 of 1 is −e^(log_sf), whose relative error is the absolute error of log_sf: at "
    "−31 that is a rounding of 2e-6, which counts, being exact, do not explain; the result is right to 5 digits."
)

EXCEPTIONS: dict[tuple[str, str], Known] = {
    ("Binomial", "log_cdf"): Known(6.5, 0, NEARLY_CERTAIN),
    ("Geometric", "log_cdf"): Known(5.2, 0, NEARLY_CERTAIN),
    ("GeneralizedBetaPrime", "d/dx"): Known(
        21.6, 0, "beyond x = 8.5e37 the factor 1/x of the chain rule is subnormal, and compiled code takes it for 0."
    ),
    ("LogLomax", "kl"): Known(
        4.9,
        0,
        "it is the integral of GeneralizedBetaPrime over log-odds; for shapes of 1e5 and more their roundings are felt, and the "
        "result is right to 5 digits. In float64 it is right to 13.",
    ),
}
"""By family and operation."""
