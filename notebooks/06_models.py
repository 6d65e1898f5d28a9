# %% [markdown]
# # 6 · Models that know their own structure
#
# A NumPyro model is a program, and programs can be read. surprax finds what the posterior depends on and keeps that; says so like
# a database explains a query; proves that nothing changed; and samples at a cost that has forgotten how many rows there were.
# Where the answer has a closed form, it gives that instead of draws.
#
# It is one plain file: run it as a script (pictures go to the folder `play/`), open it as a notebook (Jupyter with jupytext,
# or VS Code), or let `make test` run it. Every claim is followed by the line that checks it.

# %%
import os

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from matplotlib.figure import Figure
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import log_density

import surprax as sx
from surprax.infer.diagnostics import ess
from surprax.plots import show

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"


# %% [markdown]
# ## The question
#
# The RAND Health Insurance Experiment gave families insurance plans by lot and counted their visits to a doctor: 10,095
# person-years. Do people who pay a larger share of the bill go less often? Counts are more spread out than Poisson, and depend on
# health too. Nothing in the model knows about surprax.

# %%
table = sx.data.datasets.load("doctor_visits")
visits = np.asarray(table["visits"])
share, plan_of = np.unique(np.asarray(table["coinsurance"]), return_inverse=True)
health, health_of = np.unique(np.asarray(table["health"]), return_inverse=True)


def doctor(plan_of, health_of, visits=None):
    base = numpyro.sample("base", dist.Normal(1.0, 1.0))
    with numpyro.plate("plans", len(share)):
        plan = numpyro.sample("plan", dist.Normal(0.0, 0.3))
    with numpyro.plate("health states", len(health)):
        state = numpyro.sample("state", dist.Normal(0.0, 0.3))
    size = numpyro.sample("size", dist.Exponential(1.0))
    mean = jnp.exp(base + plan[plan_of] + state[health_of])
    with numpyro.plate("person-years", len(plan_of)):
        numpyro.sample("visits", dist.NegativeBinomial2(mean, size), obs=visits)


# %% [markdown]
# ## The plan
#
# The mean depends on a person-year only through the plan and the state of health: twenty cells. Within a cell a person-year is
# its number of visits, so that what is left are the distinct pairs of a cell and a number, and how often each occurred.

# %%
plan = sx.plan(doctor, plan_of, health_of, visits)
print(plan)
assert plan["visits"].rule == "cells"
assert plan["visits"].numbers < 0.2 * plan["visits"].rows
assert plan.certificate.holds

# %% [markdown]
# `sx.compress` is what the plan describes: a NumPyro model without arguments, with the same latent sites. Its log-density is the
# plain one's, here and at any other point.

# %%
fast = sx.compress(doctor, plan_of, health_of, visits)
at = {"base": 0.9, "plan": jnp.linspace(-1, 1, len(share)), "state": jnp.zeros(len(health)), "size": 0.7}
plain_density = log_density(doctor, (plan_of, health_of, visits), {}, at)[0]
fast_density = log_density(fast, (), {}, at)[0] + fast.log_offset
print(f"log-density: plain {plain_density:.2f}, compressed {fast_density:.2f}")
assert abs(plain_density - fast_density) < 1e-5 * abs(plain_density)

# %% [markdown]
# ## The posterior

# %%
post = sx.infer(doctor, plan_of, health_of, visits, key=jax.random.key(0), num_samples=500, progress=False)
print(post.summary())
print(post.method, "on", post.plan["visits"].detail)

# %% [markdown]
# Who pays all of the bill goes less often than who pays nothing, by a factor that is drawn below beside the mean counts of the
# plans. (The plans come as they were given by lot, so that this is an effect.)

