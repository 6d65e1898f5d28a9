"""Terms of random models: what a row's parameters are sums of, written in the many ways that people write them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


class Run:
    """One run of a model: its arrays by name, and what has been sampled so far, which several terms may share."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.arrays, self.drawn = arrays, {}

    def __getitem__(self, name: str) -> Any:
        return self.arrays[name]

    def sample(self, name: str, prior: Any, plate: int | None = None) -> Any:
        if name not in self.drawn:
            if plate is None:
                self.drawn[name] = numpyro.sample(name, prior)
            else:
                with numpyro.plate(f"{name}_plate", plate):
                    self.drawn[name] = numpyro.sample(name, prior)
        return self.drawn[name]


type Term = Callable[[Run], Any]


@dataclass(frozen=True)
class Traits:
    """What is known of a term: from which arrays rows get it, whether those have few values, whether it is affine, its columns."""

    keys: frozenset[str] = frozenset()
    discrete: bool = True
    affine: bool = True
    columns: int = 1

    def __or__(self, other: "Traits") -> "Traits":
        return Traits(
            self.keys | other.keys,
            self.discrete and other.discrete,
            self.affine and other.affine,
            self.columns + other.columns,
        )


OPAQUE = Traits(discrete=False, affine=False)
"""Of something that is expected to stay as it is."""


@dataclass(frozen=True)
class Factor:
    """A grouping: how many levels, and the array that tells the level of a row."""

    levels: int
    index: str


