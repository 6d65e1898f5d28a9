# %% [markdown]
# # 5 · Estimates: who would have been surprised least?
#
# A model with unknown numbers is many players at once, one for each value of the numbers. *Maximum likelihood* names the one
# whom the data would have surprised least. `sx.glm` does so for models of a mean that a line runs through; the `Estimate` that
# it returns says how much more surprised the others would have been, and says in a sentence where there is no best one.
#
# It is one plain file: run it as a script (pictures go to the folder `play/`), open it as a notebook (Jupyter with jupytext, or
# VS Code), or let `make test` run it. Every claim is followed by the line that checks it. Data that are not real are drawn with
# a key that is stated.

# %%
import warnings

import jax
import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

import surprax as sx
from surprax.plots import show

BLUE, RED, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#777777"
SCORE = {}


def predict(question, answer, **guess):
    """What you are surprised by, in bits: put your own probabilities into the calls below before you run them."""
    assert np.isclose(sum(guess.values()), 1.0), "probabilities add to 1"
    SCORE[question] = float(sx.surprise(guess[answer], "bit"))
    print(f"{question} {answer}: {SCORE[question]:.2f} bit for you, {np.log2(len(guess)):.2f} for who does not know")


# %% [markdown]
# ## Apples and oranges
#
# Four fruits by colour, red and green from 0 to 255: two green apples, two oranges. What is P(orange) of a colour? A logistic
# regression draws a line, on one side of which it says orange. Before you run it: how surprised is the best line by these four?

# %%
fruits = {
    "red": np.array([0, 0, 250, 255]) / 255,
    "green": np.array([120, 110, 150, 163]) / 255,
    "orange": [0, 0, 1, 1],
}
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    line = sx.glm("orange ~ red + green", fruits, family=sx.Bernoulli)
print(said[-1].message)
print(f"total surprise {line.surprise('bit'):.1e} bit")
predict("Is there a best line?", "yes" if line.converged else "no", yes=0.5, no=0.5)
assert not line.converged
assert "separation" in str(said[-1].message)
assert line.surprise("bit") < 1e-6

# %% [markdown]
# There is none: whoever is surest is surprised least, and one can always be surer. A penalty says that large coefficients are
# surprising themselves: ½·l2·Σb² nats, as a normal prior does. A small one is enough.

# %%
ridge = sx.glm("orange ~ red + green", fruits, family=sx.Bernoulli, penalty=0.02)
print({name: round(float(value), 2) for name, value in ridge.params.items()})
print("surprise at each fruit:", ridge.residuals("surprise").round(3), "bit")
assert ridge.converged
assert np.all(ridge.residuals("surprise") < 0.2)

# %% [markdown]
# Now somebody brings red apples. The line has seen that what is red is an orange, and is sure of it: right four times, and then
# surprised by more bits than a coin that knows nothing. A line that has seen the red apples does better, by going by green.

# %%
red_apples = {"red": np.array([200, 225]) / 255, "green": np.array([30, 45]) / 255}
before = ridge.distribution_of(red_apples).surprise(np.zeros(2), "bit")
both = {name: np.concatenate([fruits[name], red_apples[name]]) for name in ("red", "green")} | {
    "orange": [0, 0, 1, 1, 0, 0]
}
after = sx.glm("orange ~ red + green", both, family=sx.Bernoulli, penalty=0.02)
print("the first line, at the red apples: ", np.round(before, 2), "bit")
print("a line fitted to all six, at these:", after.residuals("surprise")[4:].round(2), "bit")
predict(
    "A red apple costs more than a coin's 1 bit:",
    "both" if np.all(before > 1) else "not both",
    **{"both": 0.5, "not both": 0.5},
)
assert np.all(before > 1)
assert np.all(after.residuals("surprise") < 1)


