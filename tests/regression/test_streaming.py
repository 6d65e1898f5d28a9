"""Fits to files in blocks of rows: the same answers as of the rows in memory, and refusals that name the row of the file."""

import functools
import re
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import surprax as sx
from surprax.data.errors import DataError
from surprax.estimate.maximize import NotAMaximumWarning
from surprax.regression import file_cells, file_formula, file_rows, streaming
from surprax.regression.inputs import Extras
from surprax.regression.links import link_named
from surprax.regression.responses import BY_FAMILY
from surprax.regression.streaming import streamed, streams
from surprax.regression.tweedie import Tweedie

BLOCK = 97
CLOSE = dict(rtol=1e-8, atol=1e-9)


@functools.cache
def data(n=700):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": rng.integers(0, 4, n),
            "b": rng.choice(list("pqrs"), n),
            "late": np.where(np.arange(n) < 600, "early", rng.choice(["early", "z", "y"], n)),
            "old": rng.random(n) < 0.4,
            "x": rng.normal(size=n),
            "weight": rng.integers(0, 4, n),
            "precision": rng.integers(1, 3, n).astype(float),
            "trials": rng.integers(3, 6, n),
            "exposure": rng.uniform(0.5, 2.0, n),
            "who": rng.integers(0, 40, n),
        }
    )
    frame["log_exposure"] = np.log(frame["exposure"])
    eta = 0.3 + 0.2 * frame["a"] - 0.3 * (frame["b"] == "q") + 0.2 * frame["x"]
    share = 1.0 / (1.0 + np.exp(-eta))
    frame["normal"] = eta + rng.normal(size=n)
    frame["claims"] = rng.poisson(np.exp(eta) * frame["exposure"])
    frame["won"] = rng.random(n) < share
    frame["hits"] = rng.binomial(frame["trials"], share)
    frame["misses"] = frame["trials"] - frame["hits"]
    frame["cost"] = rng.gamma(2.0, np.exp(eta) / 2.0)
    frame["delay"] = rng.wald(np.exp(eta), 2.0)
    frame["counts"] = rng.poisson(np.exp(eta) * rng.gamma(2.0, 0.5, n))
    frame["fraction"] = rng.beta(3.0 * share, 3.0 * (1.0 - share)).round(1).clip(0.1, 0.9)
    frame["rain"] = np.where(rng.random(n) < 0.3, 0.0, frame["cost"]).round(2)
    return frame


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("files") / "rows.parquet"
    data().to_parquet(file, row_group_size=233)
    return file


def stream(formula, file, family=sx.Normal, link=None, rows=BLOCK, **how):
    response = BY_FAMILY.get(family, family)
    extras = Extras(*(how.pop(role, None) for role in ("offset", "weights", "precisions", "trials")))
    return streamed(formula, file, response, link_named(link or response.link), extras, rows=rows, **how)


def same(one, two, family=sx.Normal):
    assert one.labels == two.labels
    np.testing.assert_allclose(two.theta, one.theta, **CLOSE)
    for name in ("log_likelihood", "nobs", "df_residual", "pearson_chi2", "dispersion"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name), err_msg=name, **CLOSE)
    if family is not sx.Beta:
        np.testing.assert_allclose(two.deviance, one.deviance, **CLOSE)
    ones, twos = one.standard_errors(), two.standard_errors()
    np.testing.assert_allclose(list(map(float, twos.values())), list(map(float, ones.values())), **CLOSE)
    assert two.converged


CASES = {
    "normal": ("normal", sx.Normal, {}),
    "normal, all columns": (
        "normal",
        sx.Normal,
        {"weights": "weight", "precisions": "precision", "offset": "exposure"},
    ),
    "normal, log": ("cost", sx.Normal, {"link": "log"}),
    "Poisson": ("claims", sx.Poisson, {"offset": "log_exposure", "weights": "weight"}),
    "Poisson, root": ("claims", sx.Poisson, {"link": "sqrt"}),
    "Bernoulli": ("won", sx.Bernoulli, {}),
    "Bernoulli, probit": ("won", sx.Bernoulli, {"link": "probit", "weights": "weight"}),
    "binomial": ("hits", sx.Binomial, {"trials": "trials"}),
    "binomial, two columns": ("hits + misses", sx.Binomial, {"weights": "weight"}),
    "gamma": ("cost", sx.Gamma, {"precisions": "precision"}),
    "inverse Gaussian": ("delay", sx.InverseGaussian, {"precisions": "precision", "weights": "weight"}),
    "negative binomial": ("counts", sx.NegativeBinomial, {"weights": "weight"}),
    "beta": ("fraction", sx.Beta, {}),
    "Tweedie": ("rain", Tweedie(1.5), {}),
}


IN_CELLS = ("normal", "Poisson", "Bernoulli", "binomial")
"""Laws for which categories alone, whose rows are counted in cells, are tried too; for the others in thorough runs."""


