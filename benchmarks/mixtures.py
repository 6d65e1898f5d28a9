"""Mixtures by expectation and maximisation: a million rows, from the same start, to the same likelihood.

The peers are scikit-learn's `GaussianMixture` for normals, at an equal number of steps and until both have settled; and what one
would write in NumPy and SciPy for gammas, which nobody offers. An answer is the log-likelihood per row at the end, and its error is
by how much that is below what the peer reaches.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

import surprax as sx
from benchmarks.harness import Case, Contest, Entrant, MissingPeerError, Setting, Target, quietly
from surprax.beliefs.mixtures import Mixture, MixtureSameFamily

__all__ = ["CASES"]

STEPS, GAMMA_STEPS = 10, 20
"""Ours are extrapolated now and then, and one that fails is a step too: over few of them that may cost more than it gains."""

COMPONENTS, COLUMNS = 5, 4


def scikit_learn() -> Any:
    """scikit-learn's mixtures, which is not among what tests install."""
    try:
        from sklearn import mixture
    except ImportError as error:
        raise MissingPeerError(
            "scikit-learn, the peer of this case, is not installed: pip install -c constraints.txt -e '.[peers]'"
        ) from error
    return mixture


def vectors(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows from five normals of four dimensions, and means to start from."""
    rng = np.random.default_rng(20_240_229)
    means = 3.0 * rng.normal(size=(COMPONENTS, COLUMNS))
    factors = np.eye(COLUMNS) + 0.4 * rng.normal(size=(COMPONENTS, COLUMNS, COLUMNS))
    z = rng.integers(COMPONENTS, size=rows)
    x = means[z]
    for j in range(COMPONENTS):
        x[z == j] += rng.normal(size=(int(np.sum(z == j)), COLUMNS)) @ factors[j].T
    return x, means + 0.5


def behind(truth: float) -> Any:
    """A judge: by how many nats per row an answer is below the likelihood to be reached."""

    def judge(answers: Mapping[str, Any]) -> dict[str, float]:
        return {name: max(0.0, truth - float(answer)) for name, answer in answers.items()}

    return judge


def log_likelihood(d: Any, x: np.ndarray) -> float:
    """Per row, by what both would be scored with."""
    return -d.bic(x, free=0) / 2.0 / len(x)


def normals(whole: bool, setting: Setting) -> Contest:
    """Equal steps: ten of each from the same parameters. Whole: until either says that it has settled, by its own default."""
    rows = setting.size(1_000_000, 2_000)
    x, means = vectors(rows)
    peer = scikit_learn()
    identity = np.stack([np.eye(COLUMNS)] * COMPONENTS)
    start = MixtureSameFamily(np.full(COMPONENTS, 1 / COMPONENTS), sx.MultivariateNormal(means, identity))
    family = Mixture(sx.MultivariateNormal, COMPONENTS)

    @quietly
    def theirs() -> Any:
        # Its own default tolerance, 1e-3 nats per row, would end far below.
        stop = {"tol": 1e-8, "max_iter": 1000} if whole else {"tol": 0.0, "max_iter": STEPS}
        model = peer.GaussianMixture(
            COMPONENTS,
            **stop,
            init_params="random_from_data",
            random_state=0,
            means_init=means,
            weights_init=np.full(COMPONENTS, 1 / COMPONENTS),
            precisions_init=identity,
        )
        return model.fit(x)

    def ours() -> Any:
        stop: dict[str, Any] = {} if whole else {"tolerance": 0.0, "max_iterations": STEPS}
        return family.try_fit(x, start=start, **stop)[0]

    def answer(fitted: Any) -> float:
        return log_likelihood(fitted, x) if isinstance(fitted, MixtureSameFamily) else float(fitted.score(x))

    target = answer(theirs())
    return Contest(
        rows=rows,
        dtype="float64",
        entrants={"surprax": Entrant(ours, answer), "scikit-learn": Entrant(theirs, answer, compilation={})},
        judge=behind(target),
        tolerance=1e-6,
        peer_tolerance=1e-6,
    )


def numpy_gammas(x: np.ndarray, steps: int, means: np.ndarray) -> float:
    """Expectation and maximisation with Newton's method for each concentration; the log-likelihood per row at its end."""
    from scipy import special, stats

    w, a, rate = np.full(len(means), 1.0 / len(means)), np.ones(len(means)), 1.0 / means
    log_x, total = np.log(x), -np.inf
    for step in range(steps + 1):
        heights = np.log(w) + stats.gamma.logpdf(x[:, None], a, scale=1.0 / rate)
        each = special.logsumexp(heights, axis=1)
        total = float(np.mean(each))
        if step == steps:
            break
        r = np.exp(heights - each[:, None])
        n = r.sum(axis=0)
        mean = x @ r / n
        gap = np.log(mean) - log_x @ r / n
        a = (3.0 - gap + np.sqrt((gap - 3.0) ** 2 + 24.0 * gap)) / (12.0 * gap)
        for _ in range(6):
            a = a * np.exp(-(np.log(a) - special.digamma(a) - gap) / (1.0 - a * special.polygamma(1, a)))
        w, rate = n / n.sum(), a / mean
    return total


def gammas(setting: Setting) -> Contest:
    """Twenty steps of each from exponentials of three means."""
    rows = setting.size(1_000_000, 2_000)
    rng = np.random.default_rng(20_240_229)
    z = rng.integers(3, size=rows)
    x = rng.gamma(np.array([2.0, 20.0, 90.0])[z], np.array([1.0, 0.5, 0.5])[z])
    means = np.array([1.0, 8.0, 50.0])
    start = MixtureSameFamily(np.full(3, 1 / 3), sx.Gamma(np.ones(3), 1.0 / means))

    def ours() -> float:
        _, outcome = Mixture(sx.Gamma, 3).try_fit(x, start=start, max_iterations=GAMMA_STEPS, tolerance=0.0)
        return outcome.log_likelihood / rows

    return Contest(
        rows=rows,
        dtype="float64",
        entrants={
            "surprax": Entrant(ours),
            "NumPy and SciPy": Entrant(partial(numpy_gammas, x, GAMMA_STEPS, means), compilation={}),
        },
        judge=behind(numpy_gammas(x, GAMMA_STEPS, means)),
        tolerance=1e-6,
        peer_tolerance=1e-6,
    )


CASES = [
    Case(
        "mixtures/normals-1e6x4",
        "Mixture of 5 full normals, a million rows of 4 columns, 10 steps",
        partial(normals, False),
        (Target(1 / 3, "scikit-learn"),),
    ),
    Case(
        "mixtures/normals-1e6x4-settled",
        "The same until it has settled",
        partial(normals, True),
        (Target(1 / 3, "scikit-learn"),),
    ),
    Case(
        "mixtures/gammas-1e6",
        "Mixture of 3 gammas, a million rows, 20 steps",
        gammas,
        (Target(1 / 3, "NumPy and SciPy"),),
    ),
]