# %%
def shaded(axes, estimate, title):
    """Evidence for orange in bits, log2 of the odds, over all colours; and the fruits with what they cost."""
    grid = np.linspace(-15, 270, 120)
    R, G = np.meshgrid(grid, grid)
    eta = estimate.predict({"red": R.ravel() / 255, "green": G.ravel() / 255}, kind="linear").reshape(R.shape) / np.log(
        2
    )
    image = axes.pcolormesh(R, G, eta, cmap="PuOr_r", norm=TwoSlopeNorm(0, -12, 12), shading="gouraud", rasterized=True)
    lines = axes.contour(
        R, G, eta, levels=[-9, -6, -3, 0, 3, 6, 9], colors="#333333", linewidths=[0.5] * 3 + [1.8] + [0.5] * 3
    )
    even = np.argsort(np.abs(eta), axis=None)[:60]
    place = [(np.median(R.flat[even]), np.median(G.flat[even]))]
    axes.clabel(lines, levels=[0], fmt=lambda _: "even odds", fontsize=9, manual=place)
    axes.set(title=title, xlabel="red", ylabel="green", xlim=(-15, 270), ylim=(-15, 270), aspect="equal")
    return image


def fruit(axes, red, green, costs, colour, label):
    axes.plot(
        255 * red,
        255 * green,
        "o",
        color=colour,
        markersize=9,
        markeredgecolor="white",
        label=label,
        clip_on=False,
        zorder=4,
    )
    for x, y, cost in zip(255 * red, 255 * green, costs):
        side = 1 if x < 128 else -1
        axes.annotate(
            f"{cost:.2f}",
            (x, y),
            (9 * side, 0),
            textcoords="offset points",
            fontsize=9,
            va="center",
            ha="left" if side > 0 else "right",
            bbox={"boxstyle": "round,pad=0.15", "color": "white", "alpha": 0.75},
        )


figure = Figure(figsize=(10, 4.9), layout="constrained")
left, right = figure.subplots(1, 2, sharey=True)
for axes, fit, title in ((left, ridge, "fitted to four fruits"), (right, after, "fitted to six")):
    image = shaded(axes, fit, title)
    four = fit.distribution_of(fruits).surprise(np.asarray(fruits["orange"], float), "bit")
    two = fit.distribution_of(red_apples).surprise(np.zeros(2), "bit")
    fruit(axes, fruits["red"][:2], fruits["green"][:2], four[:2], GREEN, "green apple")
    fruit(axes, fruits["red"][2:], fruits["green"][2:], four[2:], ORANGE, "orange")
    fruit(axes, red_apples["red"], red_apples["green"], two, "#BB0000", "red apple")
right.set_ylabel("")
figure.colorbar(
    image, ax=(left, right), label="evidence for an orange (bits; a line every 3)", shrink=0.85, ticks=range(-12, 13, 3)
)
figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
figure.suptitle("numbers at the fruits: surprise at what they are, in bits", fontsize=10)
show(figure, "05_apples_and_oranges.png")

# %% [markdown]
# A whole orchard settles it (drawn, key 5): its apples ripen from green over yellow to red, past the oranges. No line separates
# these, so there is a best one, with standard errors; and its price against that of one who may use a curve is told in bits.

# %%
rng = np.random.default_rng(5)
ripe = rng.uniform(0, 1, 150)
apples = np.stack([60 + 190 * np.sqrt(ripe), 150 - 110 * ripe**2], axis=1) + rng.normal(0, 18, (150, 2))
oranges = np.array([245, 140]) + rng.normal(0, 14, (90, 2))
orchard = {
    "red": np.clip(np.r_[apples[:, 0], oranges[:, 0]], 0, 255) / 255,
    "green": np.clip(np.r_[apples[:, 1], oranges[:, 1]], 0, 255) / 255,
    "orange": np.r_[np.zeros(150), np.ones(90)],
}
straight = sx.glm("orange ~ red + green", orchard, family=sx.Bernoulli)
print(straight.summary())
print("a line", f"{straight.surprise('bit') / 240:.3f} bit per fruit; who knows the shares alone", end=" ")
print(f"{sx.Bernoulli.fit(orchard['orange']).entropy('bit'):.3f}")
assert straight.converged
assert straight.surprise("bit") / 240 < 0.3

