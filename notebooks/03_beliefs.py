# %% [markdown]
# # 3 · Beliefs are vectors
#
# A belief over a few hypotheses is usually kept as probabilities that multiply and are divided by their sum. Kept as surprises,
# s = log 1/p, it is a vector: Bayes' rule is +, taking evidence back is −, forgetting is multiplication by a number below 1, and
# what all hypotheses have in common is only a constant. This notebook draws that space, watches a shape come out of fog, tosses a
# globe, and puts a belief on a grid of parameters.
#
# It is one plain file: run it as a script (pictures go to the folder `play/`), open it as a notebook, or let `make test` run it.

# %%

import jax
import numpy as np
import scipy.stats as st
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

import surprax as sx
from surprax.plots import show

BLUE, RED, GREEN, GREY = "#2f6690", "#c8553d", "#588157", "#6c757d"


# %% [markdown]
# ## Bayes is addition
#
# Three hypotheses, a prior, and a likelihood: how probable the data are under each of them. A likelihood need not add up to 1; in
# surprise that is a constant, which a belief keeps apart. So the probability of the data is never lost, and subtraction gives the
# prior back.

# %%
prior = sx.Belief.from_probabilities([0.5, 0.3, 0.2], labels=["a", "b", "c"])
likelihood = sx.Belief.from_probabilities([0.1, 0.4, 0.4], normalised=False)
posterior = prior + likelihood
print("posterior  ", posterior.probabilities().round(3))
print("data       ", np.exp(posterior.log_normalizer).round(3))
print("prior again", (posterior - likelihood).probabilities().round(3))
print("how much the likelihood says, whatever the prior:", likelihood.norm().round(3), "nat")
np.testing.assert_allclose(posterior.probabilities(), [0.2, 0.48, 0.32], atol=1e-6)
np.testing.assert_allclose(np.exp(posterior.log_normalizer), 0.5 * 0.1 + 0.3 * 0.4 + 0.2 * 0.4, rtol=1e-6)
np.testing.assert_allclose((posterior - likelihood).probabilities(), [0.5, 0.3, 0.2], atol=1e-6)
np.testing.assert_allclose(likelihood.norm(), 1.132, atol=5e-4)

# %% [markdown]
# ## The simplex is a plane
#
# All beliefs about three hypotheses make a triangle. Softmax maps vectors of R³ onto it, and maps everything along the line
# (t, t, t) to the same belief; with that line taken out, what is left is a plane, and `ilr` gives coordinates in it.
#
# On the left is the plane with its straight grid; on the right is the same picture in the triangle. The likelihood is the same
# arrow wherever it starts, and the straight line through the prior is the prior tempered: from none of it (the middle) to three
# times as much.


# %%
def corner(p):
    """Probabilities (…, 3) as points of a triangle."""
    p = np.asarray(p, np.float64)
    return np.stack([p[..., 1] + 0.5 * p[..., 2], np.sqrt(0.75) * p[..., 2]], axis=-1)


def on_simplex(ilr):
    return corner(sx.Belief.from_ilr(np.asarray(ilr, np.float32)).probabilities())


lines = np.linspace(-4.0, 4.0, 161)
figure = Figure(figsize=(9.6, 4.4), layout="constrained")
plane, triangle = figure.subplots(1, 2)
for at in np.arange(-4.0, 4.5, 1.0):
    for line in (np.stack([np.full_like(lines, at), lines], -1), np.stack([lines, np.full_like(lines, at)], -1)):
        plane.plot(*line.T, color="0.85", linewidth=0.7)
        triangle.plot(*on_simplex(line).T, color="0.85", linewidth=0.7)
triangle.plot(*corner(np.eye(3)[[0, 1, 2, 0]]).T, color="black", linewidth=1)
for name, at, shift in zip("abc", np.eye(3), ((-14, -4), (6, -4), (-3, 6))):
    triangle.annotate(name, corner(at), shift, textcoords="offset points")
