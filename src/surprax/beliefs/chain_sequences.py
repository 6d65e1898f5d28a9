"""Observations of chains: one sequence, a batch, or a list of sequences of unequal lengths, with what is missing."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from surprax.families.base import floating
from surprax.numerics.precision import is_traced

__all__ = ["Sequences", "as_rows", "as_sequences", "observed"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sequences:
    """Observations x (B, T) + event, those that count (B, T) or None for all, lengths (B,) or None for T each."""

    x: Any
    mask: Any
    lengths: Any
    event_dim: int = field(metadata={"static": True})
    single: bool = field(metadata={"static": True})

    def valid(self) -> Array:
        """Which rows are within their sequence, (B, T)."""
        b, t = self.x.shape[:2]
        if self.lengths is None:
            return jnp.ones((b, t), bool)
        return jnp.arange(t)[None] < jnp.asarray(self.lengths)[:, None]

    def rows(self) -> tuple[Array, Array]:
        """Observations as floats, and which are missing (or beyond the end), (B, T)."""
        x = floating(self.x)
        missing = jnp.all(jnp.isnan(x), axis=tuple(range(2, x.ndim))) | ~self.valid()
        return x, missing if self.mask is None else missing | ~jnp.asarray(self.mask)

    def out(self, results: Any) -> Any:
        """Results without the axis of the batch, where there is only one sequence."""
        return jax.tree.map(lambda r: r[0], results) if self.single else results


def as_rows(family: Any, x: Any, mask: Any, lengths: Any) -> Sequences:
    """Observations for a family in one of their forms, checked."""
    n = family.event_dim
    together = isinstance(x, list | tuple) and len(x) and all(np.ndim(part) == n + 1 for part in x)
    one = x[0] if together else x
    if is_traced(x):
        raise ValueError("A chain is fitted to known numbers: call `fit_family` outside of jit.")
    if np.ndim(one) < n + 1:
        raise ValueError(
            f"Observations are one sequence (T, …) or a batch (B, T, …) with {n} axes for each; got shape {np.shape(one)}."
        )
    return _sequences(n, np.shape(one)[np.ndim(one) - n :], None, x, mask, lengths)


def as_sequences(model: Any, x: Any, mask: Any, lengths: Any) -> Sequences:
    """Observations for a model in one of their forms, checked."""
    d = model.emission
    steps = np.shape(model.log_transition)[0] if np.ndim(model.log_transition) == 3 else None
    return _sequences(d.event_dim, d.event_shape, steps, x, mask, lengths)


def _sequences(n: int, shape: tuple[int, ...], steps: int | None, x: Any, mask: Any, lengths: Any) -> Sequences:
    if isinstance(x, list | tuple) and len(x) and all(np.ndim(part) == n + 1 for part in x):
        if lengths is not None:
            raise ValueError(
                "A list of sequences has the lengths that they have: leave `lengths` out, or pass one array."
            )
        x, mask, lengths = _together(x, mask, shape)
    if not (is_traced(x) or isinstance(x, jax.Array)):
        x = np.asarray(x)
        if x.dtype.kind not in "biuf":
            raise TypeError(f"Observations of a chain are numbers; got an array of dtype {x.dtype}.")
    single = np.ndim(x) == n + 1
    if np.ndim(x) not in (n + 1, n + 2) or np.shape(x)[np.ndim(x) - n :] != shape:
        event = "".join(f", {size}" for size in shape)
        raise ValueError(
            f"Observations of this chain are one sequence of shape (T{event or ','}) or a batch (B, T{event}); got an array of"
            f" shape {np.shape(x)}."
        )
    x = x[None] if single else x
    b, t = x.shape[:2]
    if t == 0:
        raise ValueError("A sequence has at least one observation; got none. Mark what is missing as NaN.")
    if steps is not None and steps != t - 1:
        raise ValueError(
            f"The chain has {steps} transition matrices, one to each step, for sequences of length {steps + 1}; got length {t}."
        )
    return Sequences(_checked(x, n), _mask(mask, (b, t), single), _lengths(lengths, b, t, single), n, single)


def _together(x: Any, mask: Any, event_shape: tuple[int, ...]) -> tuple[Any, Any, np.ndarray]:
    """A list of sequences as one array, with their lengths."""
    xp: Any = jnp if is_traced(x) else np
    lengths = np.array([len(part) for part in x])
    if lengths.min() < 1:
        raise ValueError(
            f"A sequence has at least one observation; number {int(np.argmin(lengths))} of the list has none."
        )
    shapes = [np.shape(part)[1:] for part in x]
    if any(shape != event_shape for shape in shapes):
        bad = next(i for i, shape in enumerate(shapes) if shape != event_shape)
        raise ValueError(
            f"Observations of this chain have shape {event_shape}; those of sequence {bad} have {shapes[bad]}."
        )

    def pad(parts: Any) -> Any:
        return xp.stack(
            [xp.pad(xp.asarray(p), ((0, lengths.max() - len(p)), *[(0, 0)] * (np.ndim(p) - 1))) for p in parts]
        )

    if mask is None:
        return pad(x), None, lengths
    if len(mask) != len(x) or any(np.shape(m) != (n,) for m, n in zip(mask, lengths)):
        raise ValueError("A list of sequences takes a list of masks, each of the length of its sequence.")
    return pad(x), pad(mask), lengths


def _checked(x: Any, event_dim: int) -> Any:
    """Vectors are missing as a whole or not at all."""
    if event_dim and not is_traced(x) and jnp.issubdtype(x.dtype, jnp.floating):
        axes = tuple(range(2, x.ndim))
        nan = np.isnan(np.asarray(x))
        partly = nan.any(axis=axes) & ~nan.all(axis=axes)
        if partly.any():
            where = tuple(int(i) for i in np.argwhere(partly)[0])
            raise ValueError(
                f"An observation is missing as a whole: row {where[1]} of sequence {where[0]} has some components that are NaN and"
                " some that are not. Set all of them to NaN, or mend it."
            )
    return x


def _mask(mask: Any, shape: tuple[int, int], single: bool) -> Any:
    if mask is None:
        return None
    mask = mask if is_traced(mask) or isinstance(mask, jax.Array) else np.asarray(mask)
    mask = mask[None] if single and np.ndim(mask) == 1 else mask
    if mask.dtype != bool or mask.shape != shape:
        wanted = shape[1:] if single else shape
        raise ValueError(
            f"A mask says for each observation whether it was seen, as booleans of shape {wanted}; got {mask.dtype} of shape"
            f" {mask.shape[1:] if single else mask.shape}."
        )
    return mask


def _lengths(lengths: Any, b: int, t: int, single: bool) -> Any:
    if lengths is None:
        return None
    if not is_traced(lengths):
        lengths = np.asarray(lengths)
    lengths = lengths[None] if single and np.ndim(lengths) == 0 else lengths
    if lengths.shape != (b,) or not np.issubdtype(lengths.dtype, np.integer):
        raise ValueError(
            f"There is one length for each of {b} sequences, a whole number; got {lengths.dtype} of shape {lengths.shape}."
        )
    if not is_traced(lengths) and ((lengths < 1) | (lengths > t)).any():
        i = int(np.argmax((lengths < 1) | (lengths > t)))
        raise ValueError(f"Lengths are between 1 and {t}, that of the array; got {lengths[i]} at index {i}.")
    return lengths


def observed(model: Any, s: Sequences) -> tuple[Array, Array, Array, Array]:
    """log initial, log steps, log p(xₜ | zₜ) (T, B, K) with 0 for what is missing, and which rows are within a sequence."""
    x, missing = s.rows()
    d, n = model.emission, model.emission.event_dim
    inner = jnp.asarray(d._inner_point())
    inner = inner.reshape((1, 1, *inner.shape)) if inner.ndim else inner
    wide = missing.reshape((*missing.shape, 1, *(1,) * n))
    e = d.log_prob(jnp.where(wide, inner.astype(x.dtype), x[:, :, None]))
    e = jnp.swapaxes(jnp.where(missing[..., None], 0.0, e), 0, 1)
    dtype = jnp.promote_types(e.dtype, jnp.result_type(float))
    initial, step = (jnp.asarray(v, dtype) for v in (model.log_initial, model.log_transition))
    return initial, step, e.astype(dtype), s.valid().T