# %% [markdown]
# ## What an apple weighs
#
# Three apples by colour and diameter: red, 9 cm, 120 g; dark green, 11 cm, 180 g; light green, 13 cm, 160 g. With colours and
# diameter there are more columns than apples, which give every weight exactly and leave nothing to judge them by. The diameter
# alone: ten grams for a centimetre.

# %%
three = {"colour": ["red", "dark green", "light green"], "diameter": [9.0, 11.0, 13.0], "weight": [120.0, 180.0, 160.0]}
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    sx.glm("weight ~ colour + diameter", three)
print(said[-1].message)
by_size = sx.glm("weight ~ diameter", three)
low, high = by_size.confidence_interval("diameter")
print(
    f"{by_size['diameter']:.1f} g/cm, 95 % from {low:.0f} to {high:.0f}: three apples on a line leave one degree of freedom"
)
assert "exactly (3 rows, 4 columns)" in str(said[-1].message)
assert np.isclose(by_size["diameter"], 10.0)

# %% [markdown]
# ## Surf, as classes and as a number
#
# From a buoy: height, period and direction of the swell; at the beach: how high the waves are. (Made up, key 6: surf is about
# 0.28 · height · √period, less the farther the swell comes from the side, give or take 20 %.) A *gamma* model with a
# logarithmic link predicts the number; a *categorical* one predicts a class. To compare them, let the gamma tell the
# probability of each class.

# %%
rng = np.random.default_rng(6)
n = 400
sea = {"height": rng.gamma(6, 0.3, n), "period": rng.uniform(6, 16, n), "direction": rng.uniform(-60, 60, n)}
mean = 0.28 * sea["height"] * np.sqrt(sea["period"]) * np.cos(np.radians(sea["direction"]))
sea["surf"] = mean * rng.gamma(25, 1 / 25, n)
EDGES, CLASSES = (0.8, 1.6), ("a flat", "b fun", "c huge")
index = np.digitize(sea["surf"], EDGES)
sea["facing"] = np.cos(np.radians(sea["direction"]))
sea["kind"] = np.array(CLASSES)[index]
train, test = ({k: v[part] for k, v in sea.items()} for part in (slice(0, 300), slice(300, n)))

number = sx.glm("surf ~ np.log(height) + np.log(period) + np.log(facing)", train, family=sx.Gamma)
print({name: round(value, 2) for name, value in number.coefficients.items()})
classes = sx.glm(
    "kind ~ np.log(height) + np.log(period) + np.log(facing)",
    train,
    family=sx.Categorical,
)
law = sx.Gamma(number.extra, number.extra / number.predict(test))
below = np.stack([np.zeros(100), *(np.exp(law.log_cdf(edge)) for edge in EDGES), np.ones(100)])
seen = np.arange(100), index[300:]
bits = {
    "who knows the shares alone": -np.log2(np.bincount(index[:300], minlength=3) / 300)[index[300:]],
    "categorical": -np.log2(classes.predict(test)[seen]),
    "gamma, by class": -np.log2(np.diff(below, axis=0).T[seen]),
}
for name, cost in bits.items():
    print(f"{name:27s} {cost.mean():.3f} bit for each new day")
predict(
    "Which is less surprised?",
    min(("categorical", "gamma"), key=lambda m: bits[m if m == "categorical" else "gamma, by class"].mean()),
    categorical=0.5,
    gamma=0.5,
)
assert bits["gamma, by class"].mean() < bits["categorical"].mean() < bits["who knows the shares alone"].mean()
assert np.allclose([number.coefficients[k] for k in list(number.coefficients)[1:3]], [1.0, 0.5], atol=0.1)

# %% [markdown]
# The number knows that huge is more than fun, and how the classes hang together; it wins where its law is right. A class is
# what remains when that is thrown away.
#
# ## Spam: right, and yet surprised
#
# Accuracy asks on which side of a half a probability is. Multiply all log-odds by five: the same letters are called spam, the
# accuracy is the same to the last letter, and what it costs is not. (Made up, key 7: 500 letters, how often they shout and
# whether they know you.)