@dataclass
class Draft:
    """A model in the making: its rows, its arrays, and the words that describe it; `lines` are few terms, most with covariates."""

    rng: np.random.Generator
    shape: tuple[int, ...]
    lines: bool = False
    arrays: dict[str, Any] = field(default_factory=dict)
    factors: list[Factor] = field(default_factory=list)
    parents: dict[int, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    count: int = 0

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def pick(self, *options: Any) -> Any:
        return options[self.rng.integers(len(options))]

    def name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def say(self, words: str) -> None:
        self.words.append(words)

    def keep(self, prefix: str, array: Any) -> str:
        """Store an array, of NumPy or of JAX, and give it a name."""
        name = self.name(prefix)
        self.arrays[name] = jnp.asarray(array) if self.chance(0.3) else np.asarray(array)
        return name

    def some_shape(self) -> tuple[int, ...]:
        """The shape of the rows; where they have two axes, often only along one."""
        if len(self.shape) == 1 or self.chance(0.4):
            return self.shape
        return self.pick((self.shape[0], 1), (1, self.shape[1]))

    def levels(self, count: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """A level for every row, of some integer type."""
        drawn = self.rng.integers(0, count, self.some_shape() if shape is None else shape)
        return drawn.astype(self.pick(np.int32, np.int64, np.int64, np.uint8))

    def flags(self) -> np.ndarray:
        flags = self.rng.random(self.some_shape()) < self.rng.uniform(0.2, 0.8)
        return flags.astype(self.pick(bool, int, float))

    def numbers(self) -> np.ndarray:
        return self.rng.normal(self.pick(0.0, 0.0, 2.0), 1.0, self.some_shape())


def make_factors(draft: Draft) -> None:
    """None to three groupings; a later one may be nested in the first."""
    for _ in range(draft.rng.integers(0, 2 if draft.lines else 4)):
        levels, nested = int(draft.rng.integers(2, 4 if draft.lines else 9)), None
        index = draft.levels(levels)
        if draft.factors and draft.chance(0.3):
            nested = draft.factors[0]
            levels = 2 * nested.levels
            parent = np.arange(levels) % nested.levels
            above = np.asarray(draft.arrays[nested.index]) % nested.levels
            index = (above + nested.levels * draft.rng.integers(0, 2, above.shape)).astype(np.int64)
        elif draft.chance(0.2):
            levels += 2  # some without rows
        if index.dtype != np.uint8 and draft.chance(0.15):
            index = index - index.dtype.type(levels)
        factor = Factor(levels, draft.keep("index", index))
        if nested:
            draft.parents[len(draft.factors)] = draft.keep("parent", parent)
        draft.factors.append(factor)
        draft.say(f"{levels} levels" + (" nested in the first" if nested else ""))


def effect(draft: Draft, number: int) -> Callable[[Run], Any]:
    """A vector with an entry for each level, not yet gathered."""
    factor, name = draft.factors[number], draft.name("effect")
    levels, center, spread = factor.levels, draft.name("center"), draft.name("spread")
    normal, kind = dist.Normal(0.0, 0.5), draft.pick(*EFFECTS)
    if number in draft.parents and draft.chance(0.5):
        kind = "nested"
    draft.say(kind)

    def make(run: Run) -> Any:
        free = lambda: run.sample(name, normal.expand([levels]).to_event(1))
        match kind:
            case "iid":
                return free()
            case "plate":
                return run.sample(name, normal, plate=levels)
            case "centred":
                prior = dist.Normal(run.sample(center, normal), run.sample(spread, dist.HalfNormal(0.5)))
                return run.sample(name, prior, plate=levels)
            case "not centred":
                mean, sd = run.sample(center, normal), run.sample(spread, dist.LogNormal(-1.0, 0.3))
                return mean + sd * run.sample(name, normal, plate=levels)
            case "sum to zero":
                return free() - free().mean()
            case "walk":
                return jnp.cumsum(free())
            case "baseline":
                short = run.sample(name, normal.expand([levels - 1]).to_event(1))
                return jnp.concatenate([jnp.zeros(1), short])
            case "pinned":
                return free().at[0].set(0.0)
            case "nested":
                above = run.sample(center, normal.expand([draft.factors[0].levels]).to_event(1))
                return above[run[draft.parents[number]]] + 0.5 * free()

    return make


EFFECTS = ("iid", "plate", "centred", "not centred", "sum to zero", "walk", "baseline", "pinned")


def gather(draft: Draft, factor: Factor) -> Callable[[Run, Any], Any]:
    """From levels to rows."""
    kinds = ["index", "index", "take", "at", "where"]
    if np.asarray(draft.arrays[factor.index]).min() >= 0:
        kinds.append("indicators")
    kind, index = draft.pick(*kinds), factor.index
    if kind == "indicators":
        index = draft.keep("indicators", np.eye(factor.levels)[np.asarray(draft.arrays[factor.index])])
    draft.say(f"by {kind}")

    def make(run: Run, vector: Any) -> Any:
        match kind:
            case "index":
                return vector[run[index]]
            case "take":
                return jnp.take(vector, run[index] % factor.levels, axis=0)
            case "at":
                return vector.at[run[index]].get()
            case "indicators":
                return run[index] @ vector
            case "where":
                level = run[index] % factor.levels
                return jnp.where(level == 0, vector[0], vector[level])

    return make


def group_term(draft: Draft) -> tuple[Term, Traits]:
    number = int(draft.rng.integers(len(draft.factors)))
    factor = draft.factors[number]
    vector, gathered = effect(draft, number), gather(draft, factor)
    traits = Traits(frozenset([factor.index]), columns=factor.levels)
    if draft.chance(0.2):  # gathered first, then scaled and moved
        draft.say("gathered early")
        center, spread = draft.name("center"), draft.name("spread")
        prior = dist.LogNormal(-0.5, 0.3)
        return (
            lambda run: (
                run.sample(center, dist.Normal(0.0, 0.5)) + run.sample(spread, prior) * gathered(run, vector(run))
            ),
            traits,
        )
    return lambda run: gathered(run, vector(run)), traits


def table_term(draft: Draft) -> tuple[Term, Traits]:
    """Two groupings at once: a matrix."""
    i, j = (draft.factors[k] for k in draft.rng.choice(len(draft.factors), 2))
    name = draft.name("table")
    draft.say("table")
    prior = dist.Normal(0.0, 0.5).expand([i.levels, j.levels]).to_event(2)
    return (
        lambda run: run.sample(name, prior)[run[i.index], run[j.index]],
        Traits(frozenset([i.index, j.index]), columns=i.levels * j.levels),
    )


def covariate(draft: Draft) -> tuple[Callable[[Run], Any], Traits]:
    """A number for each row: of any value, of few values, or a flag."""
    kind = draft.pick("number", "few", "flag", "column", "product", "square")
    name = draft.keep(kind, draft.flags() if kind in ("flag", "product") else draft.numbers())
    few = Traits(frozenset([name]))
    draft.say(kind)
    match kind:
        case "few":
            draft.arrays[name] = draft.rng.choice([-1.0, 0.5, 2.0], np.shape(draft.arrays[name]))
            return lambda run: run[name], few
        case "flag":
            return lambda run: run[name] * 1.0, few
        case "column":
            draft.arrays[name] = draft.rng.normal(0.0, 1.0, (*np.shape(draft.arrays[name]), 3))
            return lambda run: run[name][..., 1], Traits(discrete=False)
        case "product":
            other = draft.keep("other", draft.numbers())
            return lambda run: run[name] * run[other], Traits(discrete=False)
        case "square":
            return lambda run: run[name] ** 2 / 4.0, Traits(discrete=False)
    return lambda run: run[name], Traits(discrete=False)


def slope_term(draft: Draft) -> tuple[Term, Traits]:
    """A slope for all rows."""
    x, traits = covariate(draft)
    name, prior = draft.name("slope"), draft.pick(dist.Normal(0.0, 0.3), dist.HalfNormal(0.3))
    return (
        draft.pick(lambda run: run.sample(name, prior) * x(run), lambda run: x(run) * jnp.exp(run.sample(name, prior))),
        traits,
    )


def varying_slope_term(draft: Draft) -> tuple[Term, Traits]:
    term, of_group = group_term(draft)
    x, of_x = covariate(draft)
    keys = of_group.keys | of_x.keys
    return lambda run: term(run) * x(run), Traits(keys, of_x.discrete, columns=of_group.columns)


def matrix_term(draft: Draft) -> tuple[Term, Traits]:
    """A design matrix: of numbers, or of flags."""
    flags, p = draft.chance(0.5), int(draft.rng.integers(2, 4))
    shape = (*draft.shape, p)
    X = draft.rng.integers(0, 2, shape).astype(float) if flags else draft.rng.normal(0.0, 1.0, shape)
    name, beta, how = draft.keep("X", X), draft.name("beta"), draft.pick("@", "dot", "einsum", "sum", "columns")
    prior = dist.Normal(0.0, 0.3).expand([p]).to_event(1)
    draft.say(f"matrix of {'flags' if flags else 'numbers'} by {how}")

    def make(run: Run) -> Any:
        X, b = run[name], run.sample(beta, prior)
        match how:
            case "@":
                return X @ b
            case "dot":
                return jnp.dot(X, b)
            case "einsum":
                return jnp.einsum("...p,p->...", X, b)
            case "sum":
                return (X * b.reshape((1,) * len(draft.shape) + (p,))).sum(-1)
            case "columns":
                return sum(X[..., j] * b[j] for j in range(p))

    return make, Traits(frozenset([name]), discrete=flags, columns=p)


def switch_term(draft: Draft) -> tuple[Term, Traits]:
    """One of two latent numbers, by a flag."""
    flag, how = draft.keep("flag", draft.flags()), draft.pick("where", "times", "compare")
    a, b, prior = draft.name("on"), draft.name("off"), dist.Normal(0.0, 0.5)
    draft.say(f"switch by {how}")

    def make(run: Run) -> Any:
        f, on, off = run[flag], run.sample(a, prior), run.sample(b, prior)
        match how:
            case "where":
                return jnp.where(jnp.asarray(f, bool), on, off)
            case "times":
                return on * f + off * (1 - f * 1)
            case "compare":
                return jnp.where(f * 1.0 > 0.5, on, 0.0) + off

    return make, Traits(frozenset([flag]), columns=2)


def correlated_term(draft: Draft) -> tuple[Term, Traits]:
    """Intercepts and slopes of groups that have a covariance."""
    factor = draft.factors[int(draft.rng.integers(len(draft.factors)))]
    x, of_x = covariate(draft)
    name, spread, corr = draft.name("pair"), draft.name("spread"), draft.name("corr")
    draft.say("correlated effects")

    def make(run: Run) -> Any:
        scale = run.sample(spread, dist.LogNormal(-1.0, 0.3).expand([2]).to_event(1))
        factor_of = scale[:, None] * run.sample(corr, dist.LKJCholesky(2, 2.0))
        pairs = run.sample(name, dist.MultivariateNormal(jnp.zeros(2), scale_tril=factor_of), plate=factor.levels)
        return pairs[run[factor.index], 0] + pairs[run[factor.index], 1] * x(run)

    return make, Traits(of_x.keys | {factor.index}, of_x.discrete, columns=2 * factor.levels)


def offset_term(draft: Draft) -> tuple[Term, Traits]:
    """Known numbers, of any value or of few."""
    few = draft.chance(0.4)
    values = draft.numbers()
    name = draft.keep("offset", np.sign(values) * 0.5 if few else values)
    draft.say("offset of few values" if few else "offset")
    return lambda run: run[name], Traits(frozenset([name]), discrete=few, columns=0)


def product_term(draft: Draft) -> tuple[Term, Traits]:
    """Latent times latent: not affine in either, but in their product."""
    one, of_one = group_term(draft)
    two, of_two = switch_term(draft)
    return lambda run: one(run) * two(run), Traits(of_one.keys | of_two.keys, affine=False)


def bent_term(draft: Draft) -> tuple[Term, Traits]:
    """Something that is not affine in what is latent."""
    x, traits = covariate(draft)
    name = draft.name("bent")
    draft.say("bent")
    return lambda run: jnp.tanh(run.sample(name, dist.Normal(0.0, 1.0)) * x(run)), Traits(
        traits.keys, traits.discrete, affine=False
    )


def odd_term(draft: Draft) -> tuple[Term, Traits]:
    """Rows that look at each other, or that have latent numbers of their own."""
    term, _ = group_term(draft) if draft.factors else switch_term(draft)
    kind, name = draft.pick("row effects", "mean", "roll", "sort", "cumsum", "flip"), draft.name("odd")
    draft.say(kind)

    def make(run: Run) -> Any:
        value = jnp.broadcast_to(term(run), draft.shape)
        match kind:
            case "row effects":
                shape = draft.shape
                return value + run.sample(name, dist.Normal(0.0, 0.3).expand(shape).to_event(len(shape)))
            case "mean":
                return value - value.mean()
            case "roll":
                return jnp.roll(value, 1, axis=0)
            case "sort":
                return jnp.sort(value, axis=0)
            case "cumsum":
                return jnp.cumsum(value, axis=0) / 10.0
            case "flip":
                return value[::-1]

    return make, OPAQUE


def intercept(draft: Draft) -> tuple[Term, Traits]:
    name, kind = draft.name("intercept"), draft.pick("scalar", "scalar", "vector")
    normal = dist.Normal(0.0, 0.5)
    if kind == "vector" and len(draft.shape) == 1:
        draft.say("intercept as a vector of one")
        return lambda run: run.sample(name, normal.expand([1]).to_event(1)), Traits()
    draft.say("intercept")
    return lambda run: run.sample(name, normal), Traits()


def predictor(draft: Draft, most: int = 4, shared: list[tuple[Term, Traits]] | None = None) -> tuple[Term, Traits]:
    """A sum of terms."""
    alone = [slope_term, switch_term, matrix_term, offset_term, slope_term]
    grouped = [group_term, group_term, group_term, varying_slope_term, correlated_term, table_term, product_term]
    if draft.lines:
        grouped, most = [group_term, varying_slope_term, varying_slope_term, correlated_term], min(most, 3)
    parts = [intercept(draft)] if draft.chance(0.8) else []
    for _ in range(draft.rng.integers(0 if parts and not draft.lines else 1, most)):
        kinds = grouped + alone if draft.factors else alone
        kind = draft.pick(*kinds)
        if draft.chance(0.05):
            kind = draft.pick(bent_term, odd_term)
        parts.append(kind(draft))
    if shared and draft.chance(0.6):
        term, traits = shared[int(draft.rng.integers(len(shared)))]
        loading = draft.name("loading")
        draft.say("a term of the other outcome")
        parts.append((lambda run: run.sample(loading, dist.Normal(0.0, 1.0)) * term(run), traits))
    signs = draft.rng.choice([1.0, 1.0, 1.0, -0.5], len(parts))
    if shared is not None:
        shared.extend(parts)

    def make(run: Run) -> Any:
        total = 0.0
        for sign, (term, _) in zip(signs, parts):
            value = term(run)
            total = total + value if sign == 1.0 else total + sign * value
        return total

    traits = Traits(columns=0)
    for _, of_part in parts:
        traits = traits | of_part
    return make, traits