tempered = np.asarray((prior * np.linspace(0.0, 3.0, 61)).ilr())
for axes, put in ((plane, np.asarray), (triangle, on_simplex)):
    axes.plot(*put(tempered).T, color=GREEN, linewidth=1.5, label="t · prior, t from 0 to 3")
    for start, label in ((prior, "likelihood"), (prior + likelihood, None), (sx.Belief.uniform(3), None)):
        path = start.ilr() + np.linspace(0.0, 1.0, 30)[:, None] * np.asarray(likelihood.ilr())[None]
        x, y = put(path).T
        axes.plot(x, y, color=RED, linewidth=1.5, label=label)
        axes.annotate("", (x[-1], y[-1]), (x[-4], y[-4]), arrowprops={"arrowstyle": "->", "color": RED})
    axes.plot(*put(np.asarray(prior.ilr())), "o", color=BLUE, label="prior")
    axes.plot(*put(np.asarray(posterior.ilr())), "s", color=BLUE, label="posterior")
    axes.set_aspect("equal")
plane.set_xlim(2.2, -2.2), plane.set_ylim(2.2, -2.2)  # turned, so that a, b and c lie where they do in the triangle
plane.set_xlabel("ilr, first coordinate (nat)")
plane.set_ylabel("second coordinate (nat)")
plane.legend(loc="upper left", fontsize=8)
triangle.axis("off")
show(figure, "03_simplex.png")
shifted = sx.Belief(np.array([0.3, 1.0, 2.0], np.float32) + 17.0)  # softmax does not see a constant
assert shifted.distance(sx.Belief([0.3, 1.0, 2.0])) < 1e-5

# %% [markdown]
# ## A shape in the fog
#
# Something is out there: a boat, a whale, a rock, a lighthouse or a buoy. The picture comes in strip by strip, and the fog is so
# thick that each pixel has a noise of 1.75 times the difference between dark and light. A strip is evidence: for each shape, the
# surprise of its pixels under a normal distribution around the shape's own. A ledger adds the strips up by name and says how many
# bits each one moved the belief.

# %%
SHAPES = {
    "boat": """
        ................
        .......#........
        .......##.......
        .......###......
        .......####.....
        .......#####....
        .......######...
        .......#........
        ..#############.
        ...###########..
        ....#########...
        ................""",
    "whale": """
        ................
        ................
        ............#.#.
        .............#..
        ................
        ....#####....##.
        ..#########.###.
        .#############..
        .############...
        ..##########....
        ................
        ................""",
    "rock": """
        ................
        ................
        ................
        ......##........
        .....####.......
        ....######......
        ...########.##..
        ..#############.
        ..#############.
        .###############
        .###############
        ................""",
    "lighthouse": """
        .......##.......
        ......####......
        .......##.......
        .......##.......
        .......##.......
        ......####......
        ......####......
        ......####......
        .....######.....
        .....######.....
        ...##########...
        ..############..""",
    "buoy": """
        ................
        ................
        .......#........
        .......#........
        ......###.......
        ......###.......
        .....#####......
        .....#####......
        ....#######.....
        .....#####......
        ................
        ................""",
}
pixels = {name: np.array([[c == "#" for c in row] for row in rows.split()], float) for name, rows in SHAPES.items()}
FOG = 1.75
truth = "lighthouse"
seen = pixels[truth] + FOG * np.asarray(jax.random.normal(jax.random.key(12), (12, 16)), float)

belief = sx.Belief.uniform(list(pixels))
for row in range(0, 12, 2):
    strip = slice(row, row + 2)
    surprises = [np.sum(sx.Normal(shape[strip], FOG).surprise(seen[strip])) for shape in pixels.values()]
    belief = belief.update(f"rows {row}–{row + 1}", surprises)
print(belief.table("bit"))
print(belief)

# %% [markdown]
# Several hypotheses are held at once, and none is thrown away: a strip may move the belief towards the wrong shape, and later ones
# bring it back. Since evidence adds, the order of strips makes no difference to where it ends; and a strip that turns out to have
# been read from the wrong photograph is taken away by its name.

# %%
history = [sx.Belief.uniform(list(pixels))]
for evidence in belief.contributions.values():
    history.append(history[-1] + evidence)