# %%
rng = np.random.default_rng(7)
shouts, knows = rng.poisson(2.0, 1000), rng.integers(0, 2, 1000)
letters = {"shouts": shouts, "knows": knows}
letters["spam"] = rng.uniform(size=1000) < 1 / (1 + np.exp(-(1.6 * shouts - 3.2 * knows - 1.6)))
learn, new = ({k: v[part] for k, v in letters.items()} for part in (slice(0, 500), slice(500, 1000)))
calm = sx.glm("spam ~ shouts + knows", learn, family=sx.Bernoulli)
log_odds = calm.predict(new, kind="linear")
players = {"calibrated": sx.Bernoulli(logits=log_odds), "sure of itself": sx.Bernoulli(logits=5 * log_odds)}
right = {name: np.mean((np.asarray(p.mean) > 0.5) == new["spam"]) for name, p in players.items()}
cost = {name: np.asarray(p.surprise(new["spam"].astype(float), "bit")) for name, p in players.items()}
for name in players:
    print(f"{name:15s} right {right[name]:.1%}, {cost[name].mean():.3f} bit a letter, {cost[name].max():5.1f} at worst")
print("the fit itself:", calm.compression)
assert right["calibrated"] == right["sure of itself"]
assert cost["calibrated"].mean() < 1 < cost["sure of itself"].mean()

# %% [markdown]
# ## House prices by area
#
# (Made up, key 8: 220 houses; price grows with area, and so does what it is off by.) The bell curve is the usual choice. Both
# players may use two coefficients and a spread; *quantile residuals* show what each has not understood: they are the standard
# normal scores of the probabilities that a model gave to lower prices, and a right model leaves a band that is as wide
# everywhere.

# %%
rng = np.random.default_rng(8)
area = np.round(rng.gamma(4, 30, 220) + 30)
houses = {"area": area, "price": 2.9 * area**1.05 * rng.gamma(14, 1 / 14, 220)}
models = {
    "normal": sx.glm("price ~ area", houses),
    "gamma, log link": sx.glm("price ~ np.log(area)", houses, family=sx.Gamma),
}
for name, fit in models.items():
    print(f"{name:16s} {fit.surprise('bit') / 220:.3f} bit a house, AIC {fit.aic:.1f}")
print(models["gamma, log link"].summary())
ahead = models["normal"].surprise("bit") - models["gamma, log link"].surprise("bit")
print(f"the gamma is ahead by {ahead:.0f} bit")
assert ahead > 20

figure = Figure(figsize=(11, 6.2), layout="constrained")
panels = figure.subplots(2, 2, sharex=True, height_ratios=(1.25, 1))
at = np.linspace(area.min(), area.max(), 200)
for (upper, lower), (name, fit), colour in zip(panels.T, models.items(), (RED, BLUE)):
    held = fit.predict({"area": at}, interval="prediction", level=0.9)
    upper.fill_between(at, held.low, held.high, color=colour, alpha=0.15, linewidth=0, label="90 % of prices")
    upper.plot(at, held.mean, color=colour, linewidth=1.8, label="mean")
    upper.plot(area, houses["price"], ".", color="#333333", markersize=4)
    upper.set(title=name, ylim=(-250, 2000))
    upper.legend(frameon=False, loc="upper left")
    scores = fit.residuals("quantile")
    lower.axhspan(-1.645, 1.645, color=colour, alpha=0.12, linewidth=0, label="where 90 % should be")
    lower.axhline(0, color=colour, linewidth=1)
    lower.plot(area, scores, ".", color="#333333", markersize=4)
    lower.set(xlabel="area (m²)", ylim=(-4.3, 4.3))
    lower.legend(frameon=False, loc="lower left", fontsize=9)
panels[0, 0].set_ylabel("price (thousands)")
panels[1, 0].set_ylabel("quantile residual")
show(figure, "05_residuals.png")
small, large = (models["normal"].residuals("quantile")[part].std() for part in (area < 100, area > 200))
print(f"normal: residuals of small houses have sd {small:.2f}, of large ones {large:.2f}")
assert small < 0.8
assert large > 1.3

