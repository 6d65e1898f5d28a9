"""Powers of numbers that keep the digits which float64 drops.

x¹⁰ of a number with ten digits has a hundred; rounded to sixteen, the columns of a polynomial of high degree, which are nearly
combinations of each other, determine its coefficients to seven or eight digits only. The rest of each power is kept besides, for
least squares to use.
"""

import re

import numpy as np

__all__ = ["power_of", "power_rest"]

POWER = re.compile(r"(?:I\()?\s*([^\W\d]\w*|`[^`]+`)\s*\*\*\s*(\d+)\s*\)?")
MOST = 60


def power_of(expression: str) -> tuple[str, int] | None:
    """The variable and the exponent, where a factor of a formula is a power.

    >>> power_of("I(x ** 10)"), power_of("np.log(x)")
    (('x', 10), None)
    """
    found = POWER.fullmatch(expression.strip())
    if found is None or not 2 <= int(found[2]) <= MOST:
        return None
    return found[1].strip("`"), int(found[2])


def power_rest(x: np.ndarray, exponent: int, rounded: np.ndarray) -> np.ndarray:
    """xᵏ − rounded, to some 16 digits, where `rounded` is xᵏ in float64.

    >>> x = np.array([1.1])
    >>> float(power_rest(x, 3, x**3)[0]) != 0.0
    True
    """
    high, low = np.ones_like(x), np.zeros_like(x)
    for _ in range(exponent):  # (high + low)·x, each product with its error
        product, error = two_product(high, x)
        error = error + low * x
        high = product + error
        low = error - (high - product)
    return (high - rounded) + low


SPLITTER = 134217729.0  # 2²⁷ + 1


def split(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two halves of the digits (Dekker 1971)."""
    high = a * SPLITTER - (a * SPLITTER - a)
    return high, a - high


def two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a·b rounded, and its error (Dekker 1971)."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = split(a), split(b)
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
