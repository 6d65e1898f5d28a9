# %% [markdown]
# # 4 · Chains: a state that moves, seen through noise
#
# Some years have many earthquakes, others few, and a year is like the one before. A *hidden Markov model* says why: the world is
# in one of a few states that nobody sees; each year it stays or moves on; each state has its own distribution of counts. What we
# know of the state is a belief, a vector of surprises: **a year that passes mixes it, a count that is seen adds to it.**
#
# It is one plain file: run it as a script (pictures go to the folder `play/`), open it as a notebook (Jupyter with jupytext, or
# VS Code), or let `make test` run it. Every claim is followed by the line that checks it.

# %%

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import surprax as sx
from surprax.plots import show

INK, BLUE, ORANGE, RED, GREEN, GREY = "#222222", "#0072B2", "#E69F00", "#D55E00", "#009E73", "#999999"
STATES = (BLUE, ORANGE, RED)


def bits(log_probability):
    return float(sx.surprise(log_prob=log_probability, unit="bit"))


# %% [markdown]
# ## 107 years of earthquakes
#
# How many earthquakes of magnitude 7 or more there were in each year from 1900 to 2006 (US Geological Survey; the example of
# Zucchini & MacDonald, *Hidden Markov Models for Time Series*). If they came independently of each other and at one rate, the
# counts would be Poisson: the variance would equal the mean, and a year would say nothing of the next. Neither is so.

# %%
table = sx.data.datasets.load("earthquakes")
year, count = np.asarray(table["year"]), np.asarray(table["count"])


def autocorrelation(x, lags):
    """At lags 0, 1, …, of series along the last axis."""
    d = x - x.mean(axis=-1, keepdims=True)
    return np.stack([(d[..., : d.shape[-1] - h] * d[..., h:]).sum(-1) for h in range(lags)], -1) / (d**2).sum(
        -1, keepdims=True
    )


print(f"{len(count)} years, mean {count.mean():.2f}, variance {count.var(ddof=1):.2f}")
print(f"correlation of a year with the next {autocorrelation(count, 2)[1]:.2f}")
assert count.var(ddof=1) > 2.5 * count.mean()
assert autocorrelation(count, 2)[1] > 0.5

# %% [markdown]
# ## How many states?
#
# `HiddenMarkov.fit_family` raises the likelihood from several starts (Baum & Welch's algorithm: believe, count, believe again) and
# returns the best. More states always fit better; the Bayesian information criterion charges each number that was fitted ½ log n.
# All log-likelihoods agree with the book's.

# %%
fits = {k: sx.HiddenMarkov.fit_family(sx.Poisson, k, count) for k in (1, 2, 3, 4)}
print("states  numbers  log-likelihood     BIC  rates")
for k, (fit, outcome) in fits.items():
    rates = " ".join(f"{rate:.1f}" for rate in np.asarray(fit.emission.rate))
    print(f"{k:6d} {fit.free_parameters():8d} {outcome.log_likelihood:15.4f} {fit.bic(count):7.1f}  {rates}")
    assert outcome.converged
likelihoods = [outcome.log_likelihood for _, outcome in fits.values()]
assert np.allclose(likelihoods[:3], [-391.9189, -341.8787, -328.5275], atol=1e-4)
assert np.allclose(fits[3][0].emission.rate, [13.13, 19.71, 29.71], atol=0.01)
scores = {k: fit.bic(count) for k, (fit, _) in fits.items()}
assert scores[1] > scores[4] > scores[3] > scores[2]

# %% [markdown]
# One state is out of the question, four are not worth their numbers, and two and three are as good as level: 1.3 of BIC is a
# factor of two. We go on with three: a calm, a middling and a restless world, with 13, 20 and 30 earthquakes a year.

# %%
model, outcome = fits[3]
print("to    calm  middling  restless")
for name, row in zip(("calm", "middling", "restless"), np.asarray(model.transition)):
    print(f"from {name:9s}", "  ".join(f"{p:5.3f}" for p in row))
