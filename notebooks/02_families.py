# %% [markdown]
# # 2 · Families
#
# An exponential family is a family whose surprise is *linear* in statistics of the data. Nearly all that is pleasant about
# such families follows from this one fact: data shrink to a vector, learning is addition, and the distance between two members
# is the gap between a curve and its tangent. This notebook draws each of these, and ends with digits: what is left of them in
# float32.
#
# It is one plain file: run it as a script (pictures go to the folder `play/`), open it as a notebook (Jupyter with jupytext,
# or VS Code), or let `make test` run it. Every claim is followed by the line that checks it.

# %%

import jax
import numpy as np
import numpyro.distributions as npd
from matplotlib.figure import Figure
from scipy import special, stats

import surprax as sx
from surprax.plots import show

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"


# %% [markdown]
# ## Surprise that is linear
#
# s(x | η) = A(η) − ⟨η, T(x)⟩ − log h(x). For the gamma distribution T(x) = (log x, x) and h = 1: drawn over x its surprise is
# a curve; drawn over the plane of the two statistics it is a tilted plane, with straight and parallel level lines. The mean of
# many surprises is therefore the surprise at the *mean of the statistics*: a point is all that data are.

# %%
gamma = sx.Gamma(3.0, 1.0)
x = np.asarray(gamma.sample(jax.random.key(0), (60,)), np.float64)
eta, A = np.asarray(gamma.natural, np.float64), float(gamma.log_normalizer)


def surprise_at(log_x, x):
    """In bits, at any point of the plane, whether or not it is a T(x)."""
    return (A - eta[0] * log_x - eta[1] * x) / np.log(2)


T = np.asarray(gamma.sufficient_statistics(x), np.float64)
center = T.mean(axis=0)
mean_surprise = float(np.mean(gamma.surprise(x, "bit")))
print(f"mean of {len(x)} surprises      {mean_surprise:.4f} bit")
print(f"surprise at the mean of T  {surprise_at(*center):.4f} bit")
assert np.allclose(gamma.surprise(x, "bit"), surprise_at(*T.T), atol=1e-5)
assert np.isclose(mean_surprise, surprise_at(*center), atol=1e-5)

# %%
figure = Figure(figsize=(11, 4.6), layout="constrained")
left, right = figure.subplots(1, 2)
grid = np.geomspace(0.12, 10.0, 400)
left.plot(grid, gamma.surprise(grid, "bit"), color=BLUE, linewidth=1.8)
left.plot(x, gamma.surprise(x, "bit"), "o", color=RED, markersize=4, alpha=0.6, label="60 observations")
left.axhline(mean_surprise, color=GREEN, linestyle=(0, (5, 2)), label=f"their mean, {mean_surprise:.2f} bit")
left.set_title("over x, surprise is a curve", pad=18)
left.set(xlabel="x", ylabel="surprise (bits)", xlim=(0, 10), ylim=(1.5, 7))
left.legend(frameon=False, loc="upper center")

X, L = np.meshgrid(np.linspace(0, 10, 200), np.linspace(-2.2, 2.6, 200))
S = surprise_at(L, X)
right.contour(X, L, S, levels=np.arange(-2, 20), colors=GREY, linewidths=0.8, linestyles="solid", alpha=0.5)
right.contour(X, L, S, levels=[mean_surprise], colors=GREEN, linestyles="dashed")
for bits in range(0, 16, 2):  # where each second line leaves the frame: at the top, or on the right
    at_top = (bits * np.log(2) - A + 2.6 * eta[0]) / -eta[1]
    at_right = (A - 10 * eta[1] - bits * np.log(2)) / eta[0]
    place, pull = ((at_top, 2.66), ("center", "bottom")) if at_top < 9.8 else ((10.1, at_right), ("left", "center"))
    right.text(*place, f"{bits} bits", ha=pull[0], va=pull[1], fontsize=9, color=GREY)
right.plot(grid, np.log(grid), color=BLUE, linewidth=1.8, label="T(x) = (x, log x)")
right.plot(T[:, 1], T[:, 0], "o", color=RED, markersize=4, alpha=0.6)
right.plot(center[1], center[0], "D", color=GREEN, markersize=9, markeredgecolor="white", label="mean of T")
right.set(xlabel="x", ylabel="log x", xlim=(0, 10), ylim=(-2.2, 2.6))
right.set_title("over its statistics, a tilted plane", pad=18)
right.legend(frameon=True, framealpha=0.9, edgecolor="none", loc="lower right")
show(figure, "linear_surprise.png")

# %% [markdown]
# ## So data shrink to a vector
#
# `evidence` keeps that vector (in coordinates that lose no digits), and the likelihood of any member is read off it. A million
# rows or ten: the same few numbers, which add over shards and subtract again.

