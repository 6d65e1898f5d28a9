"""Recipes: the columns of a design are those of formulaic on the whole frame, whatever is worked out on its distinct values."""

import pickle

import formulaic
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from surprax.data import DataError
from surprax.regression import combinations, terms
from surprax.regression.design import Coded, Dense
from surprax.regression.encoding import Discrete
from surprax.regression.formulas import Recipe, required
from surprax.regression.matrices import read_matrix
from surprax.regression.variables import read_variables

N = 400


def frame(seed=0, n=N):
    """Columns of every kind; x and z are continuous."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "y": rng.poisson(2.0, n),
            "w": rng.normal(size=n),
            "x": rng.normal(3.0, 1.0, n),
            "z": rng.uniform(0.5, 2.0, n),
            "k": rng.integers(1, 7, n),
            "h": rng.integers(0, 9, n) / 4,
            "b": rng.random(n) < 0.4,
            "r": np.array(["north", "south", "east"])[rng.integers(0, 3, n)],
            "c": pd.Categorical(np.array(["v", "u"])[rng.integers(0, 2, n)], categories=["w", "v", "u"]),
            "my col": rng.integers(0, 3, n),
            "é.2": rng.normal(size=n),
        }
    )


DATA = frame()


def parts(formula, data):
    """What formulaic makes of both sides, on all rows."""
    found = formulaic.Formula(formula, _context={"__formulaic_variables_available__": list(data.columns)})
    with np.errstate(all="ignore"):
        return found.get_model_matrix(data, na_action="ignore")


def recipe_of(formula, data=DATA, **given):
    responses, covariates = required(formula, list(data.columns), given.get("context"))
    variables = read_variables(data, [*responses, *covariates])
    return Recipe.trained(formula, variables, **given), variables


def agrees(formula, data=DATA, tolerance=1e-12):
    recipe, variables = recipe_of(formula, data)
    expected = parts(formula, data)
    right = expected.rhs if hasattr(expected, "rhs") else expected
    design = recipe.design(variables)
    assert recipe.names == design.names == tuple(right.columns)
    wanted = np.asarray(right, float)
    np.testing.assert_allclose(
        design.matrix(), wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max(initial=1.0)
    )
    assert recipe.discrete == all(isinstance(block, Coded) for block in design.blocks) or not design.p
    return recipe, variables, design


FORMULAS = [
    "y ~ x + k + r",
    "y ~ 1",
    "y ~ 0 + x",
    "y ~ x - 1",
    "y ~ C(k) * r",
    "y ~ 0 + r * c",
    "y ~ r / k",
    "y ~ (r + c + k) ** 2",
    "y ~ (x + b + C(k)) ** 3",
    "y ~ x:r - 1",
    "y ~ b * c",
    "y ~ C(b)",
    "y ~ C(k, contr.sum) + C(r, contr.helmert)",
    "y ~ C(r, contr.treatment(base='south')) * k",
    "y ~ C(k, contr.poly)",
    "y ~ C(r, Treatment('south'))",
    "y ~ C(k, levels=[6, 5, 4, 3, 2, 1]) + x",
    "y ~ C(r, levels=['west', 'south', 'east', 'north'])",
    "y ~ C(k > 3)",
    "y ~ C(k + h)",
    "y ~ C(np.round(x)):k",
    "y ~ C(x > 3)",
    "y ~ I(k ** 2) + np.log(k) + k",
    "y ~ np.log(x ** 2) + np.where(k > 2, x, z)",
    "y ~ np.where(r == 'north', 1, 0) + I(r == 'south')",
    "y ~ center(k) + scale(x) + standardize(h)",
    "y ~ center(k):r + scale(k * h)",
    "y ~ center(x + k) * c",
    "y ~ poly(x, 3) + poly(k, 2)",
    "y ~ bs(x, df=4) + bs(k, df=5)",
    "y ~ bs(k, df=4, include_intercept=True) - 1",
    "y ~ bs(x, knots=[2, 3, 4], degree=2):r",
    "y ~ cr(x, df=4) + cc(k, df=3)",
    "y ~ cs(h, df=4)",
    "y ~ hashed(r, levels=4) + hashed(k, levels=5)",
    "y ~ `my col` * x + C(`my col`) + np.exp(`my col`)",
    "y ~ center(`my col`) + `é.2`",
    "y ~ Q('my col') + x",
    "y ~ .",
    "y ~ . - x",
    "y ~ 2:x + k",
    "y ~ 3:x:z + x:r:C(k) + 2:x:r",
    "y ~ x:center(k) + z:bs(k, df=4) + x:I(x * k)",
    "y ~ x * k * h",
    "y ~ k:h + k:h:b",
    "y ~ {k + 1} + {x / z}",
    "y ~ I(x - x.mean()) + r.str.upper()",
    "y ~ k.clip(2, 4) + np.cumsum(k)",
    "y ~ 0",
    "~ x + r",
    "x + r",
    "np.log(z) ~ x",
    "y + k ~ c",
]


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_design_is_formulaics_model_matrix(formula):
    agrees(formula)


ATOMS = [
    "x",
    "k",
    "h",
    "b",
    "r",
    "c",
    "C(k)",
    "C(h)",
    "`my col`",
    "I(x**2)",
    "np.log(z)",
    "center(k)",
    "scale(x)",
    "C(c, contr.sum)",
]
ATOMS += [
    "poly(k, 2)",
    "bs(x, df=4)",
    "I(k * x)",
    "C(k, levels=[6, 4, 2, 1, 3, 5])",
    "hashed(r, levels=3)",
    "exp(h)",
    "I(h + k)",
]

atoms = st.sampled_from(ATOMS)
products = st.builds("{}{}{}".format, atoms, st.sampled_from([":", "*", "/"]), atoms)
powers = st.builds("({} + {} + {})**2".format, atoms, atoms, st.sampled_from(["x", "r", "k", "c"]))
summands = st.one_of(atoms, products, powers)
formulas = st.builds(
    lambda one, parts: "y ~ " + one + " + ".join(parts),
    st.sampled_from(["", "0 + ", "1 + "]),
    st.lists(summands, min_size=1, max_size=3),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(formulas, st.integers(0, 3))
@example("y ~ C(k)*`my col` + (r + c + x)**2", 1)
def test_any_formula_of_the_grammar_gives_formulaics_model_matrix(formula, seed):
    agrees(formula, frame(seed, 120))


@pytest.mark.parametrize("grid", [1, 1 << 12])
def test_columns_do_not_depend_on_how_combinations_are_found(grid, monkeypatch):
    monkeypatch.setattr(combinations, "GRID", grid)
    monkeypatch.setattr(combinations, "COUNTED", 8 if grid == 1 else 1 << 24)
    monkeypatch.setattr(terms, "ROWS", 7)
    monkeypatch.setattr(terms, "COPIED", 5)
    for formula in ("y ~ C(k)*r*c", "y ~ k:h + x:r + z", "y ~ center(x)*C(k) + b"):
        agrees(formula, frame(2, 60))


def test_blocks_of_very_many_levels_are_written_out(monkeypatch):
    monkeypatch.setattr(terms, "LEVELS", 10)
    recipe, variables = recipe_of("y ~ k:h + r")
    design = recipe.design(variables)
    assert [type(block) for block in design.blocks] == [Dense]
    np.testing.assert_allclose(design.matrix(), np.asarray(parts("y ~ k:h + r", DATA).rhs, float))


def test_discrete_variables_give_codes_and_continuous_ones_a_joined_matrix():
    _, _, design = agrees("y ~ k + C(k) + r*b")
    assert {type(block) for block in design.blocks} == {Coded}
    assert [block.table.tolist() for block in design.blocks if len(block.table) == 1] == [[[1.0]]]
    _, _, mixed = agrees("y ~ x + C(k) + z + h")
    assert [(type(block).__name__, block.width) for block in mixed.blocks] == [("Dense", 4), ("Coded", 5)]
    assert mixed.blocks[0].matrix.flags.c_contiguous


def test_repeated_rows_cost_no_evaluation():
    calls = []

    def seen(column):
        calls.append(len(column))
        return np.asarray(column) * 2.0

    data = {"y": np.zeros(5_000), "k": np.tile(np.arange(5), 1_000)}
    variables = read_variables(data, ["y", "k"])
    recipe = Recipe.trained("y ~ np.log1p(k)", variables)
    assert recipe.design(variables).blocks[-1].table.shape == (5, 1)
    of_own = Recipe.trained("y ~ seen(k)", variables, {"seen": seen})
    assert of_own.design(variables).matrix()[:, 1].tolist() == (data["k"] * 2.0).tolist()
    assert calls[-1] == 5_000  # what a function of one's own looks at, is not known


def test_required_names_are_in_order_and_exclude_functions_and_context():
    assert required(
        "np.log(y / e) ~ x * C(r, Treatment('south')) + f(`a b`, knots) + exp(h)", context={"f": abs, "knots": [1]}
    ) == (
        ("y", "e"),
        ("x", "r", "a b", "h"),
    )
    assert required("y ~ center(x) + bs(z, df=4) + Q('my col') + q.mean()") == (("y",), ("x", "z", "my col", "q"))
    assert required("y ~ .", ["a", "y", "b c"]) == (("y",), ("a", "b c"))
    assert required("y ~ log(log) + I(scale**2)", ["y", "scale", "log"]) == (("y",), ("log", "scale"))
    assert required("x + 1") == ((), ("x",))


RESPONSES = {
    "y ~ x": {"y": (DATA["y"], False)},
    "np.log(z) ~ x": {"np.log(z)": (np.log(DATA["z"]), False)},
    "np.sqrt(y) ~ x": {"np.sqrt(y)": (np.sqrt(DATA["y"]), False)},
    "y + k ~ x": {"y": (DATA["y"], False), "k": (DATA["k"], False)},
    "r ~ x": {"r": (DATA["r"], True)},
    "C(k) ~ x": {"C(k)": (DATA["k"], True)},
    "b ~ x": {"b": (DATA["b"], False)},
    "I(y > 2) ~ x": {"I(y > 2)": (DATA["y"] > 2, False)},
    "y + I(k - y) ~ x": {"y": (DATA["y"], False), "I(k - y)": (DATA["k"] - DATA["y"], False)},
}


@pytest.mark.parametrize("formula", RESPONSES)
def test_the_response_is_the_left_side(formula):
    recipe, variables = recipe_of(formula)
    found = recipe.response(variables)
    assert list(found) == list(RESPONSES[formula])
    for name, (values, categorical) in RESPONSES[formula].items():
        np.testing.assert_array_equal(found[name].column(), np.asarray(values))
        assert isinstance(found[name], Discrete) == (name != "np.log(z)")
        assert getattr(found[name], "categorical", False) == categorical


def test_a_formula_without_left_side_has_no_response():
    recipe, variables = recipe_of("~ x")
    with pytest.raises(ValueError, match="must have a left side"):
        recipe.response(variables)


NEW = [
    "y ~ r*C(k) + x",
    "y ~ center(x) + scale(k) + poly(x, 2)",
    "y ~ bs(x, df=4):c",
    "y ~ C(k, contr.sum) + hashed(r, levels=4)",
]


@pytest.mark.parametrize("formula", NEW)
@pytest.mark.parametrize("picked", [slice(0, 1), slice(5, 300, 7)])
@pytest.mark.parametrize("holder", [pd.DataFrame, pl.from_pandas, lambda frame: frame.to_dict("list")])
def test_new_data_get_the_columns_and_the_state_of_the_training(formula, picked, holder):
    recipe, variables = recipe_of(formula)
    rows = recipe.design(variables).matrix()[picked]
    new = holder(DATA[picked].drop(columns=["y", "w"]).reset_index(drop=True))
    design = recipe.design(new)
    assert design.names == recipe.names
    np.testing.assert_allclose(design.matrix(), rows, rtol=1e-13, atol=1e-13)


def test_an_intercept_alone_counts_the_rows_of_new_data():
    recipe, _ = recipe_of("y ~ 1")
    assert recipe.design(DATA[:7]).matrix().tolist() == [[1.0]] * 7


@pytest.mark.parametrize("formula", NEW)
def test_recipes_can_be_pickled(formula):
    recipe, variables = recipe_of(formula)
    again = pickle.loads(pickle.dumps(recipe))
    np.testing.assert_array_equal(again.design(variables).matrix(), recipe.design(variables).matrix())


def test_categories_are_told_by_factor():
    recipe, _ = recipe_of("y ~ r + c + C(k, levels=[6, 5, 4, 3, 2, 1]) + x")
    assert recipe.categories == {
        "r": ("east", "north", "south"),
        "c": ("w", "v", "u"),
        "C(k, levels=[6, 5, 4, 3, 2, 1])": (6, 5, 4, 3, 2, 1),
    }


def test_ids_with_many_values_are_categories_by_their_integers():
    ids = np.random.default_rng(0).permutation(np.repeat(np.arange(10**6, 10**6 + 1_100), 2))
    variables = read_variables({"id": ids, "x": np.arange(2_200.0)}, ["id", "x"])
    recipe = Recipe.trained("~ 0 + C(id)", variables)
    assert recipe.names[:2] == ("C(id)[1000000]", "C(id)[1000001]")
    assert recipe.design(variables).blocks[0].indicators is not None


UNKNOWN = {
    "y ~ r": (
        {"r": ["north", "west"]},
        "Column 'r' must hold categories that .*'east', 'north', 'south'.* found 'west' in 1 of 2 rows, first in row 1",
    ),
    "y ~ C(k)": (
        {"k": [1, 9, 9]},
        r"Column 'k' must hold categories .*\(1, 2, 3, 4, 5, 6\): found 9 in 2 of 3 rows, first in row 1",
    ),
    "y ~ C(k + h)": ({"k": [1], "h": [77.0]}, "Every value must be among the levels .*: found 78.0; "),
    "y ~ x": ({"x": ["tall"]}, "Column 'x' must hold numbers, as in the data .*: found 'tall' in row 0"),
    "y ~ k": ({"kk": [1]}, "data has no column 'k': did you mean 'kk'"),
    "y ~ bs(x, df=4)": (
        {"x": [99.0]},
        r"bs\(x, df=4\) is not \(Some field values extend beyond upper and/or lower bounds",
    ),
    "y ~ np.log(k)": (
        {"k": [3, 0, 0]},
        r"Column 'np.log\(k\)' of the design must be finite: it is -inf in 2 of 3 rows, first in row 1 \(k = 0\)",
    ),
    "y ~ np.log(k):x": (
        {"k": [3, 0], "x": [1.0, 2.0]},
        r"it is -inf in 1 of 2 rows, first in row 1 \(k = 0, x = 2.0\)",
    ),
    "y ~ np.log(z):x": (
        {"z": [3.0, -1.0], "x": [1.0, 2.0]},
        r"it is nan in 1 of 2 rows, first in row 1 \(z = -1.0, x = 2.0\)",
    ),
}


@pytest.mark.parametrize("formula", UNKNOWN)
def test_new_data_that_do_not_fit_are_refused_in_a_sentence(formula):
    recipe, _ = recipe_of(formula)
    data, sentence = UNKNOWN[formula]
    with pytest.raises(ValueError, match=sentence):
        recipe.design(data)


def test_new_categories_may_be_hashed_or_listed_in_advance():
    recipe, _ = recipe_of("y ~ hashed(r, levels=4) + C(c, levels=['w', 'v', 'u', 'later'])")
    assert recipe.design({"r": ["west"], "c": ["later"]}).matrix()[0, -1] == 1.0


def test_categories_that_are_known_but_do_not_occur_may_be_missing_from_new_data():
    recipe, _ = recipe_of("y ~ c")
    new = pd.DataFrame({"c": pd.Categorical(["u"], categories=["other", "u"])})
    assert recipe.design(new).matrix().tolist() == [[1.0, 0.0, 1.0]]


WRONG = {
    "y ~ x +* z": r"A formula must read like 'y ~ x \+ C\(z\)': 'y ~ x \+\* z' does not at '\+\*'",
    "y ~ foo(x": r"'y ~ foo\(x' does not at 'foo\(x' \(Formula ended before",
    "y ~ x)": r"does not at '\)'",
    "y ~ x ~ z": "does not at '~'",
    "y ~ x + ": r"does not at '\+'",
    "y ~ 3": "does not at '3'",
    "y ~ r > 3": "does not at '>'",
    "y ~ x | z": "must have one left and one right side",
    "y ~ lgo(x)": r"must be computable: lgo\(x\) is not \(name 'lgo' is not defined\); did you mean 'log'\?",
    "y ~ np.lg(x)": r"np.lg\(x\) is not \(module 'numpy' has no attribute 'lg'\)",
    "y ~ frobnicate(x)": r"frobnicate\(x\) is not .*; correct it, or pass it in context=",
    "y ~ np.log(r)": r"np.log\(r\) is not",
    "y ~ bs(x, df=2)": "Invalid value for `df`",
    "y ~ C(r, Treatment('nowhere'))": "'nowhere'",
    "y ~ C(k, levels=[1, 2])": r"Every value must be among the levels that .* lists or was fitted to: found .*3.*; list them too",
    "y ~ np.log(k - 1)": r"must be finite: it is -inf in \d+ of 400 rows, first in row \d+ \(k = 1\); change the term",
    "y ~ np.log(x - 3)": r"must be finite: it is nan in \d+ of 400 rows",
    "y ~ lag(x)": r"Column 'lag\(x\)' of the design must be finite: it is nan in 1 of 400 rows, first in row 0",
    "np.log(y) ~ x": r"Column 'np.log\(y\)' of the design must be finite",
}


@pytest.mark.parametrize("formula", WRONG)
def test_wrong_formulas_are_refused_in_a_sentence(formula):
    def tried():
        recipe, variables = recipe_of(formula)
        return recipe.design(variables), recipe.response(variables)

    with pytest.raises(ValueError, match=WRONG[formula]) as caught:
        tried()
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_misspelt_columns_are_told_by_the_data():
    with pytest.raises(DataError, match="data has no column 'agee': did you mean 'age'"):
        read_variables({"age": [1]}, required("y ~ np.log(agee)")[1])


def test_wildcards_need_columns():
    with pytest.raises(ValueError, match=r"what '\.' stands for is not known"):
        required("y ~ .")


def test_a_term_of_very_many_categories_is_refused():
    names = np.array([f"n{i}" for i in range(200)])
    variables = read_variables({"one": names, "two": names[::-1]}, ["one", "two"])
    with pytest.raises(ValueError, match=r"must have at most 20,000 columns: one:two of .* has 40,000 combinations"):
        Recipe.trained("~ one:two", variables)


def test_nothing_of_the_caller_is_seen_but_the_context():
    hidden = np.log
    with pytest.raises(ValueError, match=r"hidden\(x\) is not \(name 'hidden' is not defined\)"):
        recipe_of("y ~ hidden(x)")
    recipe, variables = recipe_of("y ~ shown(z)", context={"shown": hidden})
    np.testing.assert_allclose(recipe.design(variables).matrix()[:, 1], np.log(DATA["z"]))


def test_combinations_that_do_not_occur_need_no_value():
    data = {"y": [1, 2, 3], "k": [0, 1, 2], "h": [5, 1, 1]}
    variables = read_variables(data, list(data))
    recipe = Recipe.trained("y ~ np.log(k):h + np.log(h)", read_variables({**data, "k": [1, 1, 2]}, list(data)))
    with pytest.raises(ValueError, match="first in row 0"):
        recipe.design(variables)
    part = variables.rows(np.array([1, 2]))
    np.testing.assert_allclose(recipe.design(part).matrix()[:, 2], [0.0, np.log(2)])


def test_a_matrix_of_many_values_is_copied_once_with_ones_before_it():
    X = np.random.default_rng(0).normal(size=(500, 3))
    recipe = Recipe.of_matrix(X)
    design = recipe.design(X)
    assert recipe.names == ("Intercept", "x0", "x1", "x2")
    assert [type(block) for block in design.blocks] == [Dense]
    np.testing.assert_array_equal(design.matrix(), np.column_stack([np.ones(500), X]))
    assert Recipe.of_matrix(X, ["a", "b", "c"], intercept=False).names == ("a", "b", "c")
    np.testing.assert_array_equal(recipe.design(X[:2]).matrix()[:, 1:], X[:2])
    np.testing.assert_array_equal(recipe.design(X[:2].tolist()).matrix()[:, 1:], X[:2])


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32, np.float64])
def test_a_matrix_of_few_values_is_codes(dtype):
    X = np.random.default_rng(0).integers(0, 2, (400, 4)).astype(dtype)
    recipe = Recipe.of_matrix(X)
    design = recipe.design(X)
    assert recipe.discrete
    assert all(isinstance(block, Coded) for block in design.blocks)
    np.testing.assert_array_equal(design.matrix()[:, 1:], X)


@pytest.mark.parametrize("holder", [pd.DataFrame, pl.from_pandas])
def test_a_frame_as_matrix_is_coded_as_formulaic_would(holder):
    data = DATA[["x", "r", "my col", "b"]]
    recipe = Recipe.of_matrix(holder(data))
    expected = formulaic.model_matrix("x + r + `my col` + b", data)
    assert recipe.names == tuple(expected.columns)
    np.testing.assert_array_equal(recipe.design(holder(data)).matrix(), np.asarray(expected, float))
    with pytest.raises(DataError, match="has no column 'r'"):
        recipe.design(holder(data[["x"]]))
    variables = read_matrix(holder(data), ["x", "r"])
    assert Recipe.of_matrix(variables, intercept=False).names == ("x", "r[east]", "r[north]", "r[south]")


MATRICES = {
    "shape": (np.ones(3), r"found shape \(3,\); use X.reshape\(-1, 1\) for one column"),
    "text": (np.array([["a"]]), "pass text in a data frame"),
    "nan": (
        np.array([[1.0, 2.0], [3.0, np.nan]]),
        r"X must be finite: 1 of 4 values is not, first nan at X\[1, 1\], in column 'x1'",
    ),
    "ragged": ([[1, 2], [3]], "rows of unequal length"),
    "empty": (np.ones((0, 3)), r"found shape \(0, 3\)"),
}


@pytest.mark.parametrize("case", MATRICES)
def test_what_is_no_matrix_is_refused(case):
    X, sentence = MATRICES[case]
    with pytest.raises(DataError, match=sentence):
        Recipe.of_matrix(X)


def test_new_matrices_must_have_as_many_columns():
    recipe = Recipe.of_matrix(np.ones((3, 2)))
    with pytest.raises(DataError, match=r"columns that the model was fitted to, 2 \('x0', 'x1'\): found 3"):
        recipe.design(np.ones((3, 3)))
    with pytest.raises(DataError, match="2 names for its columns, all different: found 'a', 'a'"):
        Recipe.of_matrix(np.ones((3, 2)), ["a", "a"])
