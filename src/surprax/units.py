"""Units of surprise.

Inside the library every logarithm is natural, so every surprise is in nats; units appear only at the edge, by name.

| unit    | one of it in nats   | an event one unit surprising has probability |
|---------|---------------------|----------------------------------------------|
| nat     | 1                   | 1/e                                          |
| bit     | ln 2                | 1/2                                          |
| ban     | ln 10               | 1/10                                         |
| deciban | ln 10 / 10          | 10^(-1/10)                                   |
"""

import difflib
import math
from typing import Literal, get_args

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

__all__ = ["Unit", "convert", "from_nats", "nats_per", "to_nats"]

type Unit = Literal["nat", "bit", "ban", "deciban"]

_NATS_PER_UNIT: dict[str, float] = {
    "nat": 1.0,
    "bit": math.log(2.0),
    "ban": math.log(10.0),
    "deciban": math.log(10.0) / 10.0,
}
assert tuple(_NATS_PER_UNIT) == get_args(Unit.__value__)


def nats_per(unit: Unit) -> float:
    """How many nats one unit is.

    Raises `ValueError` for an unknown name and says which names exist.

    >>> nats_per("bit")
    0.6931471805599453
    """
    try:
        return _NATS_PER_UNIT[unit]
    except (KeyError, TypeError):
        names = ", ".join(_NATS_PER_UNIT)
        near = difflib.get_close_matches(str(unit), _NATS_PER_UNIT, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"A unit of surprise is one of {names}; got {unit!r}.{hint}") from None


def to_nats(value: ArrayLike, unit: Unit) -> Array:
    """A quantity given in `unit`, in nats; elementwise, any shape.

    >>> round(float(to_nats(1.0, "ban")), 4)
    2.3026
    """
    return jnp.asarray(value) * nats_per(unit) if unit != "nat" else jnp.asarray(value)


def from_nats(value: ArrayLike, unit: Unit) -> Array:
    """A quantity given in nats, in `unit`; elementwise, any shape.

    >>> float(from_nats(to_nats(3.0, "bit"), "bit"))
    3.0
    """
    return jnp.asarray(value) / nats_per(unit) if unit != "nat" else jnp.asarray(value)


def convert(value: ArrayLike, from_unit: Unit, to_unit: Unit) -> Array:
    """A surprise given in one unit, in another: value · nats(from) / nats(to).

    Elementwise over any shape. Infinite surprise stays infinite, NaN stays NaN. Raises `ValueError` for an unknown unit.

    >>> round(float(convert(1.0, "ban", "bit")), 6)  # a decimal digit is 3.32 binary ones
    3.321928
    >>> round(float(convert(1.0, "deciban", "bit")), 6)
    0.332193
    """
    return jnp.asarray(value) * (nats_per(from_unit) / nats_per(to_unit))