# %% [markdown]
# ## How well is it known? Twenty-three flights
#
# Before Challenger was launched at 31 °F, there had been 23 flights, at 53 to 81 °F; seven came back with damaged O-rings. The
# coefficients are those of Dalal, Fowlkes and Hoadley (1989).

# %%
flights = sx.data.datasets.load("o_rings")
damage = sx.glm("I(damaged > 0) ~ temperature", flights, family=sx.Bernoulli)
print(damage.summary())
assert np.allclose(list(damage.params.values()), [15.043, -0.2322], atol=5e-4)

# %% [markdown]
# A *compatibility curve* asks each slope how surprised it would be. Wald's answer takes the likelihood for a parabola; the
# profile climbs the likelihood itself, which is steep towards 0 and gentle away from it. Before you run it: which gives more
# bits to "temperature makes no difference"?

# %%
curve = damage.compatibility("temperature", np.linspace(-0.72, 0.1, 83))
error = damage.standard_errors()["temperature"]
wald = np.asarray(
    sx.s_value(log_p=np.log(2) + sx.Normal(0.0, 1.0).log_sf(np.abs(curve.values - curve.estimate) / error))
)
null = sx.glm("I(damaged > 0) ~ 1", flights, family=sx.Bernoulli)
ratio, squared = damage.likelihood_ratio_test(null), damage.wald_test({"temperature": 0.0})
print(ratio)
print(squared)
predict("More bits against 0:", "profile" if ratio.s_value > squared.s_value else "wald", profile=0.5, wald=0.5)
assert np.isclose(np.interp(0.0, curve.values, curve.bits), ratio.s_value, atol=0.05)
assert ratio.s_value > squared.s_value + 2

# %% [markdown]
# Intervals of every kind, side by side. Robust ones ask the rows how they scatter; the bootstrap refits to flights drawn again,
# of which a few come close to separation, where slopes run away.

# %%
intervals = {
    "Wald": damage.confidence_interval("temperature"),
    "Wald, sandwich": damage.confidence_interval("temperature", kind="sandwich"),
    "Wald, HC3": damage.confidence_interval("temperature", kind="HC3"),
    "score": damage.confidence_interval("temperature", method="score"),
    "profile": damage.confidence_interval("temperature", method="profile"),
    "bootstrap": damage.confidence_interval("temperature", method="bootstrap", key=jax.random.key(1), resamples=300),
}
for name, (low, high) in intervals.items():
    print(f"{name:15s} {low:7.3f} to {high:7.3f}")
assert np.allclose(np.interp(intervals["profile"], curve.values, curve.bits), -np.log2(0.05), atol=0.05)
assert all(high < 0 for _, high in intervals.values())