steps = np.array([step.probabilities() for step in history])
figure = Figure(figsize=(9.6, 3.4), layout="constrained")
left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.7))
for axes, picture, title in ((left, pixels[truth], "what is there"), (middle, seen, "what is seen")):
    axes.imshow(picture, cmap="Greys")
    axes.set_title(title, fontsize=10)
    axes.set_xticks([]), axes.set_yticks([])
for i, (name, colour, style) in enumerate(
    zip(pixels, (BLUE, GREY, "black", RED, GREEN), ("o--", "s--", "^--", "o-", "d--"))
):
    right.plot(steps[:, i], style, color=colour, label=name, markersize=4)
right.set_xlabel("strips seen")
right.set_ylabel("probability")
right.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
show(figure, "03_fog.png")
assert belief.most_plausible().labels == (truth,)
backwards = sx.Belief.uniform(list(pixels))
for name, evidence in reversed(belief.contributions.items()):
    backwards = backwards.update(name, evidence)
np.testing.assert_allclose(backwards.probabilities(), belief.probabilities(), rtol=1e-5)
without = belief.without("rows 0–1")
print(f"{truth}: {belief[truth]:.4f}, and {without[truth]:.4f} without the first strip")

# %% [markdown]
# ## Where probability beats surprise
#
# Two experts disagree. Averaging their *surprises* (pooling by logarithms) is what adding up evidence leads to, and keeps out what
# either of them excludes. But someone who asked one of the two, and does not know which, believes the average of their
# *probabilities*: mixtures add in probability. Both are means; they answer different questions.

# %%
first = sx.Belief.from_probabilities([0.89, 0.10, 0.01])
second = sx.Belief.from_probabilities([0.01, 0.10, 0.89])
pooled = sx.Belief.pool([first, second]).probabilities()
mixed = 0.5 * (first.probabilities() + second.probabilities())
print("pooled", pooled.round(3), " mixed", mixed.round(3))
np.testing.assert_allclose(mixed, [0.45, 0.1, 0.45], atol=1e-6)
assert pooled[1] > mixed[1]  # what neither finds absurd

# %% [markdown]
# ## Tossing a globe
#
# How much of the Earth is water? Toss a globe, catch it, and write down what is under the index finger: W L W W W L W L W. (The
# example is McElreath's, *Statistical Rethinking*, chapter 2.) The hypotheses are now all shares from 0 to 1, on a grid; each toss
# adds its surprise. Three priors: flat, "at least half", and one that piles up around a half.

# %%
tosses = np.array([1, 0, 1, 1, 1, 0, 1, 0, 1])
priors = {
    "flat": None,
    "at least half": {"probs": sx.Uniform(0.5, 1.0)},
    "about half": {"probs": sx.Beta(10.0, 10.0)},
}
figure = Figure(figsize=(9.6, 5.6), layout="constrained")
for row, (name, chosen) in zip(figure.subplots(3, 4, sharex=True), priors.items()):
    start = sx.grid(sx.Bernoulli, probs=(0.0, 1.0, 1001), prior=chosen)
    grids = {n: start.update(tosses[:n]) if n else start for n in (0, 1, 3, 9)}
    for axes, (n, grid) in zip(row, grids.items()):
        axes.plot(grid.axes["probs"], grid.density(), color=BLUE)
        axes.fill_between(grid.axes["probs"], grid.density(), where=grid.credible_region(0.89), color=BLUE, alpha=0.2)
        axes.set_yticks([])
        if row[0].get_subplotspec().rowspan.start == 0:
            axes.set_title("prior" if n == 0 else f"{n} toss{'es' * (n > 1)}", fontsize=10)
    row[0].set_ylabel(name)
    low, high = grids[9].credible_interval(level=0.89)
    print(f"{name:14} mean {grids[9].mean('probs'):.3f}, 89 % within {low:.3f} to {high:.3f},", end=" ")
    print(f"surprise of the tosses {sx.convert(-grids[9].log_evidence, 'nat', 'bit'):.2f} bit")
for axes in row:
    axes.set_xlabel("share of water")
show(figure, "03_globe.png")

# %% [markdown]
# With the flat prior there is an exact answer, a beta distribution; the grid has found it. The prior "at least half" is the least
# surprised of the three by these tosses.