@pytest.mark.parametrize(
    ("case", "right"),
    [
        pytest.param(case, right, marks=[] if "x" in right or case in IN_CELLS else pytest.mark.thorough)
        for case in CASES
        for right in ("C(a) + b", "C(a) + b + x")
    ],
)
def test_a_streamed_fit_is_that_of_the_rows_in_memory(path, case, right):
    response, family, how = CASES[case]
    formula = f"{response} ~ {right}"
    two = stream(formula, path, family, **how)
    same(sx.glm(formula, data(), family=family, **how), two, family)
    if right == "C(a) + b" and "offset" not in how and case != "Tweedie":
        assert " cells" in two.compression or "rows that differ" in two.compression
        assert two.file.passes.count == 1
    if case == "normal" and right != "C(a) + b":
        assert "triangle" in two.compression


@pytest.mark.parametrize(
    "right",
    [
        "a * b + np.log(exposure) + scale(x)",
        "bs(x, df=5) + C(a):exposure + center(a)",
        "poly(x, 3) + b:exposure + C(a, contr.sum)",
        "late + old + x",
        "late*C(a)",
        "C(np.round(x)) + I(a**2)",
        "old + np.where(a > 1, 1.0, 0.0) + exposure",
        "1",
        "0 + b + x",
    ],
)
def test_formulas_learn_from_all_blocks(path, right):
    formula = f"np.log(cost) ~ {right}"
    same(sx.glm(formula, data()), stream(formula, path))


@pytest.mark.parametrize("ending", ["csv", "feather", "parquet"])
@pytest.mark.parametrize("right", ["C(a) + late", "C(a) + late + x"])
def test_files_of_all_formats(tmp_path, ending, right):
    file = tmp_path / f"rows.{ending}"
    frame = data()
    if ending == "csv":
        frame.to_csv(file, index=False)
        frame = file
    elif ending == "feather":
        pyarrow.feather.write_feather(frame, file, chunksize=150, compression="uncompressed")
    else:
        frame = frame.astype({"late": pd.CategoricalDtype(["z", "early", "y"])})
        frame.to_parquet(file, row_group_size=150)
    formula = f"claims ~ {right}"
    how = dict(family=sx.Poisson, offset="log_exposure")
    same(sx.glm(formula, frame, **how), stream(formula, file, **how))


def with_gaps():
    frame = data().copy()
    frame.loc[300:330, "x"] = np.nan
    frame.loc[[5, 650], "b"] = None
    frame["claims"] = frame["claims"].astype("Int64")
    frame.loc[440, "claims"] = pd.NA
    return frame


def test_rows_with_missing_values_are_dropped_on_request(tmp_path):
    file = tmp_path / "gaps.parquet"
    frame = with_gaps()
    frame.to_parquet(file, row_group_size=30)  # blocks with nothing left among them
    formula = "claims ~ b + x"
    with pytest.raises(
        DataError, match=r"column 'claims' of gaps.parquet must have no missing values: .* first at row 440"
    ):
        stream("claims ~ C(a)", file, sx.Poisson)
    with pytest.raises(
        DataError, match=r"'x' .* must have no missing values: 30 in a run of 30 rows are missing, first at row 300"
    ):
        stream("normal ~ x", file, rows=30)
    one = sx.glm(formula, frame, family=sx.Poisson, drop_missing=True, weights="weight")
    two = stream(formula, file, sx.Poisson, drop_missing=True, weights="weight", rows=30)
    same(one, two)
    assert two.origins.missing == one.origins.missing == 34
    offset = np.linspace(0.0, 1.0, len(frame))
    same(
        sx.glm(formula, frame, family=sx.Poisson, drop_missing=True, offset=offset),
        stream(formula, file, sx.Poisson, drop_missing=True, offset=offset),
    )


def test_labels_of_dropped_rows_alone_are_no_levels(tmp_path):
    frame = data()[["normal", "b", "x"]].copy()
    frame.loc[650, ["b", "x"]] = "only", np.nan
    frame.to_parquet(file := tmp_path / "rows.parquet")
    two = (
        stream("normal ~ b", file, drop_missing=True, weights="x")
        if False
        else stream("normal ~ b + x", file, drop_missing=True)
    )
    assert "b[T.only]" not in two.labels
    same(sx.glm("normal ~ b + x", frame, drop_missing=True), two)