# %%
rows = np.asarray(gamma.sample(jax.random.key(1), (1_000_000,)))
whole = sx.Gamma.evidence(rows)
shards = sx.Gamma.evidence(rows[:300_000]) + sx.Gamma.evidence(rows[300_000:])
print("whole ", whole.count, whole.mean, whole.gaps)
print("shards", shards.count, shards.mean, shards.gaps)
assert np.isclose(whole.mean, shards.mean, rtol=1e-12)
assert np.allclose(whole.gaps, shards.gaps, rtol=1e-9)

a, rate = 2.9, 1.02
by_rows = stats.gamma.logpdf(rows.astype(np.float64), a, scale=1 / np.float32(rate)).sum()
by_evidence = float(whole.log_likelihood(sx.Gamma(a, rate)))
print(f"log-likelihood: by a million rows {by_rows:.3f}, by evidence {by_evidence:.3f}")
assert np.isclose(by_rows, by_evidence, rtol=1e-6)

# %% [markdown]
# ## Two coordinates, and the distance between them
#
# A member is named by its natural parameters η or by its expectations μ = E[T]. The log-normaliser A maps one to the other, μ
# = ∇A(η); its convex conjugate A* maps back, η = ∇A*(μ). And KL(p ‖ q) is how far A lies, at q, above its tangent at p: a
# *Bregman divergence*. The same number is how far A* lies, at p, above its tangent at q.
#
# For the Poisson distribution η = log μ, A = exp η and A* = μ log μ − μ.

# %%
p, q = sx.Poisson(2.0), sx.Poisson(6.0)
kl = float(p.kl(q))
eta_p, eta_q = np.log(2.0), np.log(6.0)
assert np.isclose(np.asarray(p.natural)[0], eta_p)
assert np.isclose(np.asarray(p.expectation)[0], 2.0)
A_gap = np.exp(eta_q) - (np.exp(eta_p) + 2.0 * (eta_q - eta_p))


def conjugate(m):
    return m * np.log(m) - m


dual_gap = conjugate(2.0) - (conjugate(6.0) + eta_q * (2.0 - 6.0))
print(f"KL(p ‖ q) {kl:.6f} nat = gap of A {A_gap:.6f} = gap of A* {dual_gap:.6f}")
assert np.isclose(kl, A_gap, rtol=1e-6)
assert np.isclose(kl, dual_gap, rtol=1e-6)

figure = Figure(figsize=(11, 4.6), layout="constrained")
left, right = figure.subplots(1, 2)


def bregman(axes, grid, curve, slope, touch, other, names):
    """A convex curve, its tangent at `touch`, and the gap at `other`."""
    axes.plot(grid, curve(grid), color=BLUE, linewidth=2, label=names["curve"])
    tangent = curve(touch) + slope * (grid - touch)
    axes.plot(grid, tangent, color=GREY, linewidth=1.4, linestyle=(0, (5, 2)), label=names["tangent"])
    foot = curve(touch) + slope * (other - touch)
    axes.plot(
        [other, other],
        [foot, curve(other)],
        color=RED,
        linewidth=4,
        solid_capstyle="butt",
        label=f"KL(p ‖ q) = {kl:.3f} nat",
    )
    axes.plot([touch, other], [curve(touch), curve(other)], "o", color=BLUE, markersize=7)
    for point, text in ((touch, names["touch"]), (other, names["other"])):
        axes.annotate(text, (point, curve(point)), textcoords="offset points", xytext=(-9, 5), ha="right", fontsize=12)
    axes.legend(frameon=False, loc="upper left")


bregman(
    left,
    np.linspace(-0.3, 2.05, 300),
    np.exp,
    2.0,
    eta_p,
    eta_q,
    {"curve": "A(η) = exp η", "tangent": "tangent at p, slope μ = 2", "touch": "p", "other": "q"},
)
left.set(title="natural parameters", xlabel="η = log of the mean", ylabel="A (nats)", ylim=(-1, 8.5))
bregman(
    right,
    np.linspace(0.05, 8.0, 300),
    conjugate,
    eta_q,
    6.0,
    2.0,
    {"curve": "A*(μ) = μ log μ − μ", "tangent": "tangent at q, slope η = log 6", "touch": "q", "other": "p"},
)
right.set(title="expectations", xlabel="μ = mean", ylabel="A* (nats)", ylim=(-3.6, 8.9))
show(figure, "two_coordinates.png")

# %% [markdown]
# From expectations back to a member is where an equation has to be solved: for a gamma, log a − ψ(a) = log E[x] − E[log x].

# %%
back = sx.Gamma.from_expectation(gamma.expectation)
print(gamma, "→", np.asarray(gamma.expectation).round(4), "→", back)
assert np.allclose([float(back.concentration), float(back.rate)], [3.0, 1.0], rtol=1e-5)