# %%
globe = sx.grid(sx.Bernoulli, probs=(0.0, 1.0, 1001)).update(tosses)
exact = sx.Beta(1.0, 1.0) + sx.Bernoulli.evidence(tosses)
print(exact)
np.testing.assert_allclose(globe.mean("probs"), exact.mean, atol=1e-5)
np.testing.assert_allclose(globe.density(), np.exp(exact.log_prob(globe.axes["probs"])), atol=2e-5)
np.testing.assert_allclose(
    globe.log_evidence, sx.log_evidence(sx.Beta(1.0, 1.0), sx.Bernoulli.evidence(tosses)), atol=1e-5
)
print("the next toss is water with probability", np.exp(globe.log_predictive(1)).round(3))

# %% [markdown]
# ## Two parameters, any likelihood
#
# A lighthouse stands somewhere off a straight coast and sends flashes in all directions; sensors on the shore tell where each one
# arrived (Gull 1988). Where is it? Flashes follow a Cauchy distribution, which has no sufficient statistics and whose mean says
# nothing, and the posterior is a vector on a grid like any other: two positions, coarse at first, then refined around the mass.

# %%
flashes = np.asarray(sx.Cauchy(1.0, 1.5).sample(jax.random.key(3), (40,)))
coarse = sx.grid(sx.Cauchy, loc=(-20.0, 20.0, 81), scale=(0.05, 20.0, 80)).update(flashes)
fine = coarse.refine(loc=200, scale=200)
print(fine)
print("mean of the flashes", flashes.mean().round(2), "± who knows")

figure = Figure(figsize=(9.6, 3.8), layout="constrained")
left, right = figure.subplots(1, 2)
x, y = fine.axes.values()
for level, shade in ((0.95, "#d5e3ee"), (0.5, "#8fb3d0")):
    region = np.where(fine.credible_region(level), 1.0, np.nan)
    left.pcolormesh(x, y, region.T, cmap=ListedColormap([shade]), rasterized=True)
left.plot(1.0, 1.5, "*", color=RED, markersize=11, label="the lighthouse")
left.plot(fine.mean("loc"), fine.mean("scale"), "o", color=BLUE, label="mean of the belief")
left.set_xlim(*fine.quantile([1e-3, 0.999], "loc")), left.set_ylim(*fine.quantile([1e-3, 0.999], "scale"))
left.set_xlabel("along the coast (km)")
left.set_ylabel("off the coast (km)")
left.legend(fontsize=8)
along = fine.marginal("loc")
right.plot(x, along.density(), color=BLUE)
right.axvline(1.0, color=RED, linewidth=1)
right.set_xlim(*fine.quantile([1e-3, 0.999], "loc"))
right.set_ylim(bottom=0)
right.set_xlabel("along the coast (km)")
right.set_ylabel("density (per km)")
show(figure, "03_lighthouse.png")
log_l = st.cauchy.logpdf(flashes[:, None, None], x[None, :, None], y[None, None, :]).sum(axis=0)
p = np.exp(log_l - log_l.max())
np.testing.assert_allclose(along.mean("loc"), (p.sum(axis=1) @ x) / p.sum(), rtol=1e-3)
low, high = fine.credible_interval("loc", 0.95)
assert low < 1.0 < high

# %% [markdown]
# Evidence makes this cheap where there are sufficient statistics: a million rows meet a hundred thousand nodes in one pass over the
# rows and one over the nodes. And where the tools of others are wanted, a grid gives draws.

# %%
many = np.asarray(sx.Normal(3.0, 2.0).sample(jax.random.key(4), (1_000_000,)))
million = sx.grid(sx.Normal, loc=(2.9, 3.1, 400), scale=(1.9, 2.1, 250)).update(many)
print(million)
assert million.stddev("loc") - 2.0 / 1000 < 1e-5
print(million.to_datatree(jax.random.key(5), num_samples=500)["posterior"].to_dataset())

# %% [markdown]
# ## Many beliefs: the axes along which they differ
#
# Sixty forecasters and what each of them expects of the economy: a batch of beliefs is a cloud of points in belief space, and it
# has principal axes. These forecasters (drawn for the purpose) hold one opinion, some more firmly than others, some against it, and
# otherwise differ a little.

