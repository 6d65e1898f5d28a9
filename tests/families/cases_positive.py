"""Settings of the families on the positive numbers and on the unit interval."""

import numpy as np
import scipy.stats as st
from tests.families.cases import Case

from surprax.families.beta import Beta
from surprax.families.exponential_law import Exponential
from surprax.families.gamma import Gamma
from surprax.families.half_normal import HalfNormal
from surprax.families.inverse_gamma import InverseGamma
from surprax.families.inverse_gaussian import InverseGaussian
from surprax.families.log_normal import LogNormal

CASES = [
    Case(lambda: Exponential(1.0), st.expon()),
    Case(lambda: Exponential(0.3), st.expon(scale=1 / 0.3)),
    Case(lambda: Exponential(50.0), st.expon(scale=1 / 50)),
    Case(lambda: Gamma(2.0, 3.0), st.gamma(2.0, scale=1 / 3.0)),
    Case(lambda: Gamma(1.0, 2.0), st.gamma(1.0, scale=1 / 2.0)),
    Case(lambda: Gamma(0.3), st.gamma(0.3)),
    Case(lambda: Gamma(50.0, 0.2), st.gamma(50.0, scale=5.0)),
    Case(lambda: Gamma(55.0, 0.22), st.gamma(55.0, scale=1 / 0.22)),
    Case(lambda: InverseGamma(3.5, 2.0), st.invgamma(3.5, scale=2.0)),
    Case(lambda: InverseGamma(4.0, 1.0), st.invgamma(4.0)),
    Case(lambda: InverseGamma(0.7), st.invgamma(0.7)),
    Case(lambda: InverseGamma(60.0, 300.0), st.invgamma(60.0, scale=300.0)),
    Case(lambda: LogNormal(0.0, 1.0), st.lognorm(1.0)),
    Case(lambda: LogNormal(0.5, 0.7), st.lognorm(0.7, scale=np.exp(0.5))),
    Case(lambda: LogNormal(-3.0, 0.1), st.lognorm(0.1, scale=np.exp(-3.0))),
    Case(lambda: Beta(2.0, 5.0), st.beta(2.0, 5.0)),
    Case(lambda: Beta(1.0, 3.0), st.beta(1.0, 3.0)),
    Case(lambda: Beta(1.0, 1.0), st.beta(1.0, 1.0)),
    Case(lambda: Beta(0.3, 0.8), st.beta(0.3, 0.8)),
    Case(lambda: Beta(40.0, 3.0), st.beta(40.0, 3.0)),
    Case(lambda: Beta(44.0, 3.2), st.beta(44.0, 3.2)),
    Case(lambda: HalfNormal(2.0), st.halfnorm(scale=2.0)),
    Case(lambda: HalfNormal(0.03), st.halfnorm(scale=0.03)),
    Case(lambda: InverseGaussian(2.0, 3.0), st.invgauss(2.0 / 3.0, scale=3.0)),
    Case(lambda: InverseGaussian(1.0, 0.2), st.invgauss(5.0, scale=0.2)),
    Case(lambda: InverseGaussian(5.0, 400.0), st.invgauss(5.0 / 400.0, scale=400.0)),
]
