"""`plan` and `compress`: read, rewrite, prove, explain."""

import os
import warnings
from collections.abc import Callable
from typing import Any

from surprax.models.certificate import Certificate, Comparison, Near, Told, comparison
from surprax.models.compressed import Compressed, rewrite
from surprax.models.explanation import Plan

__all__ = ["CompressionWarning", "Unproved", "compress", "plan"]

GAIN = 0.5
"""At most this share of the rows may be left of a site: a rewrite that saves less is not worth one."""


class CompressionWarning(UserWarning):
    """A rewrite was dropped because it did not agree with the plain model; or the model indexes arrays beyond their ends."""


_PACKAGE = os.path.dirname(os.path.dirname(__file__))


def compress(model: Callable[..., Any], *args: Any, **kwargs: Any) -> Compressed:
    """A NumPyro model without arguments that has the latent sites and the posterior of `model`, at a cost free of its rows.

    The observed sites of the model, run with these arguments, are replaced by what their likelihood depends on: evidence of all
    rows, by cell of rows with the same parameters, of the columns of a Gaussian linear model, or counts of distinct rows. A site
    for which no rule holds stays as it is. Every rewrite is compared with the plain model in float64 (`certificate`), and dropped
    with a warning if the two disagree.

    Args:
        model: a NumPyro model: a function with `numpyro.sample` statements.
        args, kwargs: its arguments, the observations among them.

    Returns:
        A model for NUTS, SVI, autoguides and `log_density`, called without arguments. `.plan` explains it, `.certificate` is the
        proof; `.model` and `.args` are it as a function of small arrays, `.log_offset` (in nats) the constant that its log-density
        leaves out.

    Raises:
        TypeError: where `model` is no function.
        ValueError: where it has no sites.

    >>> import jax, numpy as np, numpyro
    >>> import numpyro.distributions as dist
    >>> def model(x):
    ...     rate = numpyro.sample("rate", dist.Exponential(1.0))
    ...     with numpyro.plate("rows", len(x)):
    ...         numpyro.sample("x", dist.Poisson(rate), obs=x)
    >>> x = np.random.default_rng(0).poisson(3.0, 10_000)
    >>> fast = compress(model, x)
    >>> log_density = numpyro.infer.util.log_density
    >>> plain = log_density(model, (x,), {}, {"rate": 2.9})[0] - log_density(model, (x,), {}, {"rate": 3.0})[0]
    >>> quick = log_density(fast, (), {}, {"rate": 2.9})[0] - log_density(fast, (), {}, {"rate": 3.0})[0]
    >>> print(f"{abs(plain - quick) < 0.1}, {fast.plan['x'].rule}")
    True, identical rows
    """
    return _with_doubts(prepared(model, args, kwargs))


def plan(model: Callable[..., Any], *args: Any, **kwargs: Any) -> Plan:
    """What `compress` does with each site of a model, and why: print it.

    For each observed site: the rule, how many rows become how many numbers, how many numbers an evaluation of the gradient reads
    before and after, or what stands in the way. Costs a pass or two over the data, and the certificate's few evaluations of the
    plain model (of a part of the rows, where they are very many).

    Args:
        model, args, kwargs: as for `compress`.

    Raises:
        TypeError, ValueError: as `compress`.

    >>> import numpy as np, numpyro
    >>> import numpyro.distributions as dist
    >>> def model(x):
    ...     rate = numpyro.sample("rate", dist.Exponential(1.0))
    ...     with numpyro.plate("rows", len(x)):
    ...         numpyro.sample("x", dist.Poisson(rate), obs=x)
    >>> plan(model, np.random.default_rng(0).poisson(3.0, 10_000))["x"].detail
    'Poisson evidence'
    """
    return _with_doubts(prepared(model, args, kwargs)).plan


def _with_doubts(compressed: Compressed) -> Compressed:
    for doubt in compressed.doubts:
        _warn(doubt)
    return compressed


def _warn(sentence: str) -> None:
    """Told of the line of the user's program that has come here."""
    warnings.warn(sentence, CompressionWarning, skip_file_prefixes=(_PACKAGE,))


def prepared(
    model: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], gain: float = GAIN
) -> Compressed:
    """Rewritten and proved, at a given least gain."""
    return Unproved(model, args, kwargs, gain).proved()


class Unproved:
    """A model that is rewritten, and not yet compared with the plain one.

    Attributes:
        compressed: the rewritten model, not yet proved.
    """

    def __init__(
        self, model: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], gain: float = GAIN
    ) -> None:
        self._original, self._gain = (model, args, kwargs), gain
        self._dropped: set[str] = set()
        self._comparisons: list[Comparison | None] = []
        self.compressed = self._rewritten(*self._original)

    def _rewritten(self, model: Any, args: Any, kwargs: Any) -> Compressed:
        reason = "its compressed form disagreed with the plain model"
        return rewrite(model, args, kwargs, self._gain).without(self._dropped, reason)

    def begin(self, told: Told | None = None) -> None:
        """Begin the comparison: its programs are compiled while others go on.

        Args:
            told: the energy of `compressed` by the program of a sampler, if there is one.
        """
        self._comparisons.append(comparison(self.compressed, self._rewritten, told))

    def proved(self, near: Near | None = None) -> Compressed:
        """The model proved: `compressed`, or, with a warning, another one where sites that disagreed are as they were.

        Args:
            near: the mode, if it is known.
        """
        if not self._comparisons:
            self.begin()
        begun = self._comparisons.pop()
        certificate = None if begun is None else begun.certificate(near)
        if certificate is not None and not certificate.holds:
            wrong = [name for name, error in certificate.errors.items() if not error <= certificate.tolerance]
            _warn(_complaint(wrong, certificate, indices=bool(self.compressed.doubts)))
            self._dropped.update(wrong)
            self.compressed = self._rewritten(*self._original)
            return self.proved()
        self.compressed.certificate = certificate
        return self.compressed


def _complaint(names: list[str], certificate: Certificate, *, indices: bool) -> str:
    """`indices`: whether some are beyond the end of what they are of."""
    if indices:
        why = "Indices beyond the end of an array are why: the value that JAX takes there has no gradient."
    else:
        why = (
            "A model that draws from numpy.random is another one at each call: draw what it needs beforehand. Any other model,"
            " please report: this should not happen."
        )
    return (
        f"The compressed form of {', '.join(map(repr, names))} must agree with the plain model to {certificate.tolerance:g}; it is"
        f" {certificate.error:.2g} off at random points, and is not used. {why}"
    )
