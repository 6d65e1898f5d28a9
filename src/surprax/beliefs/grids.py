"""Beliefs over parameters, on a grid: a surprise for each node, updated by addition, whatever the prior looks like.

    belief(θ) ∝ w(θ) · prior(θ) · exp(log-likelihood(θ)),      w: the volume of the cell around a node

Between nodes a density is straight, so that sums over nodes are integrals by the trapezoidal rule, which for a smooth density that
has died away at the ends of the grid converges faster than any power of the spacing: with a node per standard deviation the
evidence of a normal posterior is right to 5e-9, with two of them to machine precision.
"""

import importlib
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax import Array

from surprax.beliefs import grid_axes
from surprax.beliefs.finite import Belief
from surprax.beliefs.grid_axes import as_axis, cells, is_whole
from surprax.beliefs.grid_problem import Prior, Problem, log_prior
from surprax.beliefs.grid_shapes import highest, lines, of_hat, quantiles, shortest
from surprax.evidence import Evidence
from surprax.families.base import Distribution
from surprax.numerics.precision import is_traced

__all__ = ["Grid", "grid"]

TOO_COARSE = 0.5
"""Nodes to a standard deviation below which sums are no integrals."""

MOST_NODES = 50_000_000
"""More are refused: a grid of a billion nodes is asked for by mistake."""


def grid(of: type[Distribution] | Callable[..., Any], /, *, prior: Prior = None, **parameters: Any) -> "Grid":
    """A belief over the parameters of a family, or of any log-likelihood, on a grid of values.

    Args:
        of: a family, such as `sx.Normal`; or a function f(*data, **parameters), written in terms of `jax.numpy`, of data and of one
            number per parameter, that returns a log-likelihood in nats, or an array of them, one per row, to be added up.
        parameters: for each of them by name, `(lo, hi, n)` for n values evenly from lo to hi; or a list or array of increasing
            values (`np.geomspace(0.1, 10, 50)`); or a number, at which it is held.
        prior: distributions by name of parameter, those that are not named being flat from lo to hi; or a function
            f(**parameters) of one number per parameter that returns a log-density; None for flat.

    Returns:
        The prior, as a `Grid`. Evidence is added to it: `grid + Family.evidence(x)`, or `grid.update(x)`.

    Raises:
        ValueError: where an axis is not of increasing finite numbers, where a value is no value of that parameter (it names it),
            and for more than 50 million nodes.

    >>> import surprax as sx
    >>> globe = sx.grid(sx.Bernoulli, probs=(0, 1, 1001)).update([1, 0, 1, 1, 1, 0, 1, 0, 1])  # water and land
    >>> print(globe.mean("probs").round(3), globe.mode()["probs"].round(3))  # of Beta(7, 4)
    0.636 0.667
    >>> lo, hi = globe.credible_interval("probs", 0.89)
    >>> print(lo.round(3), hi.round(3), globe.log_evidence.round(4))
    0.421 0.862 -6.7334
    """
    if not (isinstance(of, type) and issubclass(of, Distribution)) and not callable(of):
        raise TypeError(
            f"A grid is over the parameters of a family or of a log-likelihood function f(*data, **parameters); got {of!r}."
        )
    if not parameters:
        raise ValueError(
            "A grid has at least one parameter, such as loc=(-3, 3, 101) or scale=np.geomspace(0.1, 10, 50)."
        )
    if is_traced(parameters):
        raise ValueError("A grid is made of known values, outside of jit; what is computed on it may be traced.")
    axes, fixed = {}, {}
    for name, spec in parameters.items():
        if np.ndim(spec) == 0 and not isinstance(spec, Distribution):
            fixed[name] = spec
        else:
            axes[name] = as_axis(name, spec)
    if not axes:
        raise ValueError(
            f"A grid has at least one parameter that varies; {', '.join(fixed)} are held at a number each."
        )
    check_size(axes)
    if isinstance(of, type):
        of(
            **dict(zip(axes, np.meshgrid(*axes.values(), indexing="ij", sparse=True))), **fixed
        )  # which names what is wrong
    return Grid(Problem(of, fixed, log_prior(prior, axes)), axes, None, ())


def check_size(axes: Mapping[str, np.ndarray]) -> None:
    """Raise `ValueError` for a grid that is too large."""
    if (number := math.prod(len(v) for v in axes.values())) > MOST_NODES:
        shape = " × ".join(f"{len(v):,}" for v in axes.values())
        raise ValueError(
            f"A grid has at most {MOST_NODES:,} nodes; this one has {shape} = {number:,}. Take fewer values and `refine` the grid"
            " around what is plausible."
        )


