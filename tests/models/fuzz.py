"""Random NumPyro models of small tables, and whether `compress` leaves their posteriors as they are.

    python -m tests.models.fuzz --seeds 500

prints how many observed sites were rewritten, by family and rule, and every model whose posterior has changed.
"""

import argparse
import contextlib
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import handlers
from tests.models.case import LOOSE
from tests.models.fuzz_families import LIKELIHOODS, Likelihood, normal
from tests.models.fuzz_terms import Draft, Run, Term, Traits, make_factors, predictor
from tests.models.oracle import double_precision, evaluate, latents, ranks_kept, scattered_points

from surprax.models import rules


@dataclass(frozen=True)
class Description:
    """A model in words; for each outcome its family, and whether a rewrite is to be expected."""

    text: str
    families: dict[str, str]
    promised: dict[str, bool]

    @property
    def tolerance(self) -> float:
        """As of the cases: NumPyro's negative binomial keeps six or seven digits."""
        return LOOSE if "NegativeBinomial2" in self.families.values() else 1e-6

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class _Outcome:
    """One observed site: its predictor, its likelihood, and what stands around it."""

    site: str
    data: str
    predictor: Term
    likelihood: Likelihood
    contexts: tuple[Callable[[Run], Any], ...]
    masked: str | None
    unseen: str | None
    plates: str
    named: bool

    def observe(self, run: Run, shape: tuple[int, ...]) -> None:
        eta = self.predictor(run)
        if self.named:
            eta = numpyro.deterministic(f"{self.site}_predictor", eta)
        fn = self.likelihood.make(eta, run)
        if self.plates == "event":
            event = jnp.broadcast_shapes(fn.batch_shape, shape)
            fn = fn.expand(event).to_event(len(event))
        if self.masked is not None:
            fn = fn.mask(run[self.masked])
        unseen = {} if self.unseen is None else {"obs_mask": run[self.unseen]}
        with contextlib.ExitStack() as stack:
            for context in self.contexts:
                stack.enter_context(context(run))
            if self.plates == "plates":
                for axis, length in enumerate(shape):
                    stack.enter_context(numpyro.plate(f"{self.site}_axis{axis}", length, dim=axis - len(shape)))
            numpyro.sample(self.site, fn, obs=run[self.data], **unseen)


def _handlers(draft: Draft) -> tuple[tuple[Callable[[Run], Any], ...], str | None]:
    """Weights and masks, of rows or of all."""
    contexts, masked = [], None
    if draft.chance(0.15):
        name = draft.keep("weights", draft.rng.uniform(0.2, 2.0, draft.some_shape()))
        draft.say("weights")
        contexts.append(lambda run: handlers.scale(scale=run[name]))
    if draft.chance(0.1):
        draft.say("tempered")
        contexts.append(lambda run: handlers.scale(scale=0.4))
    if draft.chance(0.15):
        seen = draft.keep("seen", draft.rng.random(draft.shape) < 0.7)
        draft.say("mask")
        if draft.chance(0.3):
            masked = seen
        else:
            contexts.append(lambda run: handlers.mask(mask=run[seen]))
    if draft.chance(0.04):
        draft.say("mask for all")
        on = draft.chance(0.5)
        contexts.append(lambda run: handlers.mask(mask=on))
    return tuple(contexts), masked


def _promised(draft: Draft, traits: Traits, likelihood: Likelihood, data: np.ndarray) -> bool:
    """Whether rows fall into cells fewer than a fifth of them, or are Gaussian with few columns."""
    if likelihood.gaussian and traits.affine and likelihood.traits.affine and likelihood.traits.discrete:
        scales = len(likelihood.traits.keys) * 8 or 1
        if scales * (traits.columns + 1) ** 2 * 3 <= data.size:
            return True
    both = traits | likelihood.traits
    if not both.discrete:
        return False
    keys = [np.asarray(draft.arrays[name], float) for name in sorted(both.keys)]
    keys = [key if key.ndim == data.ndim else key.reshape(*key.shape[: data.ndim], -1) for key in keys]
    columns = [
        np.broadcast_to(
            k if k.ndim > data.ndim else k[..., None], (*data.shape, k.shape[-1] if k.ndim > data.ndim else 1)
        )
        for k in keys
    ]
    if not likelihood.exponential:
        columns.append(np.asarray(data, float)[..., None])
    if not columns:
        return True
    cells = np.unique(np.concatenate(columns, axis=-1).reshape(data.size, -1), axis=0)
    return 5 * len(cells) <= data.size