figure = Figure(figsize=(11, 4.4), layout="constrained")
left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
left.plot(curve.values, curve.bits, color=BLUE, linewidth=2, label="profile likelihood")
left.plot(curve.values, wald, color=RED, linewidth=1.6, linestyle=(0, (5, 2)), label="Wald")
left.axhline(-np.log2(0.05), color=GREY, linewidth=1)
left.annotate("95 %", (-0.72, -np.log2(0.05)), (2, -11), textcoords="offset points", color=GREY)
left.axvline(0, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
left.plot([0, 0], [squared.s_value, ratio.s_value], "o", color="#333333", markersize=5, zorder=4)
for test, pull, side in ((ratio, (-6, 4), "right"), (squared, (5, -11), "left")):
    left.annotate(f"{test.s_value:.1f} bit", (0, test.s_value), pull, textcoords="offset points", ha=side, fontsize=9)
left.set(xlabel="slope of the log-odds per °F", ylabel="surprise of the data (bits)", ylim=(0, 14), xlim=(-0.72, 0.1))
left.set_title("compatibility of every slope", fontsize=11)
left.legend(frameon=False, loc="upper center")
for i, (name, (low, high)) in enumerate(intervals.items()):
    colour = BLUE if name in ("profile", "score") else GREEN if name == "bootstrap" else RED
    right.plot([max(low, -0.75), high], [i, i], color=colour, linewidth=3, solid_capstyle="butt")
    if low < -0.75:
        right.annotate(f"◂ −{-low:.1f}", (-0.75, i), (0, 6), textcoords="offset points", fontsize=9, color=colour)
right.axvline(damage["temperature"], color="#333333", linewidth=1)
right.axvline(0, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
right.set_yticks(range(len(intervals)), intervals)
right.set(xlabel="slope of the log-odds per °F", xlim=(-0.78, 0.1), ylim=(len(intervals) - 0.5, -0.5))
right.set_title("95 % intervals of every kind", fontsize=11)
show(figure, "05_compatibility.png")

# %% [markdown]
# And at 31 °F? The estimate is sure; but it lies 22 °F beyond all data, and the interval says what a line knows of that.

# %%
at_31 = damage.predict({"temperature": [31.0, 53.0, 75.0]}, interval="mean")
print(at_31)
assert at_31.mean[0] > 0.999
assert at_31.low[0] < 0.5

# %% [markdown]
# ## Rates with exposure
#
# Coronary deaths among British doctors, by age and smoking (Doll and Hill 1966), over the years that they were watched: a rate
# per person-year is modelled by a Poisson law with log years as an *offset*, a covariate whose coefficient is 1. The figures
# are those that Stata prints for this example: a rate ratio of 1.4255 from 1.1550 to 1.7594, log-likelihood −33.600153.

# %%
years = np.array([52407, 43248, 28612, 12663, 5317, 18790, 10673, 5710, 2585, 1462])
doctors = {
    "age": ["35-44", "45-54", "55-64", "65-74", "75-84"] * 2,
    "smokes": [1] * 5 + [0] * 5,
    "deaths": [32, 104, 206, 186, 102, 2, 12, 28, 28, 31],
    "log_years": np.log(years),
}
rate = sx.glm("deaths ~ smokes + age", doctors, family=sx.Poisson, offset="log_years")
low, high = np.exp(rate.confidence_interval("smokes"))
print(f"rate ratio {np.exp(rate['smokes']):.4f}, {low:.4f} to {high:.4f}; log-likelihood {rate.log_likelihood:.6f}")
assert np.allclose([np.exp(rate["smokes"]), low, high], [1.425519, 1.154984, 1.759421], atol=1e-6)
assert np.isclose(rate.log_likelihood, -33.600153, atol=1e-6)

# %% [markdown]
# One ratio for all ages? A model with a ratio for each age is a better one by 8.75 bit of likelihood, for four more numbers:
# the test says how surprising so much is.

# %%
each_age = sx.glm("deaths ~ smokes * age", doctors, family=sx.Poisson, offset="log_years")
print(rate.likelihood_ratio_test(each_age))
print(
    "ratio by age:", np.exp(each_age["smokes"] + np.r_[0, [each_age[k] for k in each_age.labels if ":" in k]]).round(2)
)
print(
    "deaths per 10,000 smoker-years at 60:",
    1e4 * rate.predict({"smokes": [1], "age": ["55-64"], "log_years": [0.0]}).round(5),
)
assert np.isclose(rate.deviance, 12.13, atol=0.01)
assert each_age.deviance < 1e-8

# %% [markdown]
# ## Ten thousand rows are twenty
#
# The RAND experiment again: visits to a doctor by plan and health, 10,095 person-years. Covariates are discrete, and a Poisson
# likelihood needs the number and the sum of each combination: twenty cells. Nothing is lost; the compression says what was
# done. Counts are more spread out than Poisson. Before you run it: by how many bits a person-year does a negative binomial do
# better?

# %%
visits = sx.data.datasets.load("doctor_visits")
fits = {
    family.__name__: sx.glm("visits ~ C(coinsurance) + health", visits, family=family)
    for family in (sx.Poisson, sx.NegativeBinomial)
}
for name, fit in fits.items():
    print(f"{name:17s} {fit.compression:38s} {fit.surprise('bit') / fit.nobs:.3f} bit a person-year, AIC {fit.aic:.0f}")
gain = (fits["Poisson"].surprise("bit") - fits["NegativeBinomial"].surprise("bit")) / fits["Poisson"].nobs
predict(
    "Bits that the negative binomial gains:", "above 1" if gain > 1 else "below 1", **{"below 1": 0.5, "above 1": 0.5}
)
assert "20 cells" in fits["Poisson"].compression
full = "C(coinsurance)[T.100]"
print(fits["NegativeBinomial"].summary())
errors = {kind: fits["Poisson"].standard_errors(kind)[full] for kind in ("observed", "sandwich")}
errors["negative binomial"] = fits["NegativeBinomial"].standard_errors()[full]
print("standard errors of the effect of paying all:", {k: round(float(v), 4) for k, v in errors.items()})
assert errors["sandwich"] > 2 * errors["observed"]
assert np.isclose(errors["negative binomial"], errors["sandwich"], rtol=0.15)

# %% [markdown]
# Poisson's own standard error takes the mean for the variance, which is a seventh of it, and is as sure as if it had seven
# times the rows. The sandwich asks the rows, and comes to what the negative binomial says. The residuals show why.

# %%
figure = Figure(figsize=(9.5, 4.0), layout="constrained")
z = np.linspace(-3.2, 3.2, 200)
for axes, (name, fit), colour in zip(figure.subplots(1, 2, sharey=True), fits.items(), (RED, BLUE)):
    scores = fit.residuals("quantile", key=jax.random.key(2))
    axes.hist(
        np.clip(scores, -5, 5),
        bins=np.arange(-5, 5.01, 0.25),
        density=True,
        color=colour,
        alpha=0.35,
        label="10,095 residuals",
    )
    axes.plot(z, np.exp(sx.Normal(0.0, 1.0).log_prob(z)), color="#333333", linewidth=1.5, label="a right model's")
    axes.set_title(f"{name}, sd {scores.std():.2f}", fontsize=11)
    axes.set_xlabel("quantile residual (ends: beyond ±5)")
    axes.legend(frameon=False, loc="upper left", fontsize=9)
    axes.set_xlim(-5.2, 5.2)
show(figure, "05_counts.png")
assert scores.std() < 1.1

# %% [markdown]
# ## Exercise
#
# `surprise_of(y, eta)` is to be the surprise in nats at a yes (y = 1) or no (y = 0) for a player whose log-odds of a yes are η.
# The first attempt is the formula of the textbook. Predict which rule it breaks before you run the check; then mend it. (Hint:
# what is 1 − p where the log-odds are 40?)


# %%
def first_attempt(y, eta):
    p = 1 / (1 + np.exp(-eta))
    return -y * np.log(p) - (1 - y) * np.log(1 - p)


def solution(y, eta):
    return np.logaddexp(0.0, np.where(y == 1, -eta, eta))  # log(1 + exp(∓η)): no 1 − p, nothing overflows


RULES = {
    "even odds cost one bit": lambda s, eta: np.allclose(s(1, 0.0 * eta), np.log(2)),
    "the price of being wrong is finite, and about |η|": lambda s, eta: np.allclose(s(0, eta + 40.0), eta + 40.0),
    "a yes at η costs what a no costs at −η": lambda s, eta: np.allclose(s(1, eta), s(0, -eta)),
    "probabilities of yes and no add to 1": lambda s, eta: np.allclose(np.exp(-s(1, eta)) + np.exp(-s(0, eta)), 1.0),
}


def check(surprise_of):
    """The first rule that is broken, with the smallest case of it; or that all hold."""
    rng = np.random.default_rng(0)
    for rule, holds in RULES.items():
        for size in np.repeat([1.0, 10.0, 700.0], 30):
            eta = np.round(rng.uniform(0, size, 1), 2)
            with np.errstate(all="ignore"):
                if not holds(surprise_of, eta):
                    return f"broken: {rule}; for example η = {eta}"
    return "all rules hold"


print(check(first_attempt))
print(check(solution))
assert "price of being wrong" in check(first_attempt)
assert check(solution) == "all rules hold"

# %%
print(f"your predictions cost {sum(SCORE.values()):.2f} bit; who knows nothing pays {len(SCORE)}")
