"""Paths of coefficients over penalties, and the penalty that predicts best by cross-validation."""

import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax import Array

from surprax.data.errors import DataError
from surprax.estimate.summary import Summary
from surprax.families import Distribution, Normal
from surprax.regression.coordinates import LinearCoordinates
from surprax.regression.descent import Law, by_evidence, by_refits
from surprax.regression.estimate import LinearEstimate, Origins
from surprax.regression.inputs import Extras, read_inputs
from surprax.regression.links import Identity, Link, link_named
from surprax.regression.moments import centres
from surprax.regression.penalized import shrunk
from surprax.regression.preparation import extra_name, response_of, rows_of
from surprax.regression.responses import NormalResponse, Response
from surprax.regression.rows import Rows
from surprax.regression.shrinkage import Penalty

__all__ = ["PenaltyPath", "penalty_path"]

SHOWN = 20


@dataclass(frozen=True, eq=False)
class PenaltyPath:
    """Coefficients at each of several penalties, from the strongest to the weakest; made by `penalty_path`.

    Attributes:
        names: of the coefficients.
        penalties: λ, decreasing, shape (m,): λ·(l1_ratio·Σ|b| + ½(1 − l1_ratio)·Σb²) is added to half the deviance.
        l1_ratio: 1 for the lasso, 0 for ridge.
        coefficients: shape (m, p).
        deviances: of all rows, shape (m,); twice the surprise in nats, for negative binomial and beta laws.
        scale: what coefficients are multiplied by within the penalty, shape (p,): 0 for the intercept.
        fold_deviances: of each fold by the fit to the others, per observation, shape (m, K); None without folds.
        fold_weights: how many observations each fold has, shape (K,).
    """

    names: tuple[str, ...]
    penalties: np.ndarray
    l1_ratio: float
    coefficients: np.ndarray
    deviances: np.ndarray
    scale: np.ndarray
    fold_deviances: np.ndarray | None = None
    fold_weights: np.ndarray | None = None
    _law: Law | None = field(default=None, repr=False)
    _rows: Rows | None = field(default=None, repr=False)
    _origins: Origins | None = field(default=None, repr=False)

    @functools.cached_property
    def nonzero(self) -> np.ndarray:
        """How many coefficients are not 0 at each penalty, those that are spared aside, shape (m,)."""
        return np.sum((self.coefficients != 0) & (self.scale > 0), axis=1)

    def _folds(self) -> tuple[np.ndarray, np.ndarray]:
        if self.fold_deviances is None or self.fold_weights is None:
            raise ValueError("Cross-validation takes folds: penalty_path(…, folds=10, key=key), or folds=labels.")
        return self.fold_deviances, self.fold_weights / np.sum(self.fold_weights)

    @functools.cached_property
    def cv_deviance(self) -> np.ndarray:
        """Deviance per observation of rows that a fit has not seen, by penalty, shape (m,)."""
        folds, share = self._folds()
        return folds @ share

    @functools.cached_property
    def cv_standard_error(self) -> np.ndarray:
        """Its standard error, from the spread between folds, shape (m,)."""
        folds, share = self._folds()
        return np.sqrt((folds - self.cv_deviance[:, None]) ** 2 @ share / (len(share) - 1))

    @property
    def best(self) -> float:
        """The penalty with the least cross-validated deviance."""
        return float(self.penalties[np.argmin(self.cv_deviance)])

    @property
    def one_se(self) -> float:
        """The largest penalty whose cross-validated deviance is within one standard error of the least."""
        i = int(np.argmin(self.cv_deviance))
        within = self.cv_deviance <= self.cv_deviance[i] + self.cv_standard_error[i]
        return float(self.penalties[np.argmax(within)])

    def _chosen(self, penalty: float | str) -> float:
        if isinstance(penalty, str):
            if penalty not in ("best", "one_se"):
                raise ValueError(f'A penalty is a number, "best" or "one_se"; got {penalty!r}.')
            return float(getattr(self, penalty))
        return float(penalty)

    def estimate(self, penalty: float | str = "best") -> LinearEstimate:
        """The estimate at a penalty, which need not be one of the path: a number, "best" or "one_se"."""
        assert self._law is not None
        assert self._rows is not None
        assert self._origins is not None
        strength, law = self._chosen(penalty), self._law
        if not (np.isfinite(strength) and strength >= 0):
            raise ValueError(f"A penalty is finite and not negative; got {strength:g}.")
        l1, l2 = strength * self.l1_ratio, strength * (1.0 - self.l1_ratio)
        asked = Penalty.of(self.names, l1, l2, {}, self.scale)
        return shrunk(law.title, law.response, law.link, self._rows, law.coordinates, asked, self._origins)

    def summary(self) -> Summary:
        """A table of some 20 of the penalties, with those that cross-validation chooses."""
        m = len(self.penalties)
        picked = set(np.unique(np.linspace(0, m - 1, min(m, SHOWN)).round().astype(int)).tolist())
        columns = ["non-zero", "deviance"]
        head = [
            ("Model", "" if self._law is None else self._law.title),
            ("Penalty", f"{self.l1_ratio:.4g} l1 + {1.0 - self.l1_ratio:.4g} l2"),
            ("Penalties", f"{m:,}, {self.penalties[0]:.4g} to {self.penalties[-1]:.4g}"),
        ]
        marks: dict[int, str] = {}
        if self.fold_deviances is not None:
            columns += ["held out", "std. error"]
            chosen = [int(np.flatnonzero(self.penalties == at)[0]) for at in (self.best, self.one_se)]
            marks = {chosen[0]: " best"}
            marks[chosen[1]] = marks.get(chosen[1], "") + " one_se"
            picked |= set(chosen)
            head += [("Folds", f"{self.fold_deviances.shape[1]}; held out: deviance per observation")]
        rows = {}
        for i in sorted(picked):
            row = {"non-zero": float(self.nonzero[i]), "deviance": float(self.deviances[i])}
            if self.fold_deviances is not None:
                row |= {"held out": float(self.cv_deviance[i]), "std. error": float(self.cv_standard_error[i])}
            rows[f"{self.penalties[i]:.5g}{marks.get(i, '')}"] = row
        return Summary(tuple(head), tuple(columns), rows, ())

    def __str__(self) -> str:
        return str(self.summary())

    def plot(self) -> Any:
        """Paths of the coefficients, and the cross-validated deviance, as a matplotlib Figure."""
        return importlib.import_module("surprax.plots").penalty_path(self)


