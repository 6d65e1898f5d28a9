"""Recipes: how the columns of a design are made from variables, by a formula or out of a matrix.

    responses, covariates = required("claims ~ age * C(region)")
    variables = read_variables(frame, [*responses, *covariates])
    recipe = Recipe.trained("claims ~ age * C(region)", variables)
    recipe.names, recipe.design(variables), recipe.response(variables)
    recipe.design(new_frame)              # for a prediction: the same columns

Formulas are formulaic's, and its names of columns. They are Python: a formula can do whatever a program can.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from surprax.data.errors import DataError, quoted
from surprax.regression.centring import Centring, centring_of
from surprax.regression.design import Design
from surprax.regression.encoding import Variable
from surprax.regression.matrices import is_array, read_matrix
from surprax.regression.powers import power_of, power_rest
from surprax.regression.syntax import columns_of_matrix, parsed
from surprax.regression.terms import Terms
from surprax.regression.training import trained
from surprax.regression.variables import Variables, read_variables

__all__ = ["Recipe", "required"]


def required(
    formula: str, columns: Sequence[str] | None = None, context: Mapping[str, Any] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns that a formula reads: those of its response, and those of its covariates.

    `columns` are those that there are: what `.` stands for, and which names are columns rather than functions.
    Raises `ValueError`, one sentence with the place, where the formula is none.

    >>> required("np.log(cost) ~ age * C(region)")
    (('cost',), ('age', 'region'))
    >>> required("y ~ x + * z")
    Traceback (most recent call last):
    ValueError: A formula must read like 'y ~ x + C(z)': 'y ~ x + * z' does not at '+ *' ...
    """
    found = parsed(formula, columns, context)
    return found.responses, found.covariates


@final
@dataclass(frozen=True, eq=False)
class Recipe:
    """How the columns of a design, and the response, are made from variables.

    Attributes:
        formula: what it was made from; None for a matrix.
        responses: the variables that the response is made from.
        covariates: the variables that the columns are made from.
        discrete: whether every column depends on a row through discrete variables only.
        right: the terms of the design.
        left: the terms of the response, if there is one.
        centring: where columns that lie far from zero are counted from; None where none do.

    >>> variables = read_variables({"y": [1.5, 2.5, 3.0], "size": [1, 2, 2], "shape": ["a", "b", "a"]}, ["y", "size", "shape"])
    >>> recipe = Recipe.trained("y ~ size + shape", variables)
    >>> recipe.names, recipe.categories
    (('Intercept', 'size', 'shape[T.b]'), {'shape': ('a', 'b')})
    >>> recipe.design(variables).matrix()
    array([[1., 1., 0.],
           [1., 2., 1.],
           [1., 2., 0.]])
    >>> recipe.design({"size": [5], "shape": ["b"]}).matrix()
    array([[1., 5., 1.]])
    """

    formula: str | None
    responses: tuple[str, ...]
    covariates: tuple[str, ...]
    discrete: bool
    right: Terms
    left: Terms | None = None
    centring: Centring | None = None

    @classmethod
    def trained(
        cls,
        formula: str,
        variables: Variables,
        context: Mapping[str, Any] | None = None,
        *,
        columns: Sequence[str] | None = None,
    ) -> "Recipe":
        """The recipe of a formula.

        What its factors learn, the mean in `center(x)` say, they learn from all rows.

        Args:
            formula: as in R: `y ~ x + C(z)`.
            variables: those that `required` names.
            context: functions that the formula may use besides formulaic's; nothing else of the caller's is seen.
            columns: what was given to `required`; the names of the variables if not given.

        Raises:
            ValueError: a term cannot be computed, or would have too many columns.
        """
        given = dict(context or {})
        found = parsed(formula, list(variables) if columns is None else columns, given)
        right = trained(formula, found.right, variables, given)
        left = trained(formula, found.left, variables, given) if found.left else None
        return cls(formula, found.responses, found.covariates, right.discrete(variables), right, left)

    @classmethod
    def of_matrix(cls, X: Any, names: Sequence[str] | None = None, *, intercept: bool = True) -> "Recipe":
        """The recipe that takes the columns of X as they are, and those of categories by their indicators.

        Args:
            X: shape (n, c), an array or a data frame; or what `read_matrix` made of one.
            names: of the columns; `x0`, `x1` … for an array, all columns of a frame, if not given.
            intercept: whether a column of ones comes first.

        >>> Recipe.of_matrix(np.array([[1.0, 2.0], [3.0, 4.0]])).names
        ('Intercept', 'x0', 'x1')
        """
        variables = X if isinstance(X, Variables) else read_matrix(X, names)
        right = trained("X", columns_of_matrix(list(variables), intercept=intercept), variables, {})
        return cls(None, (), tuple(variables), right.discrete(variables), right)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return self.right.names

    @property
    def categories(self) -> dict[str, tuple[Any, ...]]:
        """The categories of each factor that has some."""
        state = self.right.spec.encoder_state
        return {str(name): tuple(its["categories"]) for name, (_, its) in state.items() if "categories" in its}

    def variables(self, data: Any) -> Variables:
        """The covariates out of new data, which are what the first data were: a frame, a mapping or a file, or an array.

        Raises `DataError` where a column is missing, or an array has too many or too few.
        """
        if isinstance(data, Variables):
            return data
        if self.formula is not None or not is_array(data):
            return read_variables(data, self.covariates)
        array = np.asarray(data)
        if array.ndim == 2 and array.shape[1] != len(self.covariates):
            raise DataError(
                f"X must have the columns that the model was fitted to, {len(self.covariates)} "
                f"({quoted(self.covariates)}): found {array.shape[1]}"
            )
        return read_matrix(array, self.covariates)

    def design(self, data: Any) -> Design:
        """The design for variables or for new data, with the columns `names`, counted from where `centring` says.

        Raises `ValueError` for categories that were not there before, and for columns that are not finite.
        """
        design = self.right.design(self.variables(data))
        return design if self.centring is None else self.centring.moved(design)

    def centred(self, design: Design) -> "Recipe":
        """The recipe that counts columns from near their means where they lie far from zero in a design."""
        return replace(self, centring=centring_of(design))

    def rest(self, variables: Variables, design: Design) -> np.ndarray | None:
        """What rounding took from columns that are powers, such as `I(x**3)`, shape (n, p); None where no columns are."""
        out = None
        for of_term in self.right.pieces:
            name = of_term[0].factor.expr if len(of_term) == 1 else ""
            found = power_of(name)
            if found is None or name not in self.names:
                continue
            x = np.asarray(variables[found[0]].column(), np.float64)
            out = np.zeros((len(x), len(self.names))) if out is None else out
            place = self.names.index(name)
            out[:, place] = power_rest(x, found[1], design.column(place))
        return out

    def response(self, variables: Variables) -> dict[str, Variable]:
        """The left-hand side by column: one variable or several, numbers or labels.

        >>> variables = read_variables({"won": ["yes", "no"], "x": [0.5, 1.5]}, ["won", "x"])
        >>> Recipe.trained("won ~ x", variables).response(variables)["won"].values
        array(['no', 'yes'], dtype=object)
        """
        if self.left is None:
            raise ValueError(f"The formula {self.formula!r} must have a left side: write the response before a '~'")
        return self.left.responses(variables)