print("in the long run", np.asarray(model.stationary()).round(2), "of the years")
assert np.all(np.diag(model.transition) > 0.8)
assert np.allclose(model.stationary() @ model.transition, model.stationary(), atol=1e-6)

# %% [markdown]
# ## What was the state?
#
# `smooth` tells the probability of each state in each year, given the whole series; `viterbi` the single likeliest path of states.
# They answer different questions: what to believe of a year, and which story is the best of all.

# %%
smoothed, path = model.smooth(count), model.viterbi(count)
assert smoothed.outcome.ok
assert np.allclose(smoothed.probabilities.sum(axis=1), 1.0, atol=1e-5)
assert np.isclose(smoothed.log_likelihood, outcome.log_likelihood, atol=1e-3)
alike = np.mean(np.asarray(smoothed.probabilities).argmax(axis=1) == np.asarray(path.states))
print(f"the likeliest path goes through the likeliest state of the year in {alike:.0%} of the years")
print(
    f"and is {bits(path.log_probability) - bits(smoothed.log_likelihood):.1f} bit more surprising than all paths together"
)
assert 0.9 < alike < 1.0


def bands(axes, probabilities):
    axes.stackplot(year, np.asarray(probabilities).T, colors=STATES, alpha=0.85, linewidth=0, step="mid")
    axes.set(xlim=(year[0] - 0.5, year[-1] + 0.5), ylim=(0, 1), ylabel="probability", yticks=(0, 0.5, 1))


figure = Figure(figsize=(9, 5), layout="constrained")
upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.3))
upper.plot(year, count, "o-", color=GREY, markersize=3, linewidth=0.8, label="earthquakes")
upper.step(
    year, model.emission.rate[path.states], where="mid", color=INK, linewidth=2, label="rate on the likeliest path"
)
upper.plot(year, smoothed.probabilities @ model.emission.rate, color=GREEN, linewidth=1.5, label="expected rate")
upper.set_ylabel("in a year")
upper.legend(frameon=False, loc="upper right")
bands(lower, smoothed.probabilities)
for name, x in {"calm": 1993, "middling": 1929, "restless": 1946}.items():
    lower.text(x, 0.5, name, color="white", ha="center", va="center", fontsize=10, weight="bold")
lower.set_xlabel("year")
show(figure, "04_states.png")

# %% [markdown]
# ## Year by year, in bits
#
# `filter` believes with what was known at the time. Last year's belief, moved on by the transitions, is a forecast of this
# year's state, hence of this year's count, and the count that came is so-and-so surprising. These surprises add up to that of
# the whole series: the likelihood is a game of prediction, year after year. A Poisson that has seen all years at once, and
# forgets their order, loses 91 bits to it, and is surprised by whole decades; the chain is surprised when the state changes,
# and by odd years.

# %%
filtered = model.filter(count)
before = np.concatenate(
    [model.initial[None], filtered.probabilities[:-1] @ model.transition]
)  # the state, a year ahead
log_mass = np.asarray(model.emission.log_prob(count[:, None]))
surprises = np.asarray(sx.surprise(np.sum(before * np.exp(log_mass), axis=1), "bit"))
assert np.isclose(surprises.sum(), bits(filtered.log_likelihood), rtol=1e-5)
plain = np.asarray(sx.Poisson.fit(count).surprise(count, "bit"))
print(f"total: one Poisson {plain.sum():.1f} bit, chain {surprises.sum():.1f} bit")
for i in np.argsort(-surprises)[:5]:
    print(f"{year[i]}: {count[i]:2d} earthquakes, {surprises[i]:.1f} bit, one Poisson {plain[i]:.1f}")
assert 90 < plain.sum() - surprises.sum() < 93
assert {1943, 1957, 1958} <= set(year[np.argsort(-surprises)[:3]])