@pytest.mark.parametrize(
    ("column", "value", "formula", "how", "said"),
    [
        ("claims", -1, "claims ~ x", {"family": sx.Poisson}, r"claims has -1 in row 650\. "),
        ("claims", -1, "claims ~ C(a)", {"family": sx.Poisson}, r"claims has -1 in row 650\. "),
        ("cost", 0.0, "cost ~ x", {"family": sx.Gamma}, r"cost has 0 in row 650\. "),
        ("hits", 9, "hits ~ x", {"family": sx.Binomial, "trials": "trials"}, r"found 9 of \d in row 650"),
        ("weight", -2, "normal ~ x", {"weights": "weight"}, r"weights must be not negative: found -2 in row 650"),
        (
            "precision",
            0.0,
            "normal ~ x",
            {"precisions": "precision"},
            r"precisions must be above 0: found 0 in row 650",
        ),
        ("x", np.inf, "normal ~ x", {}, r"column 'x' of rows.parquet .* row 650"),
        ("x", np.nan, "normal ~ x", {}, r"column 'x' of rows.parquet must have no missing values: 1 .* at row 650"),
        (
            "exposure",
            0.0,
            "normal ~ np.log(exposure)",
            {},
            r"'np.log\(exposure\)' .* must be finite: it is -inf .* in row 650",
        ),
    ],
)
def test_refusals_name_the_row_of_the_file(tmp_path, column, value, formula, how, said):
    frame = data().copy()
    frame.loc[650, column] = value
    frame.to_parquet(file := tmp_path / "rows.parquet", row_group_size=100)
    with pytest.raises(ValueError, match=said):
        stream(formula, file, **how)


def test_refusals_name_the_line_of_a_text_file(tmp_path):
    frame = data()[["claims", "x"]].copy()
    frame.loc[650, "claims"] = -3
    frame.to_csv(file := tmp_path / "rows.csv", index=False)
    with pytest.raises(ValueError, match=r"claims has -3 in line 652\. "):
        stream("claims ~ x", file, sx.Poisson)


def test_refusals_in_sentences(path, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"np.mean\(x\)\) of .* may look at other rows.*stream=False"):
        stream("normal ~ I(x - np.mean(x))", path)
    with pytest.raises(DataError, match="has no column 'y'"):
        stream("y ~ x", path)
    with pytest.raises(DataError, match=r"'b.*' must hold numbers|b must hold numbers"):
        stream("b ~ x", path)
    with pytest.raises(DataError, match=r"weights must have one number for each of 700 rows: found shape \(701,\)"):
        stream("normal ~ x", path, weights=np.ones(701))
    with pytest.raises(
        DataError, match=r"weights must have one number for each row of rows.parquet: found shape \(7,\)"
    ):
        stream("normal ~ x", path, weights=np.ones(7))
    with pytest.raises(DataError, match="weights must not all be 0"):
        stream("normal ~ x", path, weights=0.0)
    monkeypatch.setattr(file_formula, "WHOLE", 500)
    with pytest.raises(ValueError, match=r"learns from all rows.*has 700\. Write what it learns"):
        stream("normal ~ center(x)", path)
    constant = data().assign(cost=2.0)
    constant.to_parquet(file := tmp_path / "constant.parquet")
    with pytest.raises(ValueError, match="All responses are 2: the likelihood of a gamma law grows without end"):
        stream("cost ~ x", file, sx.Gamma)
    data().iloc[:0].to_parquet(empty := tmp_path / "empty.parquet")
    with pytest.raises(DataError, match="must hold rows"):
        stream("cost ~ x", empty)


def test_a_file_that_changes_meanwhile_is_refused(tmp_path):
    data().to_parquet(file := tmp_path / "rows.parquet")
    estimate = stream("won ~ x", file, sx.Bernoulli)
    data().iloc[:500].to_parquet(file)
    with pytest.raises(DataError, match="must not change while a model is fitted to it"):
        estimate.covariance("sandwich")


def test_columns_that_say_the_same_are_reported(tmp_path):
    frame = data().assign(twice=2.0 * data()["x"])
    frame.to_parquet(file := tmp_path / "rows.parquet")
    for response, family in (("normal", sx.Normal), ("won", sx.Bernoulli)):
        with pytest.warns(NotAMaximumWarning, match="columns say the same"):
            estimate = stream(f"{response} ~ x + twice", file, family)
        assert not estimate.converged


@pytest.mark.parametrize("right", ["C(a) + b", "C(a) + b + x"])
def test_robust_covariances_take_a_pass(path, right):
    one = sx.glm(f"claims ~ {right}", data(), family=sx.Poisson, weights="weight")
    two = stream(f"claims ~ {right}", path, sx.Poisson, weights="weight")
    for kind in ("sandwich", "HC0", "HC1", "expected"):
        np.testing.assert_allclose(two.covariance(kind), one.covariance(kind), rtol=1e-6, atol=1e-12)
    robust = two.covariance("cluster", clusters="who")
    np.testing.assert_allclose(robust, one.covariance("cluster", clusters=data()["who"]), rtol=1e-6, atol=1e-12)
    normal = stream(f"normal ~ {right}", path)
    known = sx.glm(f"normal ~ {right}", data()).covariance("HC1")
    np.testing.assert_allclose(normal.covariance("HC1"), known, rtol=1e-6, atol=1e-12)


