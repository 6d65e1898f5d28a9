"""Generalised linear models side by side with glum, scikit-learn and statsmodels. (Families by group are in `mle`.)

Time is that of a user's call, from the columns to the coefficients. Data have the shapes of glum's insurance table (600,000 rows,
seven categorical columns and two numbers) and of fastglm's (100,000 × 30, 500,000 × 20), and cells: ten million rows of discrete
covariates. An answer is the coefficients; its error is by how many nats per row their log-likelihood is below the highest that any
of the entrants reaches, and is to be below 1e-8.
"""

import functools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

import surprax as sx
from benchmarks.harness import Case, Contest, Entrant, MissingPeerError, Setting, Target, quietly

__all__ = ["CASES"]

LAWS = {"logistic": sx.Bernoulli, "poisson": sx.Poisson, "gamma": sx.Gamma}
GRADIENT = 1e-5
"""Tolerance of the peers' gradients per row: the largest power of ten at which all reach the likelihood asked for."""

EQUAL = 1e-8


def glum() -> Any:
    """glum, which tests do without."""
    try:
        import glum as found
    except ImportError as error:
        raise MissingPeerError(
            "glum, the peer of this case, is not installed: pip install -c constraints.txt -e '.[peers]'"
        ) from error
    return found


def drawn(law: str, eta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Responses with linear predictor eta."""
    match law:
        case "logistic":
            return (rng.random(len(eta)) < 1.0 / (1.0 + np.exp(-eta))).astype(np.float64)
        case "poisson":
            return rng.poisson(np.exp(eta)).astype(np.float64)
    return rng.gamma(3.0, np.exp(eta) / 3.0)


def surprise(law: str, y: np.ndarray, eta: np.ndarray) -> float:
    """Mean surprise per row in nats, at dispersion 1 and but for what depends on y alone: NumPy, in float64."""
    match law:
        case "logistic":
            each = np.logaddexp(0.0, eta) - y * eta
        case "poisson":
            each = np.exp(eta) - y * eta
        case _:
            each = y * np.exp(-eta) + eta
    return float(np.mean(each))


def behind(law: str, y: np.ndarray, linear: Callable[[Any], np.ndarray]) -> Any:
    """A judge: nats per row below the best of all entrants."""

    def judge(answers: Mapping[str, Any]) -> dict[str, float]:
        each = {name: surprise(law, y, linear(answer)) for name, answer in answers.items()}
        best = min(each.values())
        return {name: value - best for name, value in each.items()}

    return judge


# Columns of numbers.


@functools.lru_cache(maxsize=2)
def numbers(law: str, n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20_240_305)
    X = rng.normal(size=(n, p))
    b = rng.normal(size=p) * (0.6 / np.sqrt(p))
    return X, drawn(law, 0.3 + X @ b, rng)


def peer_of_numbers(
    peer: str, law: str, X: np.ndarray, y: np.ndarray
) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """A fit by a peer, and its coefficients, the intercept first."""
    if peer == "glum":
        names = {"logistic": "binomial", "poisson": "poisson", "gamma": "gamma"}
        link = "logit" if law == "logistic" else "log"
        make = glum().GeneralizedLinearRegressor
        return (
            lambda: make(family=names[law], link=link, alpha=0.0, gradient_tol=GRADIENT).fit(X, y),
            lambda fit: np.append(fit.intercept_, fit.coef_),
        )
    if peer == "scikit-learn":
        from sklearn import linear_model

        if law == "logistic":
            return (
                lambda: linear_model.LogisticRegression(C=np.inf, solver="newton-cholesky", tol=GRADIENT).fit(X, y),
                lambda fit: np.append(fit.intercept_, fit.coef_),
            )
        make = linear_model.PoissonRegressor if law == "poisson" else linear_model.GammaRegressor
        return (
            lambda: make(alpha=0.0, solver="newton-cholesky", tol=GRADIENT, max_iter=1000).fit(X, y),
            lambda fit: np.append(fit.intercept_, fit.coef_),
        )
    import statsmodels.api as sm

    families = {
        "logistic": sm.families.Binomial(),
        "poisson": sm.families.Poisson(),
        "gamma": sm.families.Gamma(sm.families.links.Log()),
    }
    return (
        lambda: sm.GLM(y, sm.add_constant(X), family=families[law]).fit(),
        lambda fit: np.asarray(fit.params),
    )


def of_numbers(law: str, n: int, p: int, peers: tuple[str, ...], setting: Setting) -> Contest:
    n = setting.size(n, 3_000)
    X, y = numbers(law, n, p)

    def ours() -> Any:
        return sx.glm((X, y), family=LAWS[law], link="logit" if law == "logistic" else "log")

    entrants = {"surprax": Entrant(ours, lambda est: est.theta[: p + 1])}
    for peer in peers:
        run, answer = peer_of_numbers(peer, law, X, y)
        entrants[peer] = Entrant(quietly(run), answer, compilation={})
    judge = behind(law, y, lambda b: b[0] + X @ b[1:])
    return Contest(n, "float64", entrants, judge, tolerance=EQUAL, peer_tolerance=EQUAL)


# A table of categories and numbers, and one of categories alone.


@functools.lru_cache(maxsize=1)
def insurance(law: str, n: int) -> tuple[Any, np.ndarray]:
    """A table like that of French motor liability insurance: levels as many as there, frequencies made up."""
    import pandas as pd

    rng = np.random.default_rng(20_240_306)
    levels = {"VehPower": 8, "VehAge": 3, "DrivAge": 7, "VehBrand": 11, "VehGas": 2, "Region": 22, "Area": 6}
    columns: dict[str, Any] = {}
    eta = np.full(n, -0.5)
    for name, k in levels.items():
        codes = rng.choice(k, n, p=rng.dirichlet(np.full(k, 3.0)))
        eta += (0.25 * rng.normal(size=k))[codes]
        columns[name] = pd.Categorical.from_codes(codes, [f"{name}{i}" for i in range(k)])
    columns["BonusMalus"] = 50.0 + np.floor(rng.exponential(15.0, n))
    columns["Density"] = rng.normal(6.0, 1.8, n)
    eta += 0.004 * (columns["BonusMalus"] - 60.0) + 0.05 * (columns["Density"] - 6.0)
    return pd.DataFrame(columns), drawn(law, eta, rng)


@functools.lru_cache(maxsize=1)
def cells(law: str, n: int) -> tuple[Any, np.ndarray]:
    """8 × 12 × 12 = 1,152 cells."""
    import pandas as pd

    rng = np.random.default_rng(20_240_307)
    columns, eta = {}, np.full(n, -0.5)
    for name, k in {"age": 8, "month": 12, "region": 12}.items():
        codes = rng.integers(k, size=n)
        eta += (0.3 * rng.normal(size=k))[codes]
        columns[name] = pd.Categorical.from_codes(codes, [f"{name}{i}" for i in range(k)])
    return pd.DataFrame(columns), drawn(law, eta, rng)


def of_table(make: Any, law: str, n: int, quick: int, setting: Setting) -> Contest:
    """Against glum, which takes the same table and makes indicators of its categories."""
    n = setting.size(n, quick)
    table, y = make(law, n)
    both = table.assign(y=y)
    formula = f"y ~ {' + '.join(table.columns)}"
    link = "logit" if law == "logistic" else "log"
    names = {"logistic": "binomial", "poisson": "poisson", "gamma": "gamma"}
    peer = glum().GeneralizedLinearRegressor

    def ours() -> Any:
        return sx.glm(formula, both, family=LAWS[law], link=link)

    def theirs() -> Any:
        return peer(family=names[law], link=link, alpha=0.0, drop_first=True, gradient_tol=GRADIENT).fit(table, y)

    def linear(fit: Any) -> np.ndarray:
        return np.asarray(
            fit.predict(table, kind="linear") if isinstance(fit, sx.Estimate) else fit.linear_predictor(table)
        )

    entrants = {"surprax": Entrant(ours), "glum": Entrant(quietly(theirs), compilation={})}
    return Contest(n, "float64", entrants, behind(law, y, linear), tolerance=EQUAL, peer_tolerance=EQUAL)


SHAPES = {"1e5x30": (100_000, 30), "5e5x20": (500_000, 20)}

CASES = [
    *(
        Case(
            f"estimates/{law}-{shape}-glum",
            f"{law} regression, {n:,} × {p}",
            partial(of_numbers, law, n, p, ("glum", "scikit-learn", "statsmodels")),
            (Target(1.0, "glum"),),
            devices=("cpu",),
        )
        for law in LAWS
        for shape, (n, p) in SHAPES.items()
    ),
    *(
        Case(
            f"estimates/insurance-{law}-glum",
            f"{law} regression, 600,000 rows of 7 categorical columns (59 levels) and 2 numbers",
            partial(of_table, insurance, law, 600_000, 3_000),
            (Target(1.0, "glum"),),
            devices=("cpu",),
        )
        for law in LAWS
    ),
    *(
        Case(
            f"estimates/cells-{law}-glum",
            f"{law} regression, 10,000,000 rows of 3 categorical columns (1,152 cells)",
            partial(of_table, cells, law, 10_000_000, 20_000),
            (Target(0.05, "glum"),),
            devices=("cpu",),
        )
        for law in ("logistic", "poisson")
    ),
]
