"""Settings of families of vectors of probabilities and of counts."""

import numpy as np
import scipy.stats as st
from tests.families.cases import Case

from surprax.families.dirichlet import Dirichlet
from surprax.families.dirichlet_multinomial import DirichletMultinomial
from surprax.families.multinomial import Multinomial

CASES = [
    Case(lambda: Dirichlet([2.0, 3.0, 5.0]), st.dirichlet([2.0, 3.0, 5.0])),
    Case(lambda: Dirichlet([0.8, 1.0, 1.5]), st.dirichlet([0.8, 1.0, 1.5])),
    Case(lambda: Dirichlet([300.0, 2.0, 9e3]), st.dirichlet([300.0, 2.0, 9e3])),
    Case(lambda: Multinomial(12, probs=[0.5, 0.3, 0.2]), st.multinomial(12, [0.5, 0.3, 0.2])),
    Case(lambda: Multinomial(12, probs=[0.1, 0.2, 0.7]), st.multinomial(12, [0.1, 0.2, 0.7])),
    Case(
        lambda: Multinomial(400, logits=[0.0, 1.0, -1.0]),
        st.multinomial(400, np.exp([0, 1, -1]) / np.exp([0, 1, -1]).sum()),
    ),
    Case(lambda: DirichletMultinomial([2.0, 3.0, 0.5], 20), st.dirichlet_multinomial([2.0, 3.0, 0.5], 20)),
    Case(lambda: DirichletMultinomial([2e3, 3e3, 1e3], 50), st.dirichlet_multinomial([2e3, 3e3, 1e3], 50)),
]