def test_what_needs_all_rows_at_once_is_refused_and_predictions_go_in_pieces(path):
    one = sx.glm("claims ~ b + x", data(), family=sx.Poisson)
    two = stream("claims ~ b + x", path, sx.Poisson)
    for ask in (two.residuals, two.leverages, two.predict, lambda: two.covariance("HC3")):
        with pytest.raises(ValueError, match="streamed and are not kept"):
            ask()
    with pytest.raises(ValueError, match="rows"):
        two.bootstrap(jax.random.key(0), 10)
    pieces = [two.predict(batch.to_pandas()) for batch in pq.ParquetFile(path).iter_batches(200)]
    np.testing.assert_allclose(np.concatenate(pieces), one.predict(), rtol=1e-8)
    np.testing.assert_allclose(two.null_deviance, one.null_deviance, rtol=1e-10)
    low = two.confidence_interval("x", method="profile")
    np.testing.assert_allclose(low, one.confidence_interval("x", method="profile"), rtol=1e-6)
    assert "streamed" in str(two.summary())


@pytest.mark.parametrize("right", ["C(a) + b", "C(a) + b + x"])
def test_constraints_and_penalties(path, right):
    formula = f"claims ~ {right}"
    held = {"family": sx.Poisson, "fixed": {"C(a)[T.1]": 0.1}, "tied": [["b[T.q]", "b[T.r]"]]}
    same(sx.glm(formula, data(), **held), stream(formula, path, **held))
    for penalty in ((0.0, 5.0), (3.0, 0.0)):
        one = sx.glm(formula, data(), family=sx.Poisson, penalty=penalty)
        two = stream(formula, path, sx.Poisson, penalty=penalty)
        np.testing.assert_allclose(two.theta, one.theta, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(two.log_likelihood, one.log_likelihood, rtol=1e-9)


def test_cells_are_given_up_where_there_are_too_many(path, monkeypatch):
    monkeypatch.setattr(file_cells, "FEW", 3)
    monkeypatch.setattr(file_cells, "MOST", 3)
    two = stream("claims ~ C(a) + b", path, sx.Poisson)
    assert "streamed" in two.compression
    same(sx.glm("claims ~ C(a) + b", data(), family=sx.Poisson), two)


def test_the_size_of_the_file_decides(path, monkeypatch):
    response, extras = BY_FAMILY[sx.Poisson], Extras(offset="log_exposure")
    ask = functools.partial(streams, "claims ~ x", response=response, extras=extras)
    assert not ask(path, stream=None)
    assert not ask(data(), stream=None)
    assert ask(path, stream=True)
    monkeypatch.setattr(streaming, "LARGE", 3 * 8 * 700 - 1)
    assert ask(path, stream=None)
    assert not ask(path, stream=False)
    monkeypatch.setattr(streaming, "LARGE", 3 * 8 * 700)
    assert not ask(path, stream=None)
    with pytest.raises(ValueError, match="A fit is streamed from a file"):
        ask(data(), stream=True)
    with pytest.raises(ValueError, match="categories are not streamed"):
        streams("b ~ x", path, None, Extras(), True)


def test_long_passes_show_a_bar(path, monkeypatch, capsys):
    stream("won ~ x", path, sx.Bernoulli, progress=True)
    assert not capsys.readouterr().err
    monkeypatch.setattr(file_rows, "PATIENCE", -1.0)
    stream("won ~ x", path, sx.Bernoulli, progress=True)
    assert re.search(r"rows\.parquet: pass 1, values", capsys.readouterr().err)
    stream("won ~ x", path, sx.Bernoulli, progress=False)
    assert not capsys.readouterr().err


MEASURE = """
import resource, sys
import surprax as sx
from surprax.regression.inputs import Extras
from surprax.regression.responses import BY_FAMILY
from surprax.regression.links import link_named
from surprax.regression.streaming import streamed
response = BY_FAMILY[sx.Bernoulli]
for file in sys.argv[1:]:
    streamed("y ~ x + z + g", file, response, link_named("logit"), Extras(), rows=1 << 14)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    rng = np.random.default_rng(0)
    files = []
    for n in (100_000, 1_000_000):
        files.append(tmp_path / f"{n}.parquet")
        columns = {
            "y": rng.random(n) < 0.3,
            "x": rng.normal(size=n),
            "z": rng.normal(size=n),
            "g": rng.integers(0, 9, n),
        }
        pq.write_table(pa.table(columns), files[-1], row_group_size=1 << 17)
    done = subprocess.run([sys.executable, "-c", MEASURE, *files], capture_output=True, text=True, check=True)
    small, large = map(float, done.stdout.split())
    assert large - small < 40  # MiB; in memory the fit takes 300 more
