"""Settings of the generalised Dirichlet family; where it is a Dirichlet distribution, SciPy has its density."""

import scipy.stats as st
from tests.families.cases import Case

from surprax.families.generalized_dirichlet import GeneralizedDirichlet

CASES = [
    Case(lambda: GeneralizedDirichlet([2.0, 3.0], [8.0, 5.0]), st.dirichlet([2.0, 3.0, 5.0])),
    Case(lambda: GeneralizedDirichlet([30.0, 2.0], [4.0, 7.0])),
    Case(lambda: GeneralizedDirichlet([4.0, 300.0, 2.5], [9.0, 50.0, 1.5])),
]