def penalty_path(
    model: Any,
    data: Any = None,
    *,
    family: type[Distribution] | Response = Normal,
    l1_ratio: float = 1.0,
    penalties: Any = None,
    count: int = 100,
    folds: Any = None,
    key: Array | None = None,
    standardize: bool = False,
    link: str | Link | None = None,
    offset: Any = None,
    weights: Any = None,
    precisions: Any = None,
    trials: Any = None,
    intercept: bool = True,
    drop_missing: bool = False,
    context: Mapping[str, Any] | None = None,
) -> PenaltyPath:
    """A penalised generalised linear model over a path of penalties, cross-validated if folds are given.

    Minimises ½ deviance + λ·(l1_ratio·Σ|b| + ½(1 − l1_ratio)·Σb²) for each λ; the intercept is spared. λ is scikit-learn's and
    glum's `alpha` times the number of observations; a training set is fitted with λ times its share of the observations.

    Normal responses with the identity link are read once, whatever the number of folds and penalties: a training set is the
    evidence of all rows less that of its fold. Digits are kept by counting from near the means, in float64; held-out deviances are
    then as good as 1e-16 of the responses' own variance. Other models are fitted to the rows of each training set.

    Args:
        l1_ratio: 1 for the lasso, 0 for ridge, between them the elastic net.
        penalties: λ; None for `count` of them in even ratios, from the smallest at which all coefficients are 0 to a thousandth of
            it (for an l1_ratio below 0.001, from that of 0.001).
        folds: into how many to deal the rows by `key`; or the label of each row's fold, shape (n,).
        key: JAX random key.
        standardize: whether the penalty is on coefficients times the standard deviations of their columns.
        model, data, family, link, offset, weights, precisions, trials, intercept, drop_missing, context: as `glm` takes them.

    Returns:
        A `PenaltyPath`.

    Raises:
        ValueError: for penalties that are negative or none, folds without a key, and as `glm` does.

    Source: Friedman, Hastie & Tibshirani (2010), Regularization Paths for Generalized Linear Models via Coordinate Descent.

    >>> import jax, numpy as np
    >>> import surprax as sx
    >>> from surprax.regression.paths import penalty_path
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 5))
    >>> path = penalty_path((X, 2 * X[:, 0] + rng.normal(size=200)), folds=10, key=jax.random.key(0))
    >>> path.coefficients.shape, int(path.nonzero[0]), int(path.nonzero[-1])
    ((100, 6), 0, 5)
    >>> path.estimate("one_se").nonzero
    ('x0',)
    """
    if not 0 <= l1_ratio <= 1:
        raise ValueError(f"l1_ratio is a share, from 0 (ridge) to 1 (lasso); got {l1_ratio}.")
    extras = Extras(offset, weights, precisions, trials)
    response = response_of(family)
    inputs = read_inputs(model, data, extras, intercept=intercept, drop_missing=drop_missing, context=context).centred()
    centring = inputs.recipe.centring
    rows, label = rows_of(response, inputs)
    names = rows.design.names
    coordinates = LinearCoordinates(names, extra_name(response, names) if response.extra else "", centring=centring)
    law = Law(
        f"{response.name} model of {label}", response, link_named(response.link if link is None else link), coordinates
    )
    means, spread = centres(rows)
    scale = np.where(spread > 0, spread, 1.0) if standardize else np.ones(len(names))
    asked = Penalty.of(names, 1.0, 1.0, {}, scale)
    if not np.any(asked.scale):
        raise ValueError("A penalty needs coefficients besides the intercept, and this model has none.")
    codes, number = _dealt(folds, key, rows.n)
    origins = Origins(inputs.recipe, extras, inputs.missing)
    parts = (rows, penalties, count, l1_ratio, asked)
    normal = isinstance(response, NormalResponse) and isinstance(law.link, Identity)
    make = by_evidence if normal else by_refits
    strengths, coefficients, deviances, by_fold, amounts = make(law, *parts, codes, number, means)
    coefficients = coefficients if centring is None else centring.told(coefficients.T).T
    return PenaltyPath(
        names, strengths, l1_ratio, coefficients, deviances, asked.scale, by_fold, amounts, law, rows, origins
    )


def _dealt(folds: Any, key: Array | None, n: int) -> tuple[np.ndarray | None, int]:
    """The fold of each row, and how many there are."""
    if folds is None:
        return None, 0
    if np.ndim(folds) == 0:
        if folds != int(folds) or not 2 <= folds <= n:
            raise ValueError(f"There are from 2 to {n} folds, or a label for each row; got folds={folds!r}.")
        if key is None:
            raise ValueError("Rows are dealt to folds at random: pass a key, jax.random.key(0), or labels as folds.")
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).astype(np.uint32))
        return rng.permutation(np.arange(n) % int(folds)), int(folds)
    labels = np.asarray(folds)
    if labels.shape != (n,):
        raise DataError(f"folds must have one label for each of {n} rows: found shape {labels.shape}")
    levels, codes = np.unique(labels, return_inverse=True)
    if len(levels) < 2:
        raise ValueError("Cross-validation takes at least two folds; all rows have one label.")
    return codes, len(levels)
