"""The log-likelihood of a generalised linear model, and its derivatives in the free numbers behind coefficients."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from surprax.regression.base import LinearlyCoordinated
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.least_squares import Triangle
from surprax.regression.links import Link
from surprax.regression.responses import CANCELS, Dispersed, Response
from surprax.regression.row_sums import constant_of as _constant
from surprax.regression.row_sums import extra_slopes, half_deviance_of
from surprax.regression.rows import Rows, Totals
from surprax.regression.sums import ByRow, by_row
from surprax.regression.totals import saturated, totals_of

__all__ = ["LinearProblem"]


@dataclass
class _Point:
    """What is known at one z."""

    z: np.ndarray
    value: float
    gradient: np.ndarray
    kept: list[tuple[Rows, ByRow]]


class LinearProblem(LinearlyCoordinated):
    """−log-likelihood of responses with law `response` and means g⁻¹(X b + offset), to be minimised.

    Args:
        title: what is fitted, for people.
        response, link: the law and g.
        rows: what is summed over: rows as they are, or compressed.
        original: the rows that these were made of.
        totals: what log p(y | y, φ) of all rows depends on; None for laws whose parameters do not separate.
        coordinates: of the coefficients and the extra parameter.
        ridge: λ of each coefficient, of a penalty ½ Σ λ b² in units of dispersion 1; None for none.
        triangle: what the rows are made of, where they are the evidence of normal responses.
    """

    def __init__(
        self,
        title: str,
        response: Response,
        link: Link,
        rows: Any,
        original: Any,
        totals: Totals,
        coordinates: LinearCoordinates,
        ridge: np.ndarray | None = None,
        triangle: Triangle | None = None,
    ) -> None:
        self.title, self.response, self.link = title, response, link
        self.data_rows, self.original, self.totals = rows, original, totals
        self.coordinates = coordinates  # type: ignore[assignment]
        self.ridge, self.triangle = ridge, triangle
        self.rows = totals.count
        self.each = self._each_is_known if original is not None else None
        self._last: _Point | None = None
        self._summed: tuple[np.ndarray, float] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_last": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for rows in (self.data_rows, self.original, getattr(self.data_rows, "members", None)):
            if isinstance(rows, Rows):  # arrays of JAX come back in float32, and are made again
                rows.__dict__.pop("filled", None)

    def _each_is_known(self, values: Any, data: Any) -> Any:
        raise NotImplementedError

    def with_coordinates(self, coordinates: Any) -> "LinearProblem":
        return self.replaced(coordinates=coordinates)

    def replaced(self, **others: Any) -> "LinearProblem":
        """The same problem but for some of its parts."""
        parts = {
            "title": self.title,
            "response": self.response,
            "link": self.link,
            "rows": self.data_rows,
            "original": self.original,
            "totals": self.totals,
            "coordinates": self.coordinates,
            "ridge": self.ridge,
            "triangle": self.triangle,
        }
        return LinearProblem(**(parts | others))

    @property
    def is_triangle(self) -> bool:
        """Whether coefficients are those of the triangle, without constraint or penalty."""
        return self.triangle is not None and self.linear.B is None and self.ridge is None

    def dispersion(self, z: np.ndarray) -> float:
        """φ at z; 1 for laws without one."""
        if not isinstance(self.response, Dispersed) or not self.response.extra:
            return 1.0
        return float(np.exp(_dispersion_slope(self.response) * self.linear.log_extra(z)))

    def half_covariance(self, z: np.ndarray) -> np.ndarray | None:
        if not self.is_triangle:
            return None
        assert self.triangle is not None
        half = np.sqrt(self.dispersion(z)) * scipy.linalg.solve_triangular(
            self.triangle.R, np.eye(self.linear.free_coefficients)
        )
        if not self.linear.has_free_extra:
            return half
        corner = self.derivatives(z)[2][-1, -1]
        return scipy.linalg.block_diag(half, 1.0 / np.sqrt(corner)) if corner > 0 else None

    @functools.cached_property
    def constant(self) -> float:
        """What half the deviance of the rows has that depends on the responses alone, and what is within cells."""
        return self.totals.within + sum(_constant(self.response, rows) for rows in self.data_rows.parts())

    # The derivatives, in (γ, log extra).

    def evaluate(
        self, z: np.ndarray, second: str = "", weights: Any = None, unit: bool = False
    ) -> tuple[float, np.ndarray, np.ndarray | None]:
        """Value, gradient, and a Hessian if asked for: "observed", "expected", or "convex", the observed one where every row's
        curvature is positive and the expected one elsewhere.

        Args:
            z: free numbers.
            second: which Hessian.
            weights: of the original rows, instead of their own.
            unit: whether dispersion is 1 and constants are left out, for laws with a dispersion: then the extra parameter is no
                part of it, and z has coefficients only.
        """
        coordinates = self.linear
        b, log_extra = coordinates.coefficients(z), coordinates.log_extra(z) if not unit else 0.0
        totals = self.totals
        source = self.data_rows
        if weights is not None:
            source = self.original.reweighted(self.original.weights * np.asarray(weights))
            totals = totals_of(self.response, source)
        p = len(b)
        value, gradient, mixed, in_extra = 0.0, np.zeros(p), np.zeros(p), np.zeros(2)
        H = np.zeros((p, p)) if second else None
        for rows, each in self._rows(source, b, log_extra, keep=weights is None):
            value += each.value
            gradient += rows.design.transposed(each.slope)
            if each.mixed is not None:
                in_extra += each.in_extra
                if second:
                    mixed += rows.design.transposed(each.mixed)
            if H is not None:
                H += rows.design.gram(curvature_of(each, second))
        if self.ridge is not None:
            value, gradient = value + self._penalty(b), gradient + self.ridge * b
            if H is not None:
                H += np.diag(self.ridge)
        return self._assembled(z, value, gradient, H, mixed, in_extra, totals, log_extra, weights, unit)

    def _rows(self, source: Any, b: np.ndarray, log_extra: float, *, keep: bool) -> Iterator[tuple[Rows, ByRow]]:
        """Every part of the rows with its derivatives; those of the last point are not computed twice where rows are in memory."""
        at = np.append(b, log_extra)
        if keep and isinstance(source, Rows):
            if self._last is None or not np.array_equal(self._last.z, at):
                self._last = _Point(
                    at, 0.0, at, [(source, by_row(source, self.response, self.link, source.eta(b), log_extra))]
                )
            yield from self._last.kept
            return
        for rows in source.parts():
            yield rows, by_row(rows, self.response, self.link, rows.eta(b), log_extra)

    def _assembled(
        self,
        z: np.ndarray,
        value: float,
        gradient: np.ndarray,
        H: np.ndarray | None,
        mixed: np.ndarray,
        in_extra: np.ndarray,
        totals: Totals,
        log_extra: float,
        weights: Any,
        unit: bool,
    ) -> tuple[float, np.ndarray, np.ndarray | None]:
        coordinates, response = self.linear, self.response
        slope = coordinates.pulled_back(gradient)
        if H is not None and coordinates.B is not None:
            H = coordinates.B.T @ H @ coordinates.B
        if unit:
            return value, slope, H
        if isinstance(response, Dispersed):
            half = self._half(value, coordinates.coefficients(z), weights)
            per = _dispersion_slope(response) if response.extra else 0.0
            phi = float(np.exp(per * log_extra))
            sat, first, second = saturated(response, totals, log_extra)
            total = half / phi - sat - totals.base
            slope = slope / phi
            if not coordinates.has_free_extra:
                return total, slope, None if H is None else H / phi
            out = np.append(slope, -per * half / phi - first)
            if H is None:
                return total, out, None
            corner = per**2 * half / phi - second
            return total, out, _bordered(H / phi, -per * slope, corner)
        if not coordinates.has_free_extra:
            return value, slope, H
        out = np.append(slope, in_extra[0])
        return value, out, None if H is None else _bordered(H, coordinates.pulled_back(mixed), in_extra[1])

    def half_deviance(self, z: np.ndarray) -> float:
        """Half the deviance of dispersion models at z, with what is within cells and without a penalty."""
        b = self.linear.coefficients(z)
        return self._half(self.evaluate(z[: self.linear.free_coefficients], unit=True)[0], b, None) - self._penalty(b)

    def _half(self, value: float, b: np.ndarray, weights: Any) -> float:
        """Half the deviance at b, with the penalty, of its value less constants; summed row by row where these all but cancel."""
        if weights is None:
            source, constant, within = self.data_rows, self.constant, self.totals.within
        else:
            source = self.original.reweighted(self.original.weights * np.asarray(weights))
            constant, within = sum(_constant(self.response, rows) for rows in source.parts()), 0.0
        half = value + constant
        if abs(constant - within) <= CANCELS * abs(half):
            return half
        if weights is not None or self._summed is None or not np.array_equal(self._summed[0], b):
            total = within + sum(half_deviance_of(self.response, self.link, rows, b) for rows in source.parts())
            if weights is not None:
                return total + self._penalty(b)
            self._summed = np.array(b), total
        return self._summed[1] + self._penalty(b)

    def _penalty(self, b: np.ndarray) -> float:
        return 0.0 if self.ridge is None else 0.5 * float(self.ridge @ b**2)

    # What `Problem` promises.

    def scores(self, z: np.ndarray) -> np.ndarray:
        """Gradients of the log-likelihoods of the original rows in the free numbers, each once whatever its weight, (n, d)."""
        return np.concatenate([self._scores(rows, z) for rows in self.original.parts()])

    def _scores(self, rows: Rows, z: np.ndarray) -> np.ndarray:
        coordinates = self.linear
        b, log_extra = coordinates.coefficients(z), coordinates.log_extra(z)
        once = rows.reweighted(np.ones(rows.n))
        each = by_row(once, self.response, self.link, rows.eta(b), log_extra)
        phi = 1.0
        if isinstance(self.response, Dispersed) and self.response.extra:
            phi = float(np.exp(_dispersion_slope(self.response) * log_extra))
        matrix = rows.design.matrix()
        out = -(matrix if coordinates.B is None else matrix @ coordinates.B) * (each.slope / phi)[:, None]
        if not coordinates.has_free_extra:
            return out
        return np.column_stack([out, -extra_slopes(self.response, self.link, once, rows.eta(b), log_extra)])


def curvature_of(each: ByRow, kind: str) -> np.ndarray:
    if kind == "expected" or (kind == "convex" and np.any(each.curvature < 0)):
        return each.expected
    return each.curvature


def _bordered(H: np.ndarray, side: np.ndarray, corner: float) -> np.ndarray:
    return np.block([[H, side[:, None]], [side[None, :], np.array([[corner]])]])


def _dispersion_slope(response: Dispersed) -> float:
    """d log φ / d log extra."""
    return float(response.log_dispersion(1.0))
