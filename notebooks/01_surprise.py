# %% [markdown]
# # 1 · Surprise
#
# A probability is a number between 0 and 1 that multiplies. Its *surprise*, s = log 1/p, is a number between 0 and ∞ that adds.
# This notebook computes what that buys.
#
# It is one plain file: run it as a script (pictures go to the folder `play/`), open it as a notebook (Jupyter with jupytext, or
# VS Code), or let `make test` run it. Every claim is followed by the line that checks it.

# %%

import jax
import jax.numpy as jnp
import numpy as np

import surprax as sx
from surprax.plots import curves, show

jax.config.update("jax_enable_x64", True)  # this notebook compares digits


def bits(value):
    return round(float(value), 3)


# %% [markdown]
# ## Four axioms
#
# Surprise is continuous, 0 at certainty, infinite at impossibility, and it adds over independent events. Up to the unit, log 1/p is
# the only such function.

# %%
print("certain   ", sx.surprise(1.0, "bit"))
print("impossible", sx.surprise(0.0, "bit"))
die, coin, both = (sx.surprise(p, "bit") for p in (1 / 6, 1 / 2, 1 / 12))
print("a die and a coin", bits(die), "+", bits(coin), "=", bits(both))
assert np.isclose(sx.surprise(1 / 6) + sx.surprise(1 / 2), sx.surprise(1 / 12))

# %% [markdown]
# ## "Nothing surprises me" is not allowed
#
# Somebody who claims surprises S(x) spends a budget: Σ 2^−S(x) may not exceed 1 (Kraft). With Z = Σ 2^−S and q = 2^−S / Z,
#
# E_p[S] = H(p) + KL(p ‖ q) + log 1/Z: what is noise, what is wrong, and what is incoherent.

# %%
p = np.array([0.5, 0.3, 0.2])
claimed = np.array([1.2, 2.5, 3.0])
Z = float(np.sum(sx.probability(claimed, "bit")))
truth = sx.Categorical(probs=p)
player = sx.Categorical(probs=np.asarray(sx.probability(claimed, "bit")) / Z)

noise, wrong, incoherent = truth.entropy("bit"), truth.kl(player, "bit"), sx.surprise(Z, "bit")
print(f"Z = {Z:.3f}")
print(
    f"noise {bits(noise)} + wrongness {bits(wrong)} + incoherence {bits(incoherent)} = {bits(noise + wrong + incoherent)} bit"
)
assert np.isclose(noise + wrong + incoherent, p @ claimed)
assert bits(p @ claimed) == 1.95

# %% [markdown]
# ## Units
#
# A *bit* is a fair toss; a *ban* a decimal digit; a *deciban*, a tenth of it, is about the smallest weight of evidence that
# a person can feel. A 100 × 100 image of 8 bits is, under the uniform distribution, as surprising as its size says.

# %%
print(
    "1 ban     =",
    round(float(sx.convert(1.0, "ban", "nat")), 6),
    "nat =",
    round(float(sx.convert(1.0, "ban", "bit")), 6),
    "bit",
)
print("1 deciban =", round(float(sx.convert(1.0, "deciban", "bit")), 6), "bit")
image = 100 * 100 * sx.surprise(1 / 256, "bit")
print("an image  =", round(float(image)), "bit = 10 to the minus", int(sx.convert(image, "bit", "ban")))
assert round(float(image)) == 80_000

# %% [markdown]
# ## Once a year, once a millennium
#
# As probabilities of a day the two hardly differ. As surprises they are ten bits apart: 1,000 times rarer.

# %%
year, millennium = 1 / 365.25, 1 / 365_250
print(f"difference in probability {year - millennium:.4f}")
print(f"surprise {bits(sx.surprise(year, 'bit'))} against {bits(sx.surprise(millennium, 'bit'))} bit")
assert np.isclose(sx.surprise(millennium, "bit") - sx.surprise(year, "bit"), np.log2(1000))

# %% [markdown]
# ## Products underflow, sums do not
#
# The probability of a sequence of fair tosses reaches 0 after 150 of them in float32, and after 1,075 in float64. Its surprise is
# the number of tosses. (Why not 1/p instead? It overflows just as early, and it does not add.)

# %%
for dtype in (np.float32, np.float64):
    product, tosses = dtype(1), 0
    while product > 0:
        product, tosses = dtype(product * dtype(0.5)), tosses + 1
    print(
        f"{dtype.__name__}: the product is 0 after {tosses} tosses; the surprise is {bits(tosses * sx.surprise(0.5, 'bit'))} bit"
    )

# %% [markdown]
# ## Two things are called surprise
#
# −log p(x), the surprise of the data (Shannon); and KL(posterior ‖ prior), how far they move a belief (Bayesian surprise). One
# success, seen from a uniform prior Beta(1, 1), which it turns into Beta(2, 1):