# %%
draws = {name: np.asarray(value).reshape(-1, *value.shape[2:]) for name, value in post.draws.items()}
ratio = np.exp(draws["plan"] - draws["plan"][:, :1])
figure = Figure(figsize=(7.5, 3.2), layout="constrained")
axes = figure.subplots()
means = np.array([visits[plan_of == k].mean() for k in range(len(share))])
low, middle, high = np.quantile(ratio, [0.03, 0.5, 0.97], axis=0)
axes.errorbar(
    np.arange(len(share)), middle, [middle - low, high - middle], fmt="o", color=BLUE, label="posterior, 94 %"
)
axes.plot(np.arange(len(share)), means / means[0], "x", color=RED, label="ratio of mean counts")
axes.set_xticks(np.arange(len(share)), [f"{s:g} %" for s in share])
axes.set_xlabel("share of the bill that the person pays")
axes.set_ylabel("visits, relative to free care")
axes.legend(frameon=False)
show(figure, "06_plans.png")
assert np.quantile(ratio[:, -1], 0.97) < 1.0

# %% [markdown]
# ## Where there is an answer, the answer
#
# A rate for each state of health, with a gamma prior, is conjugate to counts: the posterior is a gamma distribution for each, and
# the probability of all data is known. No draws are needed, and none are made.


# %%
def rates(health_of, visits):
    with numpyro.plate("health states", len(health)):
        rate = numpyro.sample("rate", dist.Gamma(2.0, 0.7))
    with numpyro.plate("person-years", len(visits)):
        numpyro.sample("visits", dist.Poisson(rate[health_of]), obs=visits)


exact = sx.infer(rates, health_of, visits)
print(exact.summary())
print(f"method {exact.method}, log evidence {exact.log_evidence:.1f} nats")
count, total = np.bincount(health_of), np.bincount(health_of, visits)
np.testing.assert_allclose(exact.mean("rate"), (2.0 + total) / (0.7 + count), rtol=1e-6)
assert exact.exact

# %% [markdown]
# ## Ten million rows in float32
#
# A log-likelihood of ten million rows is a number near ten million. In float32 such numbers are one apart, and the posterior lives
# where the log-likelihood changes by one. Along a line through the mode, the plain model in float32 sees stairs, or worse; the
# compressed one, in float32 too, sees the parabola that float64 sees.

# %%
ROWS = int(os.environ.get("SURPRAX_NOTEBOOK_ROWS", 10_000_000))
waits = np.asarray(sx.Gamma(2.5, 0.8).sample(jax.random.key(1), (ROWS,)))


def gamma(x):
    shape = numpyro.sample("shape", dist.LogNormal(0.0, 1.0))
    rate = numpyro.sample("rate", dist.LogNormal(0.0, 1.0))
    with numpyro.plate("rows", len(x)):
        numpyro.sample("x", dist.Gamma(shape, rate), obs=x)


print(sx.plan(gamma, waits))
quick = sx.compress(gamma, waits)
fit = sx.Gamma.fit(waits)
steps = np.linspace(-3.0, 3.0, 25)
sd = np.sqrt(1.0 / ROWS / (float(jax.scipy.special.polygamma(1, fit.concentration)) - 1.0 / fit.concentration))


