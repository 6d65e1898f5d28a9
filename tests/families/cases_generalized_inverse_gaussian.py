"""Settings of the generalized inverse Gaussian distribution."""

import numpy as np
import scipy.stats as st
from tests.families.cases import Case

from surprax.families.generalized_inverse_gaussian import GeneralizedInverseGaussian


def twin(a: float, b: float, m: float):
    return st.geninvgauss(a - b, 2.0 * np.sqrt(a * b), scale=m * np.sqrt(b / a))


SETTINGS = ((2.0, 0.5, 1.5), (3.5, 1.0, 1.0), (0.7, 3.0, 5.0), (30.0, 20.0, 0.1))
CASES = [Case(lambda s=s: GeneralizedInverseGaussian(*s), twin(*s)) for s in SETTINGS]
