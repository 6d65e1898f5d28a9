"""The log-likelihood of what was seen of responses: numbers, or events such as "above 3", maybe through a window."""

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from surprax.estimate.events import KINDS, Events, log_probability
from surprax.numerics.precision import float64_scope
from surprax.regression.links import Link
from surprax.regression.problem import LinearProblem
from surprax.regression.responses import Response, Shaped
from surprax.regression.rows import Rows, bucket
from surprax.regression.sums import ByRow

__all__ = ["CensoredProblem", "Seen"]


@dataclass(frozen=True)
class Seen(Shaped):
    """A law whose responses are seen in part."""

    whose: Response | None = None

    @classmethod
    def of(cls, response: Response) -> "Seen":
        fields = {f.name: getattr(response, f.name) for f in dataclasses.fields(Response)}
        return cls(**fields, whose=response)

    def distribution(self, mu: Any, extra: Any, trials: Any = None) -> Any:
        assert self.whose is not None
        return self.whose.distribution(mu, extra)

    def variance_of(self, mu: Any, extra: Any) -> Any:
        return self.distribution(jnp.asarray(mu), jnp.asarray(extra)).variance


@functools.cache
def _program(response: Response, link: Link, kind: str) -> Any:
    """Sums of value, ∂a and ∂a², and by row ∂η, ∂η², ∂η∂a, of log-probabilities of one kind; a = log extra."""

    @jax.jit
    def run(low: Any, high: Any, w: Any, eta: Any, log_extra: Any) -> Any:
        a, one = jnp.broadcast_to(log_extra, jnp.shape(eta)), jnp.ones_like(eta)

        def surprise(eta: Any, a: Any) -> Any:
            law = response.distribution(link.inverse(eta), jnp.exp(a))
            return -log_probability(law, kind, low, high)

        def along(s: Any, t: Any) -> Any:
            def slope(eta: Any, a: Any) -> Any:
                return jax.jvp(surprise, (eta, a), (s[0] * one, s[1] * one))[1]

            return jax.jvp(slope, (eta, a), (t[0] * one, t[1] * one))

        eye = jnp.eye(2)
        first, second = jax.vmap(along)(eye[jnp.array([0, 0, 1])], eye[jnp.array([0, 1, 1])])
        live = w > 0
        by_row = [
            jnp.where(live, w * d, 0.0) for d in (surprise(eta, a), first[0], second[0], second[1], first[2], second[2])
        ]
        return jnp.sum(by_row[0]), jnp.sum(by_row[4]), jnp.sum(by_row[5]), by_row

    return run


class CensoredProblem(LinearProblem):
    """−log-likelihood of what was seen of responses, to be minimised."""

    def __init__(self, *parts: Any, events: Events, **named: Any) -> None:
        super().__init__(*parts, **named)
        self.events = events
        self._kept: tuple[np.ndarray, ByRow] | None = None

    def replaced(self, **others: Any) -> "CensoredProblem":
        parts = {
            "title": self.title,
            "response": self.response,
            "link": self.link,
            "rows": self.data_rows,
            "original": self.original,
            "totals": self.totals,
            "coordinates": self.coordinates,
            "events": self.events,
        }
        return CensoredProblem(**(parts | others))

    def surprises(self, eta: np.ndarray, log_extra: float, weights: np.ndarray) -> np.ndarray:
        """Per row: surprise, ∂η, ∂η², ∂η∂a, ∂a and ∂a² with a = log extra; each times its weight, shape (6, n)."""
        events, out = self.events, np.zeros((6, len(eta)))
        for sign, kinds, low, high in (
            (1.0, events.kind, events.a, events.b),
            (-1.0, events.window, events.low, events.high),
        ):
            for k, kind in enumerate(KINDS):
                picked = np.flatnonzero(kinds == k)
                if not len(picked) or (sign < 0 and k == 0):
                    continue
                with float64_scope():
                    parts = [_filled(part[picked]) for part in (low, high)]
                    w, at = _filled(weights[picked], 0.0), _filled(eta[picked])
                    found = _program(self.response, self.link, kind)(*parts, w, at, jnp.asarray(log_extra))[3]
                    out[:, picked] += sign * np.stack([np.asarray(part)[: len(picked)] for part in found])
        return out

    def _rows(self, source: Any, b: np.ndarray, log_extra: float, *, keep: bool) -> Iterator[tuple[Rows, ByRow]]:
        at = np.append(b, log_extra)
        if keep and self._kept is not None and np.array_equal(self._kept[0], at):
            yield source, self._kept[1]
            return
        value, slope, curvature, mixed, in_a, twice_a = self.surprises(source.eta(b), log_extra, source.weights)
        each = ByRow(float(value.sum()), slope, curvature, curvature, mixed, (float(in_a.sum()), float(twice_a.sum())))
        if keep:
            self._kept = at, each
        yield source, each

    def _scores(self, rows: Rows, z: np.ndarray) -> np.ndarray:
        linear = self.linear
        parts = self.surprises(rows.eta(linear.coefficients(z)), linear.log_extra(z), np.ones(rows.n))
        matrix = rows.design.matrix()
        out = -(matrix if linear.B is None else matrix @ linear.B) * parts[1][:, None]
        return np.column_stack([out, -parts[4]]) if linear.has_free_extra else out


def _filled(values: np.ndarray, with_: float | None = None) -> Any:
    """On the device, filled up to a bucket's length, so that programs are compiled once for many lengths."""
    full = np.full(bucket(len(values)), values[-1] if with_ is None else with_)
    full[: len(values)] = values
    return jnp.asarray(full, jnp.float64)