def along(model, args, dtype):
    """Log-density along a line through the fit, less its value there; data are arguments of one program."""

    @jax.jit
    def at(step, args):
        shape = jnp.asarray(fit.concentration, dtype) + step * jnp.asarray(sd, dtype)
        return log_density(model, args, {}, {"shape": shape, "rate": shape * jnp.asarray(1.0 / fit.mean, dtype)})[0]

    values = [float(at(jnp.asarray(step, dtype), args)) for step in steps]
    return np.array(values) - values[len(steps) // 2]


curves = {"plain, float32": along(gamma, (jnp.asarray(waits),), jnp.float32)}
curves["compressed, float32"] = along(quick, (), jnp.float32)
with jax.enable_x64(True):
    curves["plain, float64"] = along(gamma, (jnp.asarray(waits, jnp.float64),), jnp.float64)
for name, curve in curves.items():
    worst = np.max(np.abs(curve - curves["plain, float64"]))
    print(f"{name:20s} off by up to {worst:.3g} nats")

# %%
figure = Figure(figsize=(7.5, 3.4), layout="constrained")
axes = figure.subplots()
for (name, curve), colour, style in zip(curves.items(), (RED, BLUE, GREY), ("o-", "s", "-")):
    axes.plot(steps, curve, style, color=colour, label=name, markersize=4, linewidth=1)
axes.set_xlabel("standard deviations from the fit")
axes.set_ylabel("log-density, nats")
axes.legend(frameon=False)
show(figure, "06_float32.png")
assert np.max(np.abs(curves["compressed, float32"] - curves["plain, float64"])) < 0.05

# %% [markdown]
# ## Written either way
#
# Eight schools tried out a coaching programme (Rubin 1981): eight rows, so there is nothing to compress. Their effects are written
# around a common mean, `theta ~ Normal(mu, tau)`, and where tau is small the posterior is a funnel, in which samplers get stuck;
# textbooks say to write it another way. Because surprax has read the model, it knows which value rows see, what they tell of it and
# what the prior does, and samples in units of these: it makes no difference how a model is written.

# %%
coaching = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
errors = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def schools(y, se):
    mu, tau = numpyro.sample("mu", dist.Normal(0.0, 5.0)), numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", len(y)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, se), obs=y)


ours = sx.infer(schools, coaching, errors, key=jax.random.key(8), progress=False)
usual = MCMC(
    NUTS(schools), num_warmup=1000, num_samples=1000, num_chains=4, chain_method="sequential", progress_bar=False
)
usual.run(jax.random.key(9), coaching, errors)
drawn = {"surprax": ours.draws, "NumPyro": usual.get_samples(group_by_chain=True)}
lost = {"surprax": ours.statistics["diverging"], "NumPyro": usual.get_extra_fields()["diverging"]}
effective = {name: float(ess(np.asarray(draws["tau"]))) for name, draws in drawn.items()}
for name in drawn:
    print(
        f"{name:8s} {effective[name]:6,.0f} effective draws of tau out of 4,000, {int(np.sum(lost[name]))} divergences"
    )
assert effective["surprax"] > 2_000 > effective["NumPyro"]
assert not np.any(lost["surprax"])

# %%
figure = Figure(figsize=(7.5, 3.4), layout="constrained")
for axes, (name, draws), colour in zip(figure.subplots(1, 2, sharex=True, sharey=True), drawn.items(), (BLUE, RED)):
    axes.plot(
        np.ravel(draws["theta"][..., 0]), np.log(np.ravel(draws["tau"])), ".", color=colour, markersize=2, alpha=0.4
    )
    axes.set_title(name, fontsize=10)
    axes.set_xlabel("theta[0]")
    axes.set_ylabel("log tau")
    axes.label_outer()
show(figure, "06_funnel.png")

# %% [markdown]
# ## What is left alone
#
# No rewrite may change a posterior, so that what is not understood stays as it is, and the plan says what stood in the way: a
# regression on a number that hardly repeats has nothing to gain, an autoregression mixes rows.

# %%
nile = np.asarray(sx.data.datasets.load("nile")["volume"])


def walk(flow):
    start, step = numpyro.sample("start", dist.Normal(1000.0, 200.0)), numpyro.sample("step", dist.HalfNormal(50.0))
    with numpyro.plate("years", len(flow)):
        jump = numpyro.sample("jump", dist.Normal(0.0, 1.0))
        numpyro.sample("flow", dist.Normal(start + step * jnp.cumsum(jump), 120.0), obs=flow)


print(sx.plan(walk, nile))
assert sx.plan(walk, nile)["flow"].rule is None

# %% [markdown]
# ## Exercise
#
# Predict, before you run it, what the plan says of the doctor's model if the number of visits had been Poisson: which rule, and how
# many numbers? And if it had been Normal with one scale?


# %%
def poisson_doctor(plan_of, health_of, visits):
    with numpyro.plate("plans", len(share)):
        plan = numpyro.sample("plan", dist.Normal(0.0, 1.0))
    with numpyro.plate("health states", len(health)):
        state = numpyro.sample("state", dist.Normal(0.0, 0.5))
    with numpyro.plate("person-years", len(plan_of)):
        numpyro.sample("visits", dist.Poisson(jnp.exp(plan[plan_of] + state[health_of])), obs=visits)


answer = sx.plan(poisson_doctor, plan_of, health_of, visits)["visits"]
print(answer.rule, "·", answer.detail)
assert answer.numbers == 2 * len(np.unique(plan_of * len(health) + health_of))