figure = Figure(figsize=(9, 3.2), layout="constrained")
axes = figure.subplots()
axes.bar(year, plain, width=0.9, color=GREY, alpha=0.5, label=f"one Poisson, {plain.sum():.0f} bit in all")
axes.bar(year, surprises, width=0.55, color=BLUE, label=f"chain, one year ahead, {surprises.sum():.0f} bit in all")
for i, shift in zip(np.argsort(-surprises)[:5], (-3.5, 4.5, -4.5, 3.5, 3.5)):
    axes.annotate(
        str(year[i]),
        (year[i], surprises[i]),
        (year[i] + shift, 19.0 if year[i] in (1957, 1958) else max(surprises[i], plain[i]) + 2.2),
        ha="center",
        fontsize=9,
        arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.7},
    )
axes.set(xlim=(1899, 2007), ylim=(0, 23), xlabel="year", ylabel="surprise in bits")
axes.legend(frameon=False, loc="upper right")
show(figure, "04_surprise.png")

# %% [markdown]
# ## Years that are missing
#
# Suppose that the records of 1940 to 1951 had been lost. A missing year costs nothing: it says nothing of the state, so that
# the belief only moves. (NaN marks it, or `mask=`.) The years on both sides were middling, so that is mostly what the gap is
# believed to be; the restless decade is gone from it, because it was known from its counts alone.

# %%
lost = (year >= 1940) & (year <= 1951)
with_gap = np.where(lost, np.nan, count)
guess = model.smooth(with_gap)
assert np.isclose(guess.log_likelihood, model.log_likelihood(count, mask=~lost))
assert guess.log_likelihood > smoothed.log_likelihood  # fewer counts to explain
inside = lost.argmax() + 6
for name, found in (("with", smoothed), ("without", guess)):
    print(
        f"{year[inside]}, {name} its counts: P(calm, middling, restless) = {np.asarray(found.probabilities[inside]).round(3)}"
    )
assert smoothed.probabilities[inside, 2] > 0.99
assert guess.probabilities[inside, 1] > 0.7
far = ~lost & ((year < 1930) | (year > 1962))
assert np.max(np.abs(guess.probabilities - smoothed.probabilities)[far]) < 0.02  # elsewhere nothing changes

figure = Figure(figsize=(9, 3.2), layout="constrained")
for axes, probabilities, title in zip(
    figure.subplots(2, 1, sharex=True),
    (smoothed.probabilities, guess.probabilities),
    ("all years", "without 1940–1951"),
):
    bands(axes, probabilities)
    axes.set_title(title, fontsize=10, loc="left")
    axes.axvline(1939.5, color="white", linewidth=1.5)
    axes.axvline(1951.5, color="white", linewidth=1.5)
axes.set_xlabel("year")
show(figure, "04_missing.png")

# %% [markdown]
# ## The years to come
#
# The last years were calm. So the next is, most likely; after h years the belief has moved by the h-th power of the
# transitions, and what is particular about today fades with the power of the second eigenvalue. The forecast of a count is a
# mixture of the three Poissons, with the belief for weights.

# %%
today = np.asarray(filtered.probabilities[-1], np.float64)
steps = np.asarray(model.transition, np.float64)
steps = steps / steps.sum(axis=1, keepdims=True)
ahead = {h: today @ np.linalg.matrix_power(steps, h) for h in (1, 5, 20, 60)}
numbers = np.arange(0, 50)
mass = np.exp(np.asarray(model.emission.log_prob(numbers[:, None])))
long_run = np.asarray(model.stationary(), np.float64)
second = np.sort(np.abs(np.linalg.eigvals(steps)))[-2]
print(f"second eigenvalue {second:.3f}: half of what today knows is gone in {np.log(0.5) / np.log(second):.0f} years")
for h, belief in ahead.items():
    print(f"{2006 + h}: P(calm, middling, restless) = {belief.round(3)}")
distances = {h: np.abs(mass @ (belief - long_run)).sum() / 2 for h, belief in ahead.items()}
assert distances[1] > distances[5] > distances[20] > distances[60]
assert distances[60] < 0.01