# %% [markdown]
# ## Learning is addition
#
# A conjugate prior is a vector of the same kind, so that posterior = prior + evidence. A bakery sells some loaves an hour;
# before looking, it believes in 3 an hour or so, about as firmly as if it had watched for two hours.

# %%
sales = np.array([5, 3, 6, 4, 7, 5, 2, 6])
prior = sx.Gamma(6.0, 2.0)
evidence = sx.Poisson.evidence(sales)
posterior = prior + evidence
print("prior    ", prior)
print("posterior", posterior, " 6 +", sales.sum(), "loaves and 2 +", len(sales), "hours")
print("take the evidence away again:", posterior - evidence)
assert (float(posterior.concentration), float(posterior.rate)) == (6.0 + sales.sum(), 2.0 + len(sales))
assert float((posterior - evidence).rate) == 2.0

# %% [markdown]
# How probable were the sales to this prior? The *log evidence* is a difference of log-normalisers; it is also the sum of what
# was said of each sale before it was made. Bayes factors are differences of it: here, between that prior and a baker who is
# sure of 3 an hour.

# %%
log_evidence = float(sx.log_evidence(prior, evidence))
belief, chain = prior, 0.0
for n in sales:
    chain += float(sx.predictive(belief, sx.Poisson).log_prob(int(n)))
    belief = belief + sx.Poisson.evidence([n])
sure = float(sx.Poisson(3.0).log_likelihood(sales))
print(f"log evidence {log_evidence:.4f} nat; one prediction after the other {chain:.4f}")
print(f"against the baker who is sure of 3: {(log_evidence - sure) * 10 / np.log(10):.1f} decibans for the prior")
assert np.isclose(log_evidence, chain, atol=1e-4)

# %% [markdown]
# Batches of beliefs are one object: thirty shops, of which some were watched for an hour and some for two dozen, move in one
# addition. What was seen for an hour only is drawn towards what all shops believed before.

# %%
rng = np.random.default_rng(4)
hours = np.geomspace(1, 24, 30).round().astype(int)
rates = rng.gamma(6.0, 1 / 2.0, 30)
shop = np.repeat(np.arange(30), hours)
counts = rng.poisson(rates[shop])
shops = prior + sx.Poisson.evidence(counts, by=shop)
low, high = np.asarray(shops.icdf(0.05)), np.asarray(shops.icdf(0.95))
raw = np.bincount(shop, counts) / hours
covered = np.mean((low <= rates) & (rates <= high))
print(f"{shops.batch_shape[0]} posteriors; {covered:.0%} of the true rates lie in their 90 % intervals")
assert np.allclose(shops.rate, 2.0 + hours)
assert 0.75 <= covered <= 1.0

