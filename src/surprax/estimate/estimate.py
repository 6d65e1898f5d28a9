"""The estimate: parameters at the maximum of a likelihood, and all that a fit should say about them."""

import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
import scipy.stats as st
from jax import Array

from surprax.estimate import covariances, intervals, resampling
from surprax.estimate.checks import checked_key, checked_label, checked_level, whole_number
from surprax.estimate.compatibility import Compatibility, Profile
from surprax.estimate.coordinates import Slot
from surprax.estimate.covariances import Kind
from surprax.estimate.hypotheses import Test, likelihood_ratio, wald
from surprax.estimate.problem import Problem
from surprax.estimate.report import Report
from surprax.estimate.summary import Summary, summary_of
from surprax.estimate.transforms import REAL
from surprax.units import Unit, from_nats

__all__ = ["Estimate"]

type Method = Literal["wald", "score", "likelihood-ratio", "profile", "bootstrap"]


class Estimate:
    """Parameters at the maximum of a likelihood, with uncertainty of every usual kind.

    Made by `mle`, `map_estimate` and `maximize`.

    Attributes:
        params: the parameters by name: numbers, or arrays.
        log_likelihood: at the maximum, in nats (of a MAP estimate, the log-density of parameters and data).
        nobs: number of observations, the sum of their weights; None where there is no such number.
        report: what the optimiser did, and the certificate that this is a maximum.

    Elements of parameters have labels, "scale" or "weights[0]", by which methods ask for them.
    """

    def __init__(
        self,
        problem: Problem,
        z: np.ndarray,
        value: float,
        curvature: np.ndarray | None,
        report: Report,
        *,
        kind: str = "maximum likelihood",
        distribution: Any = None,
        expected: Any = None,
    ) -> None:
        self.problem, self.report, self.kind = problem, report, kind
        self.log_likelihood = -value
        self.nobs = problem.rows
        self.distribution = distribution
        self._z, self._curvature, self._expected = z, curvature, expected

    # What was found.

    @functools.cached_property
    def params(self) -> dict[str, Any]:
        return {name: value[()] for name, value in self.problem.values(self._z).items()}

    def __getitem__(self, label: str) -> Any:
        """A parameter by its name, or an element of one by its label."""
        if isinstance(label, str) and label in self.params:
            return self.params[label]
        return self.theta[self.problem.coordinates.place(label)]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of all elements of all parameters."""
        return self.problem.coordinates.labels

    @functools.cached_property
    def theta(self) -> np.ndarray:
        """All elements in one vector, in the order of `labels`."""
        return self.problem.theta(self._z)[0]

    @property
    def free(self) -> int:
        """How many numbers were fitted."""
        return self.problem.size

    @property
    def reference(self) -> Any:
        """The distribution of (estimate − truth)/(standard error) in large samples, of SciPy: Wald intervals and tests use it."""
        return st.norm

    def about(self) -> tuple[tuple[str, str], ...]:
        """More for the head of the summary: pairs of a name and a value."""
        return ()

    @property
    def converged(self) -> bool:
        """Whether the certificate holds: this is a local maximum."""
        return self.report.converged

    @property
    def certificate(self) -> Report:
        """The report, which says so."""
        return self.report

    def surprise(self, unit: Unit = "nat") -> Any:
        """Total surprise of the data at the maximum, −log_likelihood, in `unit`."""
        return from_nats(-self.log_likelihood, unit)

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2·free − 2·log-likelihood."""
        return 2.0 * self.free - 2.0 * self.log_likelihood

    @property
    def aicc(self) -> float:
        """Akaike's criterion corrected for few observations, AIC + 2k(k + 1)/(n − k − 1); +inf where n ≤ k + 1."""
        n, k = self._rows(), self.free
        return self.aic + 2.0 * k * (k + 1) / (n - k - 1) if n > k + 1 else float("inf")

    @property
    def bic(self) -> float:
        """Schwarz's criterion, log(n)·free − 2·log-likelihood."""
        return float(np.log(self._rows())) * self.free - 2.0 * self.log_likelihood

    def _rows(self) -> float:
        if self.nobs is None:
            raise ValueError(
                "How many observations there are is not known: a log-density in total does not say. Use aic."
            )
        return self.nobs

    # How well it is known.

    def covariance(self, kind: Kind = "observed", clusters: Any = None) -> np.ndarray:
        """Of all elements, in the order of `labels`; zeros for those that are held. Shape (p, p).

        Args:
            kind: "observed", the inverse of the observed information −∇²ℓ; "expected", that of Fisher's information, where the
                family has it; "sandwich", H⁻¹ (Σ gᵢgᵢᵀ) H⁻¹ with the scores g of the rows, which holds where the model is wrong
                (Huber 1967, White 1982); "cluster", the same with scores added up by cluster, times G/(G − 1).
            clusters: labels of clusters, one per row, for "cluster".

        Raises:
            ValueError: where the log-likelihood is flat in some direction, or the kind needs rows that are not known.

        >>> import surprax as sx
        >>> est = sx.mle(sx.Weibull, sx.data.datasets.load("strikes")["duration"])
        >>> print(est.covariance().round(4))
        [[3.56434e+01 1.74500e-01]
         [1.74500e-01 8.30000e-03]]
        >>> print(est.covariance("sandwich")[1, 1].round(4))
        0.0057
        """
        return covariances.covariance(self, kind, clusters)

    def standard_errors(self, kind: Kind = "observed", clusters: Any = None) -> dict[str, Any]:
        """Standard deviations of the sampling distributions, by name, of the shapes of the parameters."""
        flat = np.sqrt(np.diagonal(self.covariance(kind, clusters)))
        return self._named(flat)

    def correlation(self, kind: Kind = "observed") -> np.ndarray:
        """Of all elements, in the order of `labels`; NaN for those that are held."""
        covariance = self.covariance(kind)
        errors = np.sqrt(np.diagonal(covariance))
        with np.errstate(invalid="ignore", divide="ignore"):
            return covariance / np.outer(errors, errors)

    def _named(self, flat: np.ndarray) -> dict[str, Any]:
        out, start = {}, 0
        for name, slot in self.problem.slots.items():
            size = int(np.prod(slot.shape, dtype=int))
            out[name] = flat[start : start + size].reshape(slot.shape)[()]
            start += size
        return out

    def confidence_interval(
        self,
        param: str | None = None,
        level: float = 0.95,
        method: Method = "wald",
        *,
        kind: Kind = "observed",
        key: Array | None = None,
        resamples: int = 999,
    ) -> Any:
        """Interval(s) that cover the true value in a share `level` of repetitions.

        Args:
            param: label of an element; None for all of them, by label.
            level: between 0 and 1.
            method: "wald", estimate ± quantile × standard error; "profile" (or "likelihood-ratio", the same), all values at which
                the log-likelihood, maximised over all else, is within ½χ² of its maximum; "score", all values that a score test
                (Rao) does not reject, again with all else maximised over; "bootstrap", percentiles of fits to resampled rows.
            kind: of standard errors, for "wald".
            key, resamples: for "bootstrap": a JAX random key, and how many fits.

        Returns:
            (low, high), or a mapping of these. An end is infinite, or at the end of its domain, where the data do not bound it.

        >>> import surprax as sx
        >>> est = sx.mle(sx.Weibull, sx.data.datasets.load("strikes")["duration"])
        >>> for method in ("wald", "score", "profile"):
        ...     print(method, [round(float(end), 3) for end in est.confidence_interval("concentration", method=method)])
        wald [0.742, 1.1]
        score [0.759, 1.117]
        profile [0.751, 1.109]
        """
        level = checked_level(level)
        labels = (
            [checked_label(param, self.labels)]
            if param is not None
            else [label for label in self.labels if not self.held(label)]
        )
        found = intervals.intervals(self, labels, level, method, kind, key, resamples)
        return found[0] if param is not None else dict(zip(labels, found))

    def held(self, label: str) -> bool:
        """Whether an element (or a parameter) was held at a value, and not fitted."""
        return self._slot(label).name in self.problem.coordinates.fixed

    def spans_zero(self, label: str) -> bool:
        """Whether an element can be any number, so that 0 is a hypothesis about it like others."""
        return self._slot(label).transform == REAL

    def _slot(self, label: str) -> Slot:
        slots = self.problem.slots
        if isinstance(label, str) and label in slots:
            return slots[label]
        checked_label(label, self.labels)
        return next(slot for slot in slots.values() if label in slot.labels)

    def profile(self, param: str, values: Any = None) -> Profile:
        """The log-likelihood along an element, maximised over all else.

        Args:
            param: its label.
            values: at which; None for 41 across ±3½ standard errors, or as far as the domain goes.

        >>> import surprax as sx
        >>> est = sx.mle(sx.Weibull, sx.data.datasets.load("strikes")["duration"])
        >>> print(est.profile("concentration", [0.8, 0.9, 1.0]).log_likelihoods.round(2))
        [-295.28 -294.37 -294.7 ]
        """
        return Profile.of(self, param, values)

    def compatibility(self, param: str, values: Any = None) -> Compatibility:
        """For each value of an element, how many bits of surprise the data would be if it were the true one.

        The s-value −log₂ p of the likelihood-ratio test of that value, by its profile (Rafi & Greenland 2020).

        >>> import surprax as sx
        >>> est = sx.mle(sx.Weibull, sx.data.datasets.load("strikes")["duration"])
        >>> print(est.compatibility("concentration", [0.7, 0.8, 1.0]).bits.round(2))
        [6.7  2.55 1.34]
        """
        return Compatibility.of(self, param, values)

    def bootstrap(self, key: Array, resamples: int = 999) -> np.ndarray:
        """Parameters fitted to rows that are drawn with replacement, shape (resamples, p), in the order of `labels`.

        Resamples without a maximum are left out, and an error where they are more than 2 %.

        >>> import surprax as sx
        >>> est = sx.mle(sx.Weibull, sx.data.datasets.load("strikes")["duration"])
        >>> fits = est.bootstrap(jax.random.key(0), 99)
        >>> fits.shape, bool(0.05 < fits[:, 1].std() < 0.12)  # the sandwich says 0.076
        ((99, 2), True)
        """
        return resampling.bootstrap(self, key, resamples)

    # Tests.

    def wald_test(
        self, hypothesis: Mapping[str, float] | np.ndarray, values: Any = 0.0, *, kind: Kind = "observed"
    ) -> Test:
        """Whether elements have the values of a hypothesis, or R θ = r, by how far off they are in standard errors: χ².

        Args:
            hypothesis: values by label; or a matrix R (q, p) or vector (p,), with `values` r.

        >>> import surprax as sx
        >>> est = sx.mle(sx.Weibull, sx.data.datasets.load("strikes")["duration"])
        >>> print(est.wald_test({"concentration": 1.0}))
        Wald test: chi2(1) = 0.7529, p = 0.386, 1.37 bit
        >>> print(est.wald_test(np.array([0.0, 1.0]), 1.0))
        Wald test: chi2(1) = 0.7529, p = 0.386, 1.37 bit
        """
        return wald(self, hypothesis, values, kind)

    def likelihood_ratio_test(self, other: "Estimate") -> Test:
        """Whether this fit is better than one of a smaller model that is a special case of it (or the other way round): χ².

        >>> import surprax as sx
        >>> est = sx.mle(sx.Weibull, sx.data.datasets.load("strikes")["duration"])
        >>> print(est.likelihood_ratio_test(est.refit(fixed={"concentration": 1.0})))  # an exponential distribution
        Likelihood-ratio test: chi2(1) = 0.7213, p = 0.396, 1.34 bit
        """
        return likelihood_ratio(self, other)

    # Out.

    def summary(self, level: float = 0.95, kind: Kind = "observed") -> Summary:
        """A table: estimates, standard errors, z, p, s-values in bits, intervals; and what the optimiser says.

        >>> import surprax as sx
        >>> est = sx.mle(sx.Weibull, sx.data.datasets.load("strikes")["duration"])
        >>> table = est.summary(kind="sandwich")  # print it
        >>> table.columns
        ('estimate', 'std. error', '[2.5 %', '97.5 %]')
        >>> print(round(table["scale"]["std. error"], 3))
        5.99
        """
        return summary_of(self, level, kind)

    def to_datatree(self, key: Array, num_samples: int = 1000, num_chains: int = 4) -> Any:
        """Draws from the normal approximation at the maximum (in free numbers: none lies outside its domain), for ArviZ.

        >>> import surprax as sx
        >>> est = sx.mle(sx.Weibull, sx.data.datasets.load("strikes")["duration"])
        >>> tree = est.to_datatree(jax.random.key(0), num_samples=250)
        >>> dict(tree["posterior"].sizes), bool((tree["posterior"]["scale"] > 0).all())
        ({'chain': 4, 'draw': 250}, True)
        """
        checked_key(key, "Draws from the normal approximation are made")
        num_samples, num_chains = whole_number(num_samples, 1, "Draws are"), whole_number(num_chains, 1, "Chains are")
        home = importlib.import_module("surprax.infer.datatree")
        factor = covariances.factor(self)
        size = self.problem.size
        noise = np.asarray(jax.random.normal(key, (num_chains, num_samples, size)), np.float64)
        z = self._z + noise @ factor.T
        drawn = self.problem_values(z.reshape(-1, size))
        draws = {name: v.reshape(num_chains, num_samples, *v.shape[1:]) for name, v in drawn.items()}
        return home.of_draws(draws, {"method": f"normal approximation at the {self.kind} estimate", "exact": 0})

    def to_numpyro(self) -> Any:
        """A start for chains: the `init_strategy` of NumPyro's samplers that begins at the estimate.

        >>> import numpy as np, numpyro, numpyro.distributions as dist
        >>> from numpyro.infer import NUTS
        >>> from surprax.estimate import mle
        >>> def model(x):
        ...     rate = numpyro.sample("rate", dist.Gamma(1.0, 1.0))
        ...     numpyro.sample("x", dist.Poisson(rate), obs=x)
        >>> kernel = NUTS(model, init_strategy=mle(model, np.array([4.0, 6.0])).to_numpyro())
        """
        from numpyro.infer import init_to_value

        return init_to_value(values={name: np.asarray(value) for name, value in self.params.items()})

    def problem_values(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """Parameters by name at several points of free numbers (m, d)."""
        each = [self.problem.values(point) for point in z]
        return {name: np.stack([one[name] for one in each]) for name in self.params}

    def refit(self, *, fixed: Mapping[str, Any] | None = None, tied: Sequence[Sequence[str]] = ()) -> "Estimate":
        """The same log-likelihood maximised with other parameters held or tied, from here.

        >>> import surprax as sx
        >>> est = sx.mle(sx.Weibull, sx.data.datasets.load("strikes")["duration"])
        >>> est.refit(fixed={"concentration": 1.0})
        Estimate(Weibull: scale=42.6613, concentration=1; log-likelihood -294.704)
        """
        from surprax.estimate.maximize import solved

        coordinates = self.problem.coordinates.holding(fixed, tied)
        problem = self.problem.with_coordinates(coordinates)
        return solved(problem, coordinates.free_numbers(self.params), kind=self.kind)

    def __repr__(self) -> str:
        def told(value: Any) -> str:
            return (
                f"{float(value):.6g}"
                if np.ndim(value) == 0
                else np.array2string(np.asarray(value), precision=4, threshold=6, separator=", ")
            )

        inside = ", ".join(f"{name}={told(value)}" for name, value in self.params.items())
        end = "" if self.converged else ", not a maximum"
        return f"Estimate({self.problem.title}: {inside}; log-likelihood {self.log_likelihood:.6g}{end})"