class Grid:
    """What is believed of parameters, on a grid of their values. Made by `grid`.

    Attributes:
        axes: values of each parameter, increasing, by name.
        fixed: parameters that are held at a number, by name.
        belief: over all nodes, in C order, a `Belief` of shape batch + (nodes,); its constant is the log-evidence.
        evidence: all of it so far, or None.

    Evidence of several groups (`Family.evidence(x, by=labels)`) makes a batch of beliefs over one grid; what is computed from them
    has the batch axes in front.
    """

    def __init__(
        self,
        problem: Problem | None,
        axes: dict[str, np.ndarray],
        evidence: Evidence | None,
        rows: tuple[tuple[tuple[Any, ...], Any], ...],
        belief: Belief | None = None,
    ) -> None:
        self._problem, self.axes, self.evidence, self._rows = problem, axes, evidence, rows
        self.belief = self._believed() if belief is None else belief

    def _believed(self) -> Belief:
        assert self._problem is not None
        nodes = self.nodes
        total = self._problem.log_prior(nodes) + np.log(cells(self.axes)).reshape(-1)
        if self.evidence is not None:
            total = total + self._problem.by_evidence(self.evidence, nodes)
        for data, weights in self._rows:
            total = total + self._problem.by_rows(data, weights, nodes)
        total = np.broadcast_to(total, np.broadcast_shapes(total.shape, (math.prod(self.shape),)))
        if np.any(bad := np.isnan(total) | (total == np.inf)):
            at = int(np.argwhere(bad)[0][-1])
            where = ", ".join(f"{name} = {v[at]:g}" for name, v in nodes.items())
            what = "not a number" if np.isnan(total.reshape(-1, total.shape[-1])[:, at]).any() else "infinite"
            raise ValueError(
                f"The log-density of prior and data is {what} at {where}. Leave this value out of the grid, or have the function"
                " return −inf where it is impossible."
            )
        highest = np.max(total, axis=-1, keepdims=True)
        highest = np.where(np.isfinite(highest), highest, 0.0)
        return Belief._beyond(highest - total, -highest[..., 0])

    # What it is over.

    @property
    def fixed(self) -> dict[str, Any]:
        return {} if self._problem is None else dict(self._problem.fixed)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters that vary."""
        return tuple(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of values of each parameter."""
        return tuple(len(v) for v in self.axes.values())

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self.belief.batch_shape

    @property
    def nodes(self) -> dict[str, np.ndarray]:
        """Coordinates of all nodes in C order, by name, shape (nodes,)."""
        mesh = np.meshgrid(*self.axes.values(), indexing="ij")
        return {name: v.reshape(-1) for name, v in zip(self.axes, mesh)}

    # Bayes.

    def update(self, *data: Any, weights: Any = None) -> "Grid":
        """Add data: observations of the family, or `Evidence` of it; or what the log-likelihood function takes.

        Args:
            data: observations on the first axis, or `Evidence`; for a grid over a function, its arguments.
            weights: of observations, ≥ 0, shape (rows,).

        Observations of an exponential family are summed up first, one pass whatever the size of the grid, and evidence is merged
        before it meets the grid; of other families (Cauchy, StudentT, …) each row meets each node.

        >>> import surprax as sx
        >>> def lighthouse(x, where, offshore):  # flashes seen along a straight coast
        ...     return sx.Cauchy(where, offshore).log_prob(x)
        >>> flashes = [-2.1, 0.2, 0.7, 1.3, 1.6, 4.9]
        >>> print(sx.grid(lighthouse, where=(-5, 5, 201), offshore=1.0).update(flashes).mean("where").round(2))
        0.9
        """
        problem = self._asked("updated")
        if not data:
            raise TypeError("An update takes data; got none.")
        if is_traced(data, weights):
            raise ValueError("A grid is updated by known data, outside of jit.")
        evidence = problem.evidence(data, weights)
        if evidence is None:
            return Grid(problem, self.axes, self.evidence, (*self._rows, problem.rows(data, weights)))
        total = evidence if self.evidence is None else self.evidence + evidence
        return Grid(problem, self.axes, total, self._rows)

    def __add__(self, evidence: Any) -> "Grid":
        if not isinstance(evidence, Evidence):
            return NotImplemented
        return self.update(evidence)

    __radd__ = __add__

    def __sub__(self, evidence: Any) -> "Grid":
        """Take evidence away that was added before."""
        if not isinstance(evidence, Evidence):
            return NotImplemented
        problem = self._asked("updated")
        if self.evidence is None:
            raise ValueError("There is no evidence here that could be taken away.")
        return Grid(problem, self.axes, self.evidence - evidence, self._rows)

    def _asked(self, what: str) -> Problem:
        if self._problem is None:
            raise ValueError(
                f"A marginal belief has lost the other parameters and cannot be {what}; keep the grid for that."
            )
        return self._problem

    # What it says.

    @property
    def log_evidence(self) -> Any:
        """log ∫ prior · likelihood over the grid, in nats, shape batch: the log-probability of all data so far."""
        return self.belief.log_normalizer

    def probabilities(self) -> np.ndarray:
        """Of all nodes, each for the cell around it; shape batch + `shape`. NaN for a belief of a batch that excludes all nodes.

        Raises:
            ValueError: where prior and data exclude every node.
        """
        flat = np.exp(-np.asarray(self.belief.excess, np.float64))
        total = np.sum(flat, axis=-1, keepdims=True)
        if not self.batch_shape and not np.all(total > 0):
            raise ValueError("Prior and data exclude every node of the grid, which has no probabilities; widen it.")
        return (flat / np.where(total > 0, total, np.nan)).reshape(*self.batch_shape, *self.shape)

    def density(self) -> np.ndarray:
        """Probability density at the nodes, per unit of each parameter; shape batch + `shape`."""
        return self.probabilities() / cells(self.axes)

    def marginal(self, *names: str) -> "Grid":
        """The belief about some parameters alone.

        >>> import surprax as sx
        >>> both = sx.grid(sx.Normal, loc=(-3, 3, 61), scale=(0.1, 4.0, 40)).update([0.3, -0.7, 1.1])
        >>> both.marginal("scale").shape
        (40,)
        """
        for name in names:
            self._axis(name)
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"A marginal is of one or several different parameters; got {names}.")
        rank = len(self.batch_shape)
        p = self.probabilities()
        gone = tuple(rank + i for i, name in enumerate(self.axes) if name not in names)
        p = np.sum(p, axis=gone)
        left = [name for name in self.axes if name in names]
        p = np.moveaxis(p, [rank + left.index(name) for name in names], range(rank, rank + len(names)))
        axes = {name: self.axes[name] for name in names}
        with np.errstate(divide="ignore"):
            surprise = -np.log(np.nan_to_num(p.reshape(*self.batch_shape, -1)))
        return Grid(None, axes, self.evidence, (), Belief._beyond(surprise, -np.asarray(self.log_evidence)))

    def mean(self, name: str | None = None) -> Any:
        """Expected value of a parameter, shape batch; or of all of them, by name."""
        if name is None:
            return {name: self.mean(name) for name in self.axes}
        p, x = self._line(name)
        return np.sum(p * x, axis=-1)

    def stddev(self, name: str | None = None) -> Any:
        """Standard deviation of a parameter, shape batch; or of all of them, by name."""
        if name is None:
            return {name: self.stddev(name) for name in self.axes}
        p, x = self._line(name)
        return np.sqrt(np.sum(p * (x - np.sum(p * x, axis=-1, keepdims=True)) ** 2, axis=-1))

    def covariance(self) -> np.ndarray:
        """Of all parameters, in the order of `names`; shape batch + (parameters, parameters)."""
        p = np.asarray(self.probabilities()).reshape(*self.batch_shape, -1)
        x = np.stack(list(self.nodes.values()))
        gaps = x - np.stack([self.mean(name) for name in self.axes], axis=-1)[..., None]
        return np.einsum("...n,...in,...jn->...ij", p, gaps, gaps)

    def expectation(self, function: Callable[..., Any]) -> np.ndarray:
        """Expected value of function(**parameters), which takes arrays of all nodes by name; shape batch.

        >>> import surprax as sx
        >>> fits = sx.grid(sx.Poisson, rate=(0.01, 12, 1000)).update([2, 4, 3])
        >>> print(fits.expectation(lambda rate: rate > 4).round(3))  # the probability that it is above 4
        0.242
        """
        values = np.asarray(function(**self.nodes, **self.fixed), np.float64)
        p = self.probabilities().reshape(*self.batch_shape, -1)
        return np.sum(np.where(p > 0, p * np.where(p > 0, values, 0.0), 0.0), axis=-1)

    def mode(self) -> dict[str, np.ndarray]:
        """The node of the greatest density, by name of parameter, each of shape batch."""
        density = self.density().reshape(*self.batch_shape, -1)
        best, none = np.argmax(density, axis=-1), np.isnan(density[..., 0])
        return {name: np.where(none, np.nan, v[best])[()] for name, v in self.nodes.items()}

    def quantile(self, q: Any, name: str | None = None) -> np.ndarray:
        """The value below which a parameter lies with probability q, shape batch + that of q."""
        levels = np.asarray(q, np.float64)
        if not np.all((levels >= 0) & (levels <= 1)):
            raise ValueError(f"Quantiles are of probabilities from 0 to 1; got {q!r}.")
        p, x = self._line(self._only(name))
        return quantiles(p, x, levels)

    def credible_interval(self, name: str | None = None, level: float = 0.95, kind: str = "hdi") -> tuple[Any, Any]:
        """The ends of an interval that has probability `level`, each of shape batch.

        Args:
            name: of the parameter; it may be left out where there is one.
            level: between 0 and 1.
            kind: "hdi", the shortest one; or "eti", with equal tails.
        """
        level = _checked_level(level)
        p, x = self._line(self._only(name))
        if kind == "eti":
            ends = quantiles(p, x, np.array([(1 - level) / 2, (1 + level) / 2]))
            return ends[..., 0], ends[..., 1]
        if kind != "hdi":
            raise ValueError(
                f'An interval is the shortest one, "hdi", or one with equal tails, "eti"; got kind={kind!r}.'
            )
        return shortest(p, x, level)

    def credible_region(self, level: float = 0.95) -> np.ndarray:
        """Nodes of the greatest density that together have probability `level` at least; True for those, shape batch + `shape`.

        The region of a belief with two peaks may be in two parts, where an interval spans the gap.
        """
        return highest(self.probabilities(), cells(self.axes), _checked_level(level), len(self.batch_shape))

    def log_predictive(self, x: Any) -> np.ndarray:
        """Log-density of new observations, one at a time, averaged over the parameters; in nats, shape batch + that of x.

        >>> import surprax as sx
        >>> globe = sx.grid(sx.Bernoulli, probs=(0, 1, 401)).update([1, 0, 1, 1, 1, 0, 1, 0, 1])
        >>> print(np.exp(globe.log_predictive([0, 1])).round(3))
        [0.364 0.636]
        """
        problem = self._asked("asked about new data")
        log_p = -np.asarray(self.belief.excess, np.float64)
        log_p = log_p - np.log(np.sum(np.exp(log_p), axis=-1, keepdims=True))
        return problem.log_mixture(np.asarray(x), log_p, self.nodes)

    def sample(self, key: Array, shape: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
        """Parameters drawn from the belief, by name, each of shape `shape` + batch; between nodes as the straight density says."""
        nodes_key, side_key = jax.random.split(key)
        index = np.asarray(self.belief.sample(nodes_key, shape))
        if np.any(index < 0):
            raise ValueError("There is nothing to draw from: prior and data exclude every node of the grid.")
        at = np.unravel_index(index, self.shape)
        u = np.asarray(jax.random.uniform(side_key, (len(self.axes), 2, *index.shape)), np.float64)
        return {name: of_hat(v, i, *u[j]) for j, ((name, v), i) in enumerate(zip(self.axes.items(), at))}

    def to_datatree(self, key: Array, num_samples: int = 1000, num_chains: int = 4) -> Any:
        """Independent draws as an `xarray.DataTree` for ArviZ, of `num_chains` × `num_samples`."""
        if self.batch_shape:
            raise ValueError("A DataTree is of one belief; this is a batch of them. Make a grid for each group.")
        home = importlib.import_module("surprax.infer.datatree")
        attributes = {"method": "grid", "exact": 0, "log_evidence": float(self.log_evidence)}
        return home.of_draws(self.sample(key, (num_chains, num_samples)), attributes)

    # Whether the grid is a good one.

    @property
    def resolution(self) -> dict[str, Any]:
        """Standard deviations by spacings of nodes, each of shape batch: 1 is enough for a smooth density, ½ is too coarse.

        The standard deviation is that along the axis with all other parameters held at the mode, by the curvature there: of a
        narrow ridge across the axes it is small, however wide the marginals are. Other peaks are not looked at.
        """
        return grid_axes.resolution(self._log_density(), tuple(self.axes.values()), self.names)

    @property
    def edges(self) -> dict[str, tuple[Any, Any]]:
        """Density at both ends of each axis, beside that at the peak of the marginal: above 1e-4 the grid may cut something off."""
        out = {}
        for name in self.axes:
            p, x = self._line(name)
            density = p / cells({name: x})
            peak = np.max(density, axis=-1)
            out[name] = density[..., 0] / peak, density[..., -1] / peak
        return out

    def refine(self, tail: float = 1e-9, **nodes: int) -> "Grid":
        """The same belief on a grid around the mass, with all that has been added to it so far.

        Each axis is narrowed to where a marginal has all but `tail` of its mass at either end, and widened again where it was cut
        too close, until that makes no more difference; evenly spaced axes stay so, and geometric ones geometric.

        Args:
            tail: mass that may be lost at each end of each axis.
            nodes: how many values each axis has then, by name; as many as before where there is none.

        A peak so narrow that no node is near it is not found; neither is a second one. A warning says where even the refined grid
        is too coarse.

        >>> import surprax as sx
        >>> x = np.linspace(9.0, 11.0, 50)
        >>> coarse = sx.grid(sx.Normal, loc=(0, 100, 101), scale=(0.1, 10, 50)).update(x)
        >>> fine = coarse.refine()
        >>> print([f"{v:.2f}" for v in (coarse.resolution["loc"], fine.resolution["loc"])])
        ['0.07', '6.51']
        """
        problem = self._asked("refined")
        for name, number in nodes.items():
            self._axis(name)
            if not is_whole(number) or number < 2:
                raise ValueError(f"{name}: an axis has a whole number of values, at least 2; got {number!r}.")
        if not 0 < tail < 0.1:
            raise ValueError(f"The mass that may be lost at an end is small, between 0 and 0.1; got {tail}.")
        first = {name: (v[0], v[-1]) for name, v in self.axes.items()}
        best = self
        for _ in range(60):
            if bool(np.any(best.belief.contradiction)):
                what = "prior and data exclude every node of it" if best is self else "so few nodes miss all of it"
                raise ValueError(f"There is no mass to refine the grid around: {what}.")
            ends = {name: grid_axes.around(*best._line(name), tail, first[name]) for name in self.axes}
            axes = {name: grid_axes.between(v, *ends[name], nodes.get(name, len(v))) for name, v in best.axes.items()}
            check_size(axes)
            done = all(grid_axes.as_wide(best.axes[name], axes[name]) for name in axes)
            best = Grid(problem, axes, self.evidence, self._rows)
            if done:
                break
        coarse = {name: float(np.min(r)) for name, r in best.resolution.items() if np.min(r) < TOO_COARSE}
        if coarse:
            told = ", ".join(f"{name} {value:.2g}" for name, value in coarse.items())
            warnings.warn(
                f"The refined grid is still too coarse, by nodes to a standard deviation: {told}. Take more values, or parameters"
                " that are less correlated (centred covariates, say): a narrow ridge across the axes falls between nodes.",
                stacklevel=2,
            )
        return best

    # Housekeeping.

    def _log_density(self) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(np.nan_to_num(self.density()))

    def _axis(self, name: str) -> np.ndarray:
        if name not in self.axes:
            raise KeyError(f"Parameters of this grid are {', '.join(self.axes)}; got {name!r}.")
        return self.axes[name]

    def _only(self, name: str | None) -> str:
        if name is not None:
            return name
        if len(self.axes) > 1:
            raise ValueError(f"Say which parameter: {', '.join(self.axes)}.")
        return self.names[0]

    def _line(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of the values of a parameter, shape batch + (values,), and the values."""
        x = self._axis(name)
        return lines(self.probabilities(), self.names.index(name), len(self.shape)), x

    def __repr__(self) -> str:
        what = "marginal" if self._problem is None else getattr(self._problem.of, "__name__", "function")
        axes = ", ".join(f"{name}: {len(v)} from {v[0]:g} to {v[-1]:g}" for name, v in self.axes.items())
        batch = f"{self.batch_shape} × " if self.batch_shape else ""
        return f"Grid({what}; {batch}{axes})"

    def __str__(self) -> str:
        if self.batch_shape:
            return repr(self)
        if bool(self.belief.contradiction):
            return f"{self!r}\nprior and data exclude every node: widen the grid"
        out = [f"{self!r}", f"log-evidence {float(self.log_evidence):.6g} nat"]
        resolution, edges = self.resolution, self.edges
        width = max(map(len, self.axes))
        for name in self.axes:
            lo, hi = self.credible_interval(name)
            line = f"{name:{width}}  {self.mean(name):.5g} ± {self.stddev(name):.3g}, 95 % within {lo:.5g} to {hi:.5g}"
            if resolution[name] < TOO_COARSE:
                line += f"; {resolution[name]:.2g} nodes to a standard deviation: too coarse, refine()"
            for edge, value in zip(edges[name], (self.axes[name][0], self.axes[name][-1])):
                if edge > 1e-4:
                    line += f"; at {value:g} the density is still {edge:.2g} of its peak"
            out.append(line)
        return "\n".join(out)


def _checked_level(level: Any) -> float:
    if not 0 < float(level) < 1:
        raise ValueError(f"A level is a probability between 0 and 1; got {level}.")
    return float(level)