figure = Figure(figsize=(8, 3.4), layout="constrained")
axes = figure.subplots()
for (h, belief), colour in zip(ahead.items(), (BLUE, "#56B4E9", GREEN)):
    axes.plot(numbers, mass @ belief, "o-", color=colour, markersize=3, linewidth=1.2, label=str(2006 + h))
axes.plot(numbers, mass @ long_run, color=INK, linewidth=2.5, alpha=0.5, label="in the long run")
axes.set(xlabel="earthquakes in the year", ylabel="probability", ylim=(0, None))
axes.legend(frameon=False)
show(figure, "04_forecast.png")

# %% [markdown]
# ## Why the counts are spread out
#
# A variance above the mean is often put down to a rate that differs from year to year: a negative binomial, or a mixture of
# Poissons. That is right about single years, and blind to their order. (A mixture is a chain that is cut after every step: 107
# sequences of length 1.) In bits: the spread is worth 50, the order another 41. Shuffle the years, and the chain has lost what
# it had won.

# %%
mixture = sx.Mixture(sx.Poisson, 3).fit(count)
cut, _ = sx.HiddenMarkov.fit_family(sx.Poisson, 3, count[:, None])
shuffled = np.asarray(jax.random.permutation(jax.random.key(1), count))
totals = {
    "Poisson": float(plain.sum()),
    "negative binomial": float(sx.NegativeBinomial.fit(count).surprise(count, "bit").sum()),
    "mixture of three Poissons": float(mixture.surprise(count, "bit").sum()),
    "chain of three Poissons": bits(model.log_likelihood(count)),
    "the chain, years shuffled": bits(model.log_likelihood(shuffled)),
}
for name, total in totals.items():
    print(f"{name:26s} {total:6.1f} bit")
assert np.isclose(bits(cut.log_likelihood(count[:, None]).sum()), totals["mixture of three Poissons"], atol=0.05)
assert abs(totals["negative binomial"] - totals["mixture of three Poissons"]) < 2
assert 49 < totals["Poisson"] - totals["negative binomial"] < 50
assert 40 < totals["mixture of three Poissons"] - totals["chain of three Poissons"] < 41
assert totals["the chain, years shuffled"] > totals["mixture of three Poissons"]

# %% [markdown]
# Does the chain explain the memory of the series as well? Draw 500 series from it, and compare: the data's variance and
# autocorrelations lie within what such series have. Nothing of that was fitted.

# %%
draw = jax.jit(jax.vmap(lambda key: model.sample(key, len(count))[1]))
drawn = np.asarray(draw(jax.random.split(jax.random.key(2), 500)), np.float64)
LAGS = 16
of_data, of_drawn = autocorrelation(count, LAGS), autocorrelation(drawn, LAGS)
low, middle, high = np.quantile(of_drawn, [0.05, 0.5, 0.95], axis=0)
variances = drawn.var(axis=1, ddof=1)
rank = np.mean(variances < count.var(ddof=1))
print(
    f"variance of the data {count.var(ddof=1):.1f}, of series drawn {np.quantile(variances, [0.05, 0.95]).round(1)} (90 %)"
)
print(f"autocorrelations of the data inside the band of 90 %: {np.mean((of_data >= low) & (of_data <= high)):.0%}")
assert 0.05 < rank < 0.95
assert np.mean((of_data >= low) & (of_data <= high)) > 0.8
poisson_band = 1.645 / np.sqrt(len(count))

figure = Figure(figsize=(8, 3.2), layout="constrained")
axes = figure.subplots()
lags = np.arange(1, LAGS)
axes.fill_between(
    lags, low[1:], high[1:], color=BLUE, alpha=0.2, linewidth=0, label="series drawn from the chain, 90 %"
)
axes.plot(lags, middle[1:], color=BLUE, linewidth=1, label="their median")
axes.plot(lags, of_data[1:], "o", color=INK, markersize=4, label="the data")
axes.axhspan(-poisson_band, poisson_band, color=GREY, alpha=0.25, linewidth=0, label="independent years, 90 %")
axes.set(xlabel="years apart", ylabel="autocorrelation", ylim=(-0.4, 0.95))
axes.legend(frameon=False, ncols=2, loc="upper right", fontsize=9)
show(figure, "04_memory.png")

