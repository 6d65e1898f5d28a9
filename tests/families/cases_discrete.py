"""Settings of the families of whole numbers."""

import numpy as np
import scipy.stats as st
from tests.families.cases import Case

from surprax.families import Bernoulli, Binomial, Categorical, Geometric, NegativeBinomial, Poisson


def negative_binomial(mean: float, concentration: float) -> st.rv_discrete:
    """SciPy's, by mean and concentration."""
    return st.nbinom(concentration, concentration / (concentration + mean))


def categorical(*probs: float) -> st.rv_discrete:
    """SciPy's, on 0, 1, 2, …"""
    return st.rv_discrete(values=(np.arange(len(probs)), probs))()


CASES = [
    Case(lambda: Bernoulli(0.3), st.bernoulli(0.3)),
    Case(lambda: Bernoulli(0.9), st.bernoulli(0.9)),
    Case(lambda: Bernoulli(1e-4), st.bernoulli(1e-4)),
    Case(lambda: Binomial(10, 0.3), st.binom(10, 0.3), {"total_count": 10.0}),
    Case(lambda: Binomial(10, 0.31), st.binom(10, 0.31), {"total_count": 10.0}),
    Case(lambda: Binomial(12, 0.5), st.binom(12, 0.5), {"total_count": 12.0}),
    Case(lambda: Binomial(1, 0.7), st.binom(1, 0.7), {"total_count": 1.0}),
    Case(lambda: Binomial(1000, 0.98), st.binom(1000, 0.98), {"total_count": 1000.0}),
    Case(lambda: Categorical(probs=[0.2, 0.3, 0.5]), categorical(0.2, 0.3, 0.5)),
    Case(lambda: Categorical(probs=[0.5, 0.25, 0.25]), categorical(0.5, 0.25, 0.25)),
    Case(lambda: Poisson(3.0), st.poisson(3.0)),
    Case(lambda: Poisson(3.1), st.poisson(3.1)),
    Case(lambda: Poisson(0.05), st.poisson(0.05)),
    Case(lambda: Poisson(1024.0), st.poisson(1024.0)),
    Case(lambda: Geometric(0.25), st.geom(0.25, loc=-1)),
    Case(lambda: Geometric(0.26), st.geom(0.26, loc=-1)),
    Case(lambda: Geometric(0.9), st.geom(0.9, loc=-1)),
    Case(lambda: Geometric(0.01), st.geom(0.01, loc=-1)),
    Case(lambda: NegativeBinomial(3.0, 2.0), negative_binomial(3.0, 2.0), {"concentration": 2.0}),
    Case(lambda: NegativeBinomial(3.5, 2.0), negative_binomial(3.5, 2.0), {"concentration": 2.0}),
    Case(lambda: NegativeBinomial(3.5, 2.1), negative_binomial(3.5, 2.1), {"concentration": 2.1}),
    Case(lambda: NegativeBinomial(0.5, 0.1), negative_binomial(0.5, 0.1), {"concentration": 0.1}),
    Case(lambda: NegativeBinomial(64.0, 1024.0), negative_binomial(64.0, 1024.0), {"concentration": 1024.0}),
]