def random_model(seed: int) -> tuple[Callable[..., None], tuple, dict[str, Any], Description]:
    """A model, arguments, keywords, and a description of it; the same for the same seed.

    Some arrays come as arguments, some as keywords, and others the model knows by itself. Three in ten are normal rows around
    a few terms with covariates, which would be rare otherwise.
    """
    rng = np.random.default_rng(seed)
    lines = bool(rng.random() < 0.3)
    rows = int(rng.integers(100, 161) if lines else rng.integers(40, 121))
    shape = (rows,) if rng.random() < 0.8 else (rows // 4, int(rng.integers(2, 5)))
    draft = Draft(rng, shape, lines)
    draft.say(f"rows {shape}")
    make_factors(draft)
    outcomes, families, promised, shared = [], {}, {}, []
    for number in range(2 if draft.chance(0.25) else 1):
        site = f"y{number}"
        draft.say(f"\n  {site}:")
        eta, traits = predictor(draft, shared=shared)
        draft.say("->")
        likelihood = (normal if lines else draft.pick(*LIKELIHOODS))(draft)
        draft.say(likelihood.name)
        contexts, masked = _handlers(draft)
        unseen = None
        if not (contexts or masked or likelihood.discrete) and draft.chance(0.06):
            draft.say("obs_mask")
            unseen = draft.keep("seen", rng.random(shape) < 0.8)
        plates = draft.pick("plates", "plates", "plates", "none")
        if not (contexts or masked or unseen) and draft.chance(0.05):
            plates = "event"
        draft.say({"plates": "in plates", "none": "without plates", "event": "as one event"}[plates])
        data = draft.keep("data", likelihood.data)
        named = draft.chance(0.15)
        outcomes.append(_Outcome(site, data, eta, likelihood, contexts, masked, unseen, plates, named))
        name = site if unseen is None else f"{site}_observed"
        families[name] = likelihood.name
        plain = plates != "event" and "mask for all" not in draft.words
        promised[name] = plain and _promised(draft, traits, likelihood, likelihood.data)

    penalty = draft.chance(0.1)
    names = list(draft.arrays)
    kinds = dict(zip(names, rng.choice(["closed over", "argument", "keyword"], len(names)).tolist()))
    positional = [name for name in names if kinds[name] == "argument"]
    closed = {name: draft.arrays[name] for name in names if kinds[name] == "closed over"}

    def model(*args: Any, **kwargs: Any) -> None:
        run = Run({**closed, **dict(zip(positional, args)), **kwargs})
        for outcome in outcomes:
            outcome.observe(run, shape)
        if penalty:
            numpyro.factor("penalty", -0.1 * sum(jnp.sum(value**2) for value in run.drawn.values()))

    args = tuple(draft.arrays[name] for name in positional)
    kwargs = {name: draft.arrays[name] for name in names if kinds[name] == "keyword"}
    return model, args, kwargs, Description(f"{seed}: " + " ".join(draft.words), families, promised)


@dataclass(frozen=True)
class Verdict:
    """What became of one random model: the rule of each outcome, why none, and how the posterior has changed, if it has."""

    description: Description
    rules: dict[str, str | None] = field(default_factory=dict)
    reasons: dict[str, str | None] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


def judge(seed: int, count: int = 3) -> Verdict:
    """Compress one random model and hold it against the plain one, in float64 at a few points."""
    import surprax as sx

    with double_precision():
        model, args, kwargs, description = random_model(seed)
        at = scattered_points(model, args, kwargs, count, seed)
        plain = evaluate(model, args, kwargs, at)
        assert np.all(np.isfinite(plain.log_densities)), f"{description}: {plain.log_densities}"
        ranks = ranks_kept(model, args, kwargs, at[0])
        theirs = latents(
            model, args, kwargs
        )  # NumPyro draws values for that, which may promote ranks where energies do not
    try:
        with double_precision(ranks):
            fast = sx.compress(model, *args, **kwargs)
            values = evaluate(fast, (), {}, at, reference=(model, args, kwargs))
            same_latents = latents(fast) == theirs
            offset = float(fast.log_offset)
    except Exception as error:
        return Verdict(description, failures=(f"{type(error).__name__}: {error}",))
    failures = plain.disagreements(values, description.tolerance)
    if not (miss := plain.offset_error(values, offset)) <= description.tolerance:
        failures.append(f"log_offset misses by {miss} of the magnitude")
    if not same_latents:
        failures.append("latent sites are others")
    planned = {site.name: site for site in fast.plan.sites}
    rules = {name: planned[name].rule for name in description.families}
    reasons = {name: planned[name].reason for name in description.families}
    return Verdict(description, rules, reasons, tuple(failures))


def report(verdicts: list[Verdict]) -> str:
    """A table of families by rule, what was expected to be rewritten and was not, and failures."""
    rules = Counter((v.description.families[site], rule) for v in verdicts for site, rule in v.rules.items())
    columns = [*sorted({rule for _, rule in rules if rule}), None]
    rows = [("family", [rule or "left as it is" for rule in columns])]
    rows += [(family, [str(rules[family, rule]) for rule in columns]) for family in sorted({name for name, _ in rules})]
    lines = [name.ljust(18) + "".join(cell.rjust(18) for cell in cells) for name, cells in rows]
    promised, kept, others = fractions(verdicts)
    lines.append(
        f"{sum(rules.values())} observed sites: of {promised} expected to be rewritten {kept} were, and {others} others"
    )
    for v in verdicts:
        for site, rule in v.rules.items():
            if v.description.promised[site] and rule is None:
                lines.append(f"left as it is, because {v.reasons[site]}: {site} of {v.description}")
    failed = [v for v in verdicts if v.failures]
    lines.append(f"{len(failed)} of {len(verdicts)} models failed")
    lines += [f"{v.description}\n    " + "\n    ".join(v.failures[:3]) for v in failed]
    return "\n".join(lines)


def fractions(verdicts: list[Verdict]) -> tuple[int, int, int]:
    """How many sites were expected to be rewritten, how many of them were, and how many others."""
    found = [(v.description.promised[site], rule is not None) for v in verdicts for site, rule in v.rules.items()]
    return sum(p for p, _ in found), sum(p and r for p, r in found), sum(r and not p for p, r in found)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.models.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100, help="how many models")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--show", action="store_true", help="only describe the models")
    options = parser.parse_args()
    rules.FEWEST = 0  # these models are small
    jax.config.update("jax_numpy_rank_promotion", "raise")
    verdicts = []
    for seed in range(options.first, options.first + options.seeds):
        if options.show:
            print(random_model(seed)[3])
            continue
        verdicts.append(judge(seed))
        if verdicts[-1].failures:
            print(f"{verdicts[-1].description}\n    {verdicts[-1].failures[0]}", file=sys.stderr, flush=True)
        if seed % 20 == 19:
            print(f"{seed + 1 - options.first} of {options.seeds}", file=sys.stderr, flush=True)
            jax.clear_caches()  # every program maps memory, of which a process has only so much
    if verdicts:
        print(report(verdicts))
    return int(any(v.failures for v in verdicts))


if __name__ == "__main__":
    sys.exit(main())
