"""The bundled data sets are what their README says they are."""

import math

import numpy as np
import pytest
from scipy.stats import poisson
from statsmodels import datasets as source

from surprax.data import DataError, datasets


def frame(name):
    return getattr(source, name).load_pandas().data


def test_every_data_set_loads_is_described_and_small():
    for name in datasets.names():
        table = datasets.load(name)
        path = datasets.path(name)
        assert path.stat().st_size < 200_000
        text = datasets.describe(name)
        assert "Licence:" in text
        assert "Source:" in text
        header = path.read_text(encoding="utf-8").splitlines()[0].split(",")
        assert set(header) == set(table)
        assert all(f"| {column} |" in text for column in header)
        assert not table.passed_over


def test_readme_and_folder_agree_with_the_names():
    folder = datasets.path("nile").parent
    assert sorted(path.stem for path in folder.glob("*.csv")) == list(datasets.names())
    titles = [line[3:] for line in (folder / "README.md").read_text("utf-8").splitlines() if line.startswith("## ")]
    assert titles == list(datasets.names())


def test_an_unknown_name_is_refused():
    for function in (datasets.load, datasets.path, datasets.describe):
        with pytest.raises(DataError, match="did you mean 'nile'"):
            function("nil")


def test_licences_are_quoted_from_the_source():
    for name, module in {
        "doctor_visits": "randhie",
        "engel": "engel",
        "nile": "nile",
        "states": "statecrime",
        "strikes": "strikes",
        "treasury_bills": "macrodata",
    }.items():
        assert f'Licence: "{getattr(source, module).COPYRIGHT}"' in datasets.describe(name)


@pytest.mark.parametrize(
    ("name", "module", "columns"),
    [
        ("engel", "engel", {"income": "income", "food": "foodexp"}),
        ("nile", "nile", {"year": "year", "volume": "volume"}),
        ("strikes", "strikes", {"duration": "duration", "production": "iprod"}),
    ],
)
def test_copies_equal_their_source(name, module, columns):
    table, original = datasets.load(name), frame(module)
    for ours, theirs in columns.items():
        np.testing.assert_allclose(table[ours].values, original[theirs].to_numpy(), rtol=1e-14)


def test_treasury_bills_change_from_quarter_to_quarter():
    table, original = datasets.load("treasury_bills"), frame("macrodata")
    np.testing.assert_allclose(table["rate"].values, original["tbilrate"].to_numpy()[1:], rtol=1e-12)
    np.testing.assert_allclose(table["change"].values, np.diff(original["tbilrate"].to_numpy()), atol=1e-12)
    assert table["year"].values.tolist() == original["year"].to_numpy()[1:].tolist()


def test_states_are_percentages_divided():
    table, original = datasets.load("states"), frame("statecrime")
    assert table["state"].values.tolist() == [name.strip() for name in original.index]
    np.testing.assert_array_equal(table["murder"].values, original["murder"].to_numpy())
    for ours, theirs in {
        "high_school": "hs_grad",
        "poverty": "poverty",
        "single_parent": "single",
        "urban": "urban",
    }.items():
        np.testing.assert_allclose(table[ours].values, original[theirs].to_numpy() / 100, rtol=1e-14)


def test_doctor_visits_are_every_second_row():
    table, original = datasets.load("doctor_visits"), frame("randhie").iloc[::2]
    np.testing.assert_array_equal(table["visits"].values, original["mdvis"].to_numpy())
    np.testing.assert_array_equal(table["deductible"].values, original["idp"].to_numpy())
    assert table["coinsurance"].values.tolist() == [round(math.exp(v) - 1) for v in original["lncoins"]]
    indicators = original[["hlthg", "hlthf", "hlthp"]].to_numpy()
    words = np.array(["good", "fair", "poor", "excellent"])
    expected = words[np.where(indicators.any(axis=1), indicators.argmax(axis=1), 3)]
    assert table["health"].values.tolist() == expected.tolist()


def test_earthquakes_have_the_published_moments_and_likelihood():
    """Zucchini & MacDonald (2009), chapter 1 and Table 3.1; the series itself is in nothing that tests install."""
    table = datasets.load("earthquakes")
    count = table["count"].values
    assert table["year"].values.tolist() == list(range(1900, 2007))
    assert (round(count.mean(), 2), round(count.var(ddof=1), 2)) == (19.36, 51.57)
    assert -poisson.logpmf(count, count.mean()).sum() == pytest.approx(391.9189, abs=5e-5)