# %%
prior, posterior = sx.Beta(1.0, 1.0), sx.Beta(2.0, 1.0)
shannon, bayesian = sx.surprise(prior.mean), posterior.kl(prior)
print(f"Shannon {bits(shannon)} nat, Bayesian {bits(bayesian)} nat")
assert (bits(shannon), bits(bayesian)) == (0.693, 0.193)

# %% [markdown]
# ## Which one is Gaussian?
#
# Four bell curves on [−4, 4], made equally high: normal, logistic, Cauchy, and a beta stretched over the interval. As densities
# they are hard to tell apart. As surprises, nobody can mistake them: **the Gaussian is the parabola.**

# %%
peak = float(jnp.exp(sx.Normal(0.0, 1.0).log_prob(0.0)))
low, high = 1.0, 100.0  # bisection: the higher a, the higher the peak
for _ in range(80):
    a = (low + high) / 2
    low, high = (a, high) if float(sx.Beta(a, a).log_prob(0.5)) - np.log(8) < np.log(peak) else (low, a)

bells = {
    "normal": lambda x: sx.Normal(0.0, 1.0).log_prob(x),
    "logistic": lambda x: sx.Logistic(0.0, 1 / (4 * peak)).log_prob(x),
    "cauchy": lambda x: sx.Cauchy(0.0, 1 / (np.pi * peak)).log_prob(x),
    "beta": lambda x: sx.Beta(a, a).log_prob((x + 4) / 8) - np.log(8),
}
x = np.linspace(-4, 4, 801)
show(curves(x, {name: np.asarray(bell(x)) for name, bell in bells.items()}), "four_bell_curves.png")

# %%
for name, bell in bells.items():
    gap = np.max(np.abs(np.exp(bell(x)) - np.exp(bells["normal"](x))))
    at_3, at_edge = (sx.surprise(log_prob=bell(v), unit="bit") for v in (3.0, 3.99))
    print(
        f"{name:<9} differs from the normal density by at most {gap:.3f}; at 3: {at_3:5.2f} bit, at 3.99: {at_edge:5.1f} bit"
    )

assert [round(float(sx.surprise(log_prob=bell(3.0), unit="bit")), 2) for bell in bells.values()] == [
    7.82,
    6.26,
    5.25,
    9.97,
]

# %% [markdown]
# ## Impossible, and never settled
#
# Beyond ±4 the beta calls everything impossible: surprise +∞, and no amount of other evidence brings it back. The Cauchy errs on
# the other side: it is surprised by nothing much, and its sample variance never settles.

# %%
print("the beta at 4.1:", sx.surprise(log_prob=bells["beta"](4.1)))
draws = np.asarray(sx.Cauchy(0.0, 1.0).sample(jax.random.key(0), (1_000_000,)))
for n in (100, 1_000, 10_000, 100_000, 1_000_000):
    print(f"variance of the first {n:>9,} Cauchy draws: {draws[:n].var():>16,.0f}")

# %% [markdown]
# ## A Gaussian's surprise is squared error, a Laplace's is absolute error
#
# A parabola has a constant second difference. So squared error *is* Gaussian surprise, less a constant of 1.326 bit (σ = 1), and
# absolute error is Laplace surprise less 1 bit (b = 1): to choose a loss is to choose a distribution.

# %%
second = np.diff(np.asarray(sx.Normal(0.0, 1.0).surprise(x)), 2) / (x[1] - x[0]) ** 2
print("second difference of the Gaussian's surprise: from", second.min().round(6), "to", second.max().round(6))
assert np.allclose(second, 1.0, atol=1e-6)

squared = x**2 / 2 / np.log(2)
absolute = np.abs(x) / np.log(2)
print(
    "Gaussian surprise − squared error  =",
    bits(sx.Normal(0.0, 1.0).surprise(0.7, "bit") - 0.7**2 / 2 / np.log(2)),
    "bit",
)
print("Laplace surprise − absolute error  =", bits(sx.Laplace(0.0, 1.0).surprise(0.7, "bit") - 0.7 / np.log(2)), "bit")
assert np.allclose(sx.Normal(0.0, 1.0).surprise(x, "bit") - squared, np.log2(np.sqrt(2 * np.pi)))
assert np.allclose(sx.Laplace(0.0, 1.0).surprise(x, "bit") - absolute, 1.0)

# %% [markdown]
# ## The game
#
# Total surprise settles a debate that proof cannot: everybody puts a probability on everything, and whoever was least surprised by
# what happened wins. The players here are families of distributions; each is scored on rows that it has not seen.

# %%
heights = 170 + 7 * np.asarray(sx.Normal(0.0, 1.0).sample(jax.random.key(1), (500,)))
board = sx.play([sx.Normal, sx.Logistic, sx.Cauchy, sx.Laplace], heights, name="height")
print(board)
show(board.plot(), "heights.png")