# %% [markdown]
# ## Another family, one word changed
#
# Each state may emit from any family that has a fit. Two states of negative binomials, with seven numbers, are as good by the
# criterion as three of Poissons with eleven. The calm one turns out to be a Poisson all the same (concentration ∞), the other
# is spread out.

# %%
spread_out, spread_outcome = sx.HiddenMarkov.fit_family(sx.NegativeBinomial, 2, count)
print(spread_out.emission, f"{spread_outcome.log_likelihood:.1f} nats, BIC {spread_out.bic(count):.1f}")
assert spread_out.free_parameters() == 7
assert abs(spread_out.bic(count) - scores[3]) < 1
assert np.isinf(spread_out.emission.concentration[0])

# %% [markdown]
# And with normal distributions, on the flow of the Nile at Aswan, 1871 to 1970. Nobody says that there was *one* change; the
# fit finds that the lower level is never left again.

# %%
nile = sx.data.datasets.load("nile")
flow_year, flow = np.asarray(nile["year"]), np.asarray(nile["volume"])
levels, _ = sx.HiddenMarkov.fit_family(sx.Normal, 2, flow)
level_path = np.asarray(levels.viterbi(flow).states)
print(levels)
print("the path is low from", flow_year[level_path == 0][0])
assert levels.transition[0, 1] < 1e-4
assert list(level_path) == [1] * 28 + [0] * 72
assert flow_year[level_path == 0][0] == 1899

# %% [markdown]
# ## Zeros that stay zeros
#
# A change that happens once is a chain with zeros in it: it begins in the first state, and has no way back from the second.
# Then *when* it changed is a question with a posterior: the probability of each pair (first state, then second). Fitting keeps
# zeros at 0 exactly. The last year of high water was, most likely, 1898, where Cobb (1978) found it.

# %%
once, once_outcome = sx.HiddenMarkov(
    [1.0, 0.0], [[0.98, 0.02], [0.0, 1.0]], sx.Normal(np.array([1100.0, 850.0]), 130.0)
).fit(flow)
pairs = once.smooth(flow, pairwise=True).pairs
change = np.asarray(pairs[:, 0, 1])
print(once)
for i in np.argsort(-change)[:4]:
    print(f"last year of the high level {flow_year[i]}: {change[i]:.3f}")
assert once.transition[1, 0] == 0
assert np.isclose(change.sum(), 1.0, atol=1e-4)
assert flow_year[change.argmax()] == 1898
assert np.all(np.asarray(pairs[:, 1, 0]) == 0)

figure = Figure(figsize=(8, 4), layout="constrained")
upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
upper.plot(flow_year, flow, "o-", color=GREY, markersize=3, linewidth=0.8)
means = np.asarray(once.smooth(flow).probabilities @ once.emission.loc)
upper.plot(flow_year, means, color=BLUE, linewidth=2, label="expected level")
upper.set_ylabel("flow, 10⁸ m³ a year")
upper.legend(frameon=False)
lower.bar(flow_year[:-1], change, width=0.8, color=BLUE)
lower.set(xlabel="year", ylabel="P(last\nhigh year)", xlim=(1870, 1971))
show(figure, "04_nile.png")

# %% [markdown]
# ## What floating point forgets
#
# Textbook code passes probabilities along, scaled to 1 at each step. Take two states that never change, and three observations
# that each speak for the second state with 110 nats (159 bits), after one that spoke as strongly for the first. In float32 the
# second state has probability 0 after the first observation: for the textbook it is gone for good, and what follows is
# impossible. A surprise of 110 nats is an ordinary number.