# %%
outcomes = ["boom", "soft landing", "stagnation", "recession"]
opinion = sx.Belief.from_probabilities([0.6, 0.25, 0.1, 0.05], outcomes)
rng = np.random.default_rng(5)
cloud = np.asarray(opinion.clr())[None] * rng.normal(0.2, 1.0, 60)[:, None] + 0.15 * rng.normal(size=(60, 4))
forecasters = sx.Belief.from_clr(cloud.astype(np.float32), outcomes)
axes_found = forecasters.principal_axes()
share = axes_found.variances / np.sum(axes_found.variances)
print("shares of the variance", np.asarray(share).round(3))
print("the first axis        ", dict(zip(outcomes, np.asarray(axes_found.axes[0]).round(2).tolist())))
assert share[0] > 0.9
along = np.asarray(axes_found.axes[0]) @ np.asarray(opinion.clr()) / np.asarray(opinion.norm())
assert abs(along) > 0.99

# %% [markdown]
# A linear map of beliefs is a matrix acting on log-ratios. Leaking a fifth of the log-ratio to each neighbouring outcome is one;
# its eigenvalues say which differences last. Temperature t is the map t · 1, whose eigenvalues are all t.

# %%
neighbours = np.array([[0.8, 0.2, 0.0, 0.0], [0.2, 0.6, 0.2, 0.0], [0.0, 0.2, 0.6, 0.2], [0.0, 0.0, 0.2, 0.8]])
modes = sx.beliefs.eigen(neighbours)
print("eigenvalues", modes.values.round(3))
slowest = sx.Belief.from_clr(modes.vectors[:, 0].astype(np.float32), outcomes)
after = slowest.apply(neighbours)
np.testing.assert_allclose(after.clr(), modes.values[0] * slowest.clr(), atol=1e-6)
np.testing.assert_allclose(opinion.apply(0.5 * np.eye(4)).clr(), (opinion * 0.5).clr(), atol=1e-6)

# %% [markdown]
# ## Exercise
#
# Write Bayes' rule for probabilities and surprising evidence: `bayes(p, s)` takes probabilities and the surprise (nat) of the data
# under each hypothesis, and returns probabilities. The check holds it to the rules that addition obeys, with random beliefs of a
# fixed seed, the smallest first; when one is broken it names the rule and shows the case. The first attempt below breaks one:
# predict which before you run the check, then mend it. (Hint: what is left of exp(−800)?)


# %%
def first_attempt(p, s):
    product = p * np.exp(-s)
    return product / product.sum()


def solution(p, s):
    total = -np.log(p) + s
    weights = np.exp(total.min() - total)  # the least surprise is what all have in common: take it out first
    return weights / weights.sum()


RULES = {
    "probabilities add to 1": lambda bayes, p, s, t: np.isclose(bayes(p, s).sum(), 1.0),
    "evidence that says nothing changes nothing": lambda bayes, p, s, t: np.allclose(bayes(p, 0.0 * s), p),
    "the order of evidence makes no difference": lambda bayes, p, s, t: np.allclose(
        bayes(bayes(p, s), t), bayes(bayes(p, t), s)
    ),
    "evidence may come in one piece": lambda bayes, p, s, t: np.allclose(bayes(bayes(p, s), t), bayes(p, s + t)),
    "surprise that all hypotheses share makes no difference": lambda bayes, p, s, t: np.allclose(
        bayes(p, s + 800.0), bayes(p, s)
    ),
}


def check(bayes):
    """The first rule that is broken, with the smallest case of it; or that all hold."""
    rng = np.random.default_rng(0)
    for rule, holds in RULES.items():
        for n in np.repeat(np.arange(2, 6), 50):
            p, s, t = np.full(n, 1.0 / n), rng.integers(0, 4, n) / 2.0, rng.integers(0, 4, n) / 2.0
            with np.errstate(all="ignore"):
                if not holds(bayes, p, s, t):
                    return f"broken: {rule}; for example p = {p}, s = {s}"
    return "all rules hold"


print(check(first_attempt))
print(check(solution))
assert "that all hypotheses share" in check(first_attempt)
assert check(solution) == "all rules hold"