figure = Figure(figsize=(11, 4.6), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
grid = np.linspace(0.01, 9, 400)
likelihood = np.exp(stats.poisson.logpmf(sales[:, None], grid).sum(axis=0))
likelihood /= likelihood.sum() * (grid[1] - grid[0])
for label, values, colour, dash in (
    ("prior, Gamma(6, 2)", np.exp(prior.log_prob(grid)), GREY, (0, (5, 2))),
    ("8 hours of sales (likelihood)", likelihood, RED, (0, (1.5, 1.5))),
    (f"posterior, Gamma({6 + sales.sum()}, 10)", np.exp(posterior.log_prob(grid)), BLUE, "-"),
):
    left.plot(grid, values, color=colour, linestyle=dash, linewidth=2, label=label)
left.fill_between(grid, np.exp(posterior.log_prob(grid)), color=BLUE, alpha=0.12)
left.set(
    title="prior + evidence = posterior",
    xlabel="loaves per hour",
    ylabel="density (hours per loaf)",
    xlim=(0, 9),
    ylim=(0, 0.9),
)
left.legend(frameon=False, loc="upper right")

rank = np.arange(30)
right.axhline(3.0, color=GREY, linestyle=(0, (5, 2)), linewidth=1.2, label="mean of the prior")
right.vlines(rank, low, high, color=BLUE, alpha=0.35, linewidth=5, label="posterior, 90 %")
right.plot(rank, np.asarray(shops.mean), "o", color=BLUE, markersize=5, label="posterior mean")
right.plot(rank, raw, "x", color=RED, markersize=6, markeredgewidth=1.6, label="mean of the sales alone")
right.set(title="thirty shops at once", xlabel="hours watched", ylabel="loaves per hour", ylim=(0, None))
ticks = [int(np.argmax(hours >= h)) for h in (1, 2, 4, 8, 16, 24)]
right.set_xticks(ticks, hours[ticks])
right.legend(frameon=False, loc="upper right", ncols=2, fontsize=9)
right.set_ylim(0, 1.35 * max(raw.max(), high.max()))
show(figure, "learning_is_addition.png")

# %% [markdown]
# ## What is left of it in float32
#
# A float32 has 24 bits. Formulas as textbooks print them subtract large numbers from each other, lnΓ(10⁶) ≈ 1.3 · 10⁷ for one,
# and the small difference that they were after keeps few bits, or none. Here both libraries compute log-densities in float32
# at the same numbers, near the bulk of ever sharper distributions; the truth is SciPy's in float64. Errors are relative to the
# log-density, or to one nat where it is smaller than that; a bit is wrong for each factor of two by which an error exceeds
# half a unit in the last place, 2⁻²⁴.

# %%
size = np.float32(np.geomspace(1, 1e7, 57))
z = np.linspace(-2, 2, 9)[:, None]


def bulk(mean, sd, low=-np.inf, high=np.inf, whole=False):
    """Nine points across the middle of each distribution, as float32."""
    points = np.clip(mean + z * sd, low, high)
    return np.float32(np.round(points) if whole else points)


wide = size.astype(np.float64)
families = {
    "Gamma(a, 1)": (
        sx.Gamma(size, 1.0),
        npd.Gamma(size, 1.0),
        bulk(wide, np.sqrt(wide), 0.1),
        lambda x: stats.gamma.logpdf(x, wide),
        "concentration a",
    ),
    "Beta(a, a)": (
        sx.Beta(size, size),
        npd.Beta(size, size),
        bulk(0.5, 0.5 / np.sqrt(2 * wide + 1), 0.05, 0.95),
        lambda x: stats.beta.logpdf(x, wide, wide),
        "concentration a",
    ),
    "Negative binomial, mean 50": (
        sx.NegativeBinomial(np.float32(50), size),
        npd.NegativeBinomial2(np.float32(50), size),
        bulk(50, np.sqrt(50 + 2500 / wide), 0, whole=True),
        lambda x: (
            special.gammaln(x + wide)
            - special.gammaln(wide)
            - special.gammaln(x + 1)
            - wide * np.log1p(50 / wide)
            - x * np.log1p(wide / 50)
        ),
        "concentration",
    ),
    "Student t(ν)": (
        sx.StudentT(size, 0.0, 1.0),
        npd.StudentT(size, 0.0, 1.0),
        bulk(0 * wide, 1.0),
        lambda x: stats.t.logpdf(x, wide),
        "degrees of freedom ν",
    ),
    "von Mises(0, κ)": (
        sx.VonMises(np.float32(0), size),
        npd.VonMises(np.float32(0), size),
        bulk(0 * wide, 1 / np.sqrt(wide), -3, 3),
        lambda x: stats.vonmises.logpdf(x, wide),
        "concentration κ",
    ),
    "Poisson(μ)": (
        sx.Poisson(size),
        npd.Poisson(size),
        bulk(wide, np.sqrt(wide), 0, whole=True),
        lambda x: stats.poisson.logpmf(x, wide),
        "mean μ",
    ),
}


def wrong_bits(result, truth):
    """The worst over the points of each distribution; 24 where nothing is right."""
    error = np.abs(np.asarray(result, np.float64) - truth) / np.maximum(np.abs(truth), 1.0)
    return np.clip(np.log2(np.maximum(np.where(np.isfinite(error), error, 1.0), 2.0**-24) * 2.0**24), 0, 24).max(axis=0)


figure = Figure(figsize=(11, 6.4), layout="constrained")
panels = figure.subplots(2, 3, sharey=True)
for axes, (name, (ours, theirs, x, truth, parameter)) in zip(panels.flat, families.items()):
    true = truth(x.astype(np.float64))
    log_prob = np.asarray(ours.log_prob(x))
    assert log_prob.dtype == np.float32
    here, there = wrong_bits(log_prob, true), wrong_bits(theirs.log_prob(x), true)
    print(f"{name:<27} wrong bits at most: surprax {here.max():4.1f}, NumPyro {there.max():4.1f}")
    assert here.max() <= 4
    axes.fill_between(size, there, color=RED, alpha=0.1)
    axes.plot(size, there, color=RED, linestyle=(0, (5, 1.5)), linewidth=1.8, label="NumPyro")
    axes.plot(size, here, color=BLUE, linewidth=1.8, label="surprax")
    axes.set(title=name, xlabel=parameter, xscale="log", xlim=(1, 1e7), ylim=(-0.5, 24))
    axes.set_yticks(range(0, 25, 4))
for axes in panels[:, 0]:
    axes.set_ylabel("wrong bits, of 24")
panels[0, 0].legend(frameon=False, loc="upper left")
show(figure, "digits_in_float32.png")