# %%
gap = np.sqrt(2 * 110.0)
still = sx.HiddenMarkov([0.5, 0.5], np.eye(2), sx.Normal(np.array([0.0, gap]), 1.0))
seen = np.array([0.0, gap, gap, gap])


def textbook(initial, transition, likelihood):
    """Forward probabilities, scaled to 1 at each step, in the precision of what is given."""
    belief, total = initial, 0.0
    for step, row in enumerate(likelihood):
        belief = (belief if step == 0 else belief @ transition) * row
        with np.errstate(divide="ignore", invalid="ignore"):
            total, belief = total + np.log(belief.sum()), belief / belief.sum()
    return total, belief


likelihood = np.asarray(jnp.exp(still.emission.log_prob(seen[:, None])), np.float32)
scaled, gone = textbook(np.float32([0.5, 0.5]), np.eye(2, dtype=np.float32), likelihood)
exact = np.log(0.5) - 4 * np.log(np.sqrt(2 * np.pi)) - 110.0  # the second state all along; the first loses by 220 nats
print(
    f"log-likelihood: exact {exact:.4f}, textbook in float32 {scaled}, surprax in float32 {still.log_likelihood(seen):.4f}"
)
print("last belief, textbook:", gone, " surprax:", np.asarray(still.filter(seen).probabilities[-1]))
assert not np.isfinite(scaled)
assert abs(still.log_likelihood(seen) - exact) < 1e-4
assert still.filter(seen).probabilities[-1, 1] > 0.999

# %% [markdown]
# ## Beliefs, moved by matrices
#
# What `filter` does, by hand: a `Belief` is a vector of surprises. A year that passes mixes its probabilities by the
# transitions, and the count that is seen adds the surprises that each state has at it. Bayes' rule is the plus sign.

# %%
belief = sx.Belief.from_probabilities(model.initial, ["calm", "middling", "restless"])
for i, x in enumerate(count[:8]):
    if i:
        belief = sx.Belief.from_probabilities(belief.probabilities() @ model.transition, belief.labels)
    belief = belief + model.emission.surprise(x)
    print(f"{year[i]}: {x:2d} earthquakes, belief {np.asarray(belief.probabilities()).round(4)}")
    assert np.allclose(belief.probabilities(), filtered.probabilities[i], atol=1e-5)

# %% [markdown]
# Mixing makes beliefs alike: two worlds that disagree about the past agree more with every step, whatever is seen, because both
# learn the same, which leaves their distance as it is, and both move by the same matrix, which cannot make it longer (Birkhoff
# 1957). That is why the belief of 2006 does not depend on what one thought in 1900.

# %%
ordinary = 0.9 * steps + 0.1 / 3  # from each state to each
pair = [np.array([0.98, 0.01, 0.01]), np.array([0.01, 0.01, 0.98])]
apart = []
for _ in range(6):
    ratio = np.log(pair[0] / pair[1])
    apart.append(ratio.max() - ratio.min())
    pair = [p @ ordinary for p in pair]
print("apart, in nats:", np.round(apart, 3))
assert np.all(np.diff(apart) < 0)
start_calm, start_restless = (
    sx.HiddenMarkov(p, steps, model.emission).filter(count).probabilities[-1]
    for p in ([0.98, 0.01, 0.01], [0.01, 0.01, 0.98])
)
assert np.allclose(start_calm, start_restless, atol=1e-6)

# %% [markdown]
# ## Exercise
#
# Predict, before you run it: how surprising, in bits, would 30 earthquakes have been in 2007, for the chain? And 13? And which
# belief about 2007 would the first leave behind?

# %%
next_year = today @ steps
for number in (13, 30):
    masses = np.exp(np.asarray(model.emission.log_prob(number)))
    after = next_year * masses
    print(
        f"{number}: {bits(np.log(after.sum())):.1f} bit, then P(calm, middling, restless) = {(after / after.sum()).round(3)}"
    )
assert 8 < bits(np.log(np.sum(next_year * np.exp(np.asarray(model.emission.log_prob(30)))))) < 9
