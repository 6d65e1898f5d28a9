"""What inference ends with: one face over draws, closed forms and modes."""

import functools
import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import Array

from surprax.infer.closed import ClosedForm
from surprax.infer.datatree import to_datatree
from surprax.infer.diagnostics import say
from surprax.infer.forms import Draws, Form, Point
from surprax.infer.keys import as_key
from surprax.infer.original import Original
from surprax.infer.summary import Summary, summarise

__all__ = ["Posterior"]

_DRAWS = 1_000
"""How many draws are predicted from, where a posterior has none of its own."""

_SHOWN = 12
"""Elements that a `repr` shows."""


class Posterior:
    """The posterior of a model's latent sites, and of what it computes from them, given the data.

    Print it; ask it for `mean`, `sd`, `quantile` of a site, `summary()` for a table, `predict(...)` for new data, and
    `to_datatree()` for ArviZ.

    Attributes:
        method: "exact", "laplace", "nuts", "svi" or "map".
        exact: whether all of it is in closed form, without any approximation.
        log_evidence: log p(data) in nats, where it is exact; else None.
        plan: what was done with each site of the model; None where nothing was rewritten.
        certificate: that the rewritten model is the same; None where nothing was rewritten.
        original: the model as it was written, with its arguments.
        form: how the posterior is held.
        statistics: of the iterations, (chains, draws) by ArviZ's names.
        warnings: what has been warned of.
        pareto_k: of an approximation, how far from the posterior it is: up to 0.7 is well; else None.
    """

    def __init__(
        self,
        form: Form,
        original: Original,
        *,
        method: str,
        exact: bool = False,
        log_evidence: float | None = None,
        plan: Any = None,
        certificate: Any = None,
        statistics: Mapping[str, np.ndarray] | None = None,
        warnings: Sequence[str] = (),
        pareto_k: float | None = None,
        key: Array | None = None,
        shape: tuple[int, int] = (4, 1_000),
    ) -> None:
        """`key` and `shape` (chains, draws): from which a closed form draws, when draws are asked for."""
        self.form = form
        self.original = original
        self.method = method
        self.exact = exact
        self.log_evidence = log_evidence
        self.plan = plan
        self.certificate = certificate
        self.statistics = dict(statistics or {})
        self.warnings = tuple(warnings)
        self.pareto_k = pareto_k
        self._key, self._shape = key, shape

    # What is known of each site.

    @property
    def sites(self) -> tuple[str, ...]:
        """Names of all sites."""
        return self.form.names

    def mean(self, name: str | None = None) -> Any:
        """The mean of a site, in its shape; without a name, of all sites, by name. Of method "map": the mode."""
        return self._each(self.form.mean, name)

    def sd(self, name: str | None = None) -> Any:
        """The standard deviation of a site, in its shape; without a name, of all sites, by name."""
        return self._each(self.form.sd, name)

    def quantile(self, q: Any, name: str | None = None) -> Any:
        """Quantiles of each element of a site, q in [0, 1]: the shape of q, and then that of the site; or of all sites, by name."""
        if isinstance(q, str):
            raise TypeError(f"Quantiles are of levels from 0 to 1, and then of a site: quantile(0.5, {q!r}).")
        levels = np.asarray(q, np.float64)
        if not np.all((levels >= 0.0) & (levels <= 1.0)):
            raise ValueError(f"Quantiles are of levels from 0 to 1; got {q!r}.")
        return self._each(lambda site: self.form.quantile(site, levels), name)

    def _each(self, of: Callable[[str], np.ndarray], name: str | None) -> Any:
        if name is None:
            return {site: of(site) for site in self.sites}
        return of(self._known(name))

    def _known(self, name: str) -> str:
        if name not in self.sites:
            raise KeyError(f"The posterior has no site {name!r}; it has: {', '.join(self.sites)}.")
        return name

    # Draws.

    @functools.cached_property
    def draws(self) -> dict[str, np.ndarray]:
        """Joint draws by site, (chains, draws, …); a mode is a single one.

        Raises:
            ValueError: of a closed form that was made without a key.
        """
        if isinstance(self.form, Draws):
            return dict(self.form.arrays)
        if isinstance(self.form, Point):
            return {name: np.asarray(value)[None, None] for name, value in self.form.values.items()}
        if self._key is None:
            raise ValueError(
                "This posterior is a closed form, and was made without a key to draw with. Pass key=jax.random.key(0), say, to"
                " infer; or ask for post.sample(key, n)."
            )
        chains, count = self._shape
        drawn = self.form.sample(self._key, chains * count)
        return {name: value.reshape(chains, count, *value.shape[1:]) for name, value in drawn.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        """Draws of one site, (chains, draws, …)."""
        self._known(name)
        return self.draws[name]

    def sample(self, key: Array, n: int = _DRAWS) -> dict[str, np.ndarray]:
        """n joint draws of all sites, (n, …) by name.

        From a closed form, or an approximation, they are fresh; from chains they are picked at random.
        """
        return self.form.sample(as_key(key, "Drawing from a posterior"), _count(n, "n"))

    # New data.

    def predict(
        self,
        *args: Any,
        key: Array | None = None,
        num_samples: int | None = None,
        return_sites: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, np.ndarray]:
        """Draws of what the model observes, given the data that it has seen: y ∼ p(y | x_new, data).

        Args:
            args, kwargs: arguments of the model as it was written, with None for what is to be predicted. Without any: new
                observations in the place of those that it has seen.
            key: JAX random key.
            num_samples: how many draws; None for one from each draw of the posterior (1,000 where it has none of its own).
            return_sites: names of sites; None for those that the model observes. Deterministic sites are computed anew.

        Returns:
            Arrays (chains, draws, …) by site; with `num_samples`, (1, num_samples, …).

        Raises:
            ValueError: where a site to be predicted is observed with these arguments, naming the one to leave out; without a key.
        """
        key = as_key(key, "Prediction")
        original, again = self.original, not (args or kwargs)
        if not again:
            original = Original(original.model, args, kwargs)
        if num_samples is not None:
            num_samples = _count(num_samples, "num_samples")
        if isinstance(return_sites, str):
            return_sites = (return_sites,)
        names = list(return_sites or (site.name for site in self.original.of_kind("observed")))
        for name in names:
            if name not in original.sites:
                raise ValueError(f"The model has no site {name!r}; it has: {', '.join(original.sites)}.")
        if not again:
            original.demand_unobserved(names)
            say(original.doubts())
        draw_key, key = jax.random.split(key)
        drawn, shape = self._to_predict_from(draw_key, num_samples)
        for site in original.of_kind("latent"):
            if site.name in drawn and site.shape != (known := drawn[site.name].shape[1:]):
                raise ValueError(
                    f"The posterior is of {site.name!r} of shape {known}; with these arguments it has shape {site.shape}. Predict"
                    " for groups that the data have had: number them as before, and fix their number in the model."
                )
        each = original.predictions(names, drawn, key, observed=again)
        indices = np.arange(shape[0] * shape[1])
        return {name: of(indices).reshape(*shape, *of.shape) for name, of in each.items()}

    def _to_predict_from(self, key: Array, count: int | None) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
        """Draws (n, …) by site, and how many chains of how many draws they are."""
        if isinstance(self.form, Point):
            n = count or _DRAWS
            return {name: np.broadcast_to(v, (n, *np.shape(v))) for name, v in self.form.values.items()}, (1, n)
        if count is None and (isinstance(self.form, Draws) or self._key is not None):
            shape = next(iter(self.draws.values())).shape[:2]
            return {name: _flat(value) for name, value in self.draws.items()}, shape
        n = count or _DRAWS
        return self.form.sample(key, n), (1, n)

    # For people and for ArviZ.

    def summary(self, *names: str, ci_prob: float = 0.94) -> Summary:
        """A table: mean, standard deviation, central interval; of chains also effective sample sizes and R̂.

        Args:
            names: of the sites; all, if none are given.
            ci_prob: probability of the interval, which leaves out as much at each end.
        """
        chosen = tuple(self._known(name) for name in names) or self.sites
        return self._table(chosen, ci_prob)

    def _table(self, names: tuple[str, ...], ci_prob: float, most: int | None = None) -> Summary:
        chains = self.form.arrays if isinstance(self.form, Draws) and self.form.fresh is None else None
        return summarise(self._title(), self.form, names, ci_prob, chains, not isinstance(self.form, Point), most)

    def to_datatree(
        self,
        *,
        posterior_predictive: bool = False,
        log_likelihood: bool | str = "lazy",
        key: Array | None = None,
        coords: Mapping[str, Any] | None = None,
    ) -> Any:
        """An `xarray.DataTree` for ArviZ: posterior, sample_stats, log_prior, log_likelihood, observed_data, constant_data.

        Data are those of the model as it was written, all rows of them, whatever it was rewritten to.

        Args:
            posterior_predictive: whether to add new observations in the place of those seen; that takes a `key`.
            log_likelihood: of each row; "lazy" to compute it when it is read, and only for the draws that are read; True to
                compute it now; False to leave it out.
            key: JAX random key for predictions; also for draws, where a closed form has been made without one.
            coords: labels of plates, by name.

        >>> import jax, numpyro
        >>> from surprax.infer import infer
        >>> from numpyro.distributions import Bernoulli, Beta
        >>> def model(tosses):
        ...     theta = numpyro.sample("theta", Beta(1.0, 1.0))
        ...     with numpyro.plate("toss", len(tosses)):
        ...         numpyro.sample("heads", Bernoulli(theta), obs=tosses)
        >>> post = infer(model, np.array([1, 0, 0, 0, 1, 0]), method="laplace", key=jax.random.key(0))
        >>> post.to_datatree().log_likelihood["heads"].dims
        ('chain', 'draw', 'toss')
        """
        if isinstance(self.form, ClosedForm) and self._key is None:
            key, draw_key = jax.random.split(as_key(key, "A DataTree holds draws; drawing from a closed form"))
            drawn = self.form.sample(draw_key, self._shape[0] * self._shape[1])
            draws = {name: value.reshape(*self._shape, *value.shape[1:]) for name, value in drawn.items()}
        else:
            draws = self.draws
        return to_datatree(
            self,
            draws,
            posterior_predictive=posterior_predictive,
            log_likelihood=log_likelihood,
            key=key,
            coords=coords,
        )

    def _title(self) -> str:
        how = {
            "exact": "Posterior in closed form",
            "laplace": "Normal approximation at the mode (Laplace)",
            "svi": "Variational approximation (SVI)",
            "map": "Mode of the posterior density",
        }.get(self.method, f"Posterior by {self.method.upper()}")
        if isinstance(self.form, Draws) and self.form.fresh is None:
            chains, count = next(iter(self.draws.values())).shape[:2]
            how += f": {chains} chain{'s' if chains > 1 else ''} of {count:,} draws"
        if self.log_evidence is not None:
            how += f"; log evidence {self.log_evidence:.6g} nats"
        return how

    def _size(self, name: str) -> int:
        """Of a site; one that the model does not tell is asked for its mean."""
        site = self.original.sites.get(name)
        return int(np.prod(site.shape, dtype=int)) if site is not None else int(np.size(self.form.mean(name)))

    def _shown(self) -> tuple[Summary, list[str]]:
        """A table of the first sites, and what is to be said below it."""
        sizes = {name: self._size(name) for name in self.sites}
        shown: list[str] = []
        for name, size in sizes.items():
            if sum(sizes[other] for other in shown) + size <= _SHOWN:
                shown.append(name)
        shown = shown or [self.sites[0]]
        table = self._table(tuple(shown), 0.94, _SHOWN)
        left = sum(sizes.values()) - len(table)
        more = [f"… and {left:,} more; summary() shows all."] if left else []
        return table, [*more, *(f"Warning: {warning}" for warning in self.warnings)]

    def __repr__(self) -> str:
        table, lines = self._shown()
        return "\n".join([str(table), *lines])

    def _repr_html_(self) -> str:
        table, lines = self._shown()
        return table._repr_html_() + "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def _count(value: Any, name: str) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is a whole number, at least 1; got {value!r}.")
    return int(value)


def _flat(value: np.ndarray) -> np.ndarray:
    return value.reshape(-1, *value.shape[2:])
