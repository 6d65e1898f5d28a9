"""Where inference runs: in which precision, on which device, and without those strict checks of JAX that NumPyro does not pass."""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax

__all__ = ["computing", "numpyro_allowed", "sampling_device"]

_SMALL = 2**22
"""Bytes of data up to which a model is sampled on the CPU: small steps with much control flow gain nothing from an accelerator."""


@contextlib.contextmanager
def numpyro_allowed() -> Iterator[None]:
    """Models and NumPyro may rely on NumPy's promotion of ranks, and NumPyro's code splits keys twice; users may have told
    JAX to refuse both."""
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
        yield


@contextlib.contextmanager
def computing(float64: bool | None = None, device: Any = None) -> Iterator[None]:
    """In float64 (or float32; None: as JAX is configured), on a device (None: as JAX chooses)."""
    with contextlib.ExitStack() as scopes:
        scopes.enter_context(numpyro_allowed())
        if float64 is not None:
            scopes.enter_context(jax.enable_x64(float64))
        if device is not None:
            scopes.enter_context(jax.default_device(device))
        yield


def sampling_device(size_in_bytes: int) -> Any:
    """The device for chains of a model with so much data: the CPU for little, else (None) as JAX chooses."""
    if jax.default_backend() == "cpu" or size_in_bytes > _SMALL:
        return None
    try:
        return jax.devices("cpu")[0]
    except RuntimeError:  # JAX may have been told to use the accelerator only
        return None
