"""Settings of the multivariate normal distribution and its relatives."""

from types import SimpleNamespace

import numpy as np
import scipy.stats as st
from tests.families.cases import Case

import surprax as sx

S = np.array([[2.0, 0.6, -0.3], [0.6, 1.0, 0.2], [-0.3, 0.2, 0.5]])
S_WIDE = np.diag([30.0, 1.0, 0.02]) @ S @ np.diag([30.0, 1.0, 0.02])

M, V = np.array([[0.3, -1.0], [2.0, 0.0], [1.0, 4.0]]), np.array([[1.0, 0.3], [0.3, 0.5]])


def scipy_of_pair(*parameters):
    """SciPy takes the mean and the variance apart."""
    frozen = st.normal_inverse_gamma(*parameters)
    return SimpleNamespace(logpdf=lambda x: frozen.logpdf(*x))


CASES = [
    Case(lambda: sx.MultivariateNormal([0.3, -1.0, 2.0], S), st.multivariate_normal([0.3, -1.0, 2.0], S)),
    Case(lambda: sx.MultivariateNormal([30.0, 0.0, 0.1], S_WIDE), st.multivariate_normal([30.0, 0.0, 0.1], S_WIDE)),
    Case(
        lambda: sx.MultivariateNormalDiag([0.3, -1.0, 2.0], [1.5, 1.0, 0.7]),
        st.multivariate_normal([0.3, -1.0, 2.0], np.diag([1.5, 1.0, 0.7]) ** 2),
    ),
    Case(
        lambda: sx.MultivariateNormalDiag([30.0, 0.0, 0.1], [40.0, 1.0, 0.02]),
        st.multivariate_normal([30.0, 0.0, 0.1], np.diag([40.0, 1.0, 0.02]) ** 2),
    ),
    Case(
        lambda: sx.MultivariateNormalIsotropic([0.3, -1.0, 2.0], 1.5),
        st.multivariate_normal([0.3, -1.0, 2.0], 1.5**2 * np.eye(3)),
    ),
    Case(
        lambda: sx.MultivariateNormalIsotropic([0.1, -0.2, 0.0], 0.4),
        st.multivariate_normal([0.1, -0.2, 0.0], 0.4**2 * np.eye(3)),
    ),
    Case(
        lambda: sx.MatrixNormal(M, row_covariance=S, column_covariance=V),
        st.matrix_normal(M, S, V),
        label="MatrixNormal",
    ),
    Case(
        lambda: sx.MatrixNormal(0.0, row_covariance=S_WIDE, column_covariance=3.0 * V),
        st.matrix_normal(np.zeros((3, 2)), S_WIDE, 3.0 * V),
        label="MatrixNormal wide",
    ),
    Case(
        lambda: sx.NormalInverseGamma(0.3, 2.0, 3.0, 1.5), scipy_of_pair(0.3, 2.0, 3.0, 1.5), label="NormalInverseGamma"
    ),
    Case(
        lambda: sx.NormalInverseGamma(-2.0, 0.5, 4.5, 7.0),
        scipy_of_pair(-2.0, 0.5, 4.5, 7.0),
        label="NormalInverseGamma wide",
    ),
    Case(lambda: sx.NormalGamma(0.3, 2.0, 3.0, 1.5), label="NormalGamma"),
    Case(lambda: sx.NormalGamma(-2.0, 0.5, 2.5, 7.0), label="NormalGamma wide"),
    Case(lambda: sx.Wishart(4.5, S), st.wishart(4.5, S), label="Wishart"),
    Case(lambda: sx.Wishart(20.0, S_WIDE), st.wishart(20.0, S_WIDE), label="Wishart wide"),
    Case(lambda: sx.InverseWishart(8.5, S), st.invwishart(8.5, S), label="InverseWishart"),
    Case(lambda: sx.InverseWishart(20.0, S_WIDE), st.invwishart(20.0, S_WIDE), label="InverseWishart wide"),
    Case(lambda: sx.NormalInverseWishart([0.3, -1.0, 2.0], 2.0, 8.5, S), label="NormalInverseWishart"),
    Case(lambda: sx.NormalInverseWishart([0.0, 0.5, 2.0], 0.5, 12.0, 3 * S), label="NormalInverseWishart wide"),
    Case(lambda: sx.NormalWishart([0.3, -1.0, 2.0], 2.0, 8.5, S), label="NormalWishart"),
    Case(lambda: sx.NormalWishart([0.0, 0.5, 2.0], 0.5, 12.0, rate_matrix=3 * S), label="NormalWishart wide"),
    Case(
        lambda: sx.MultivariateStudentT(7.0, [0.3, -1.0, 2.0], scale_matrix=S),
        st.multivariate_t([0.3, -1.0, 2.0], S, 7.0),
        label="MultivariateStudentT",
    ),
    Case(
        lambda: sx.MultivariateStudentT(5.5, [0.0, 0.5, 2.0], scale_matrix=S_WIDE),
        st.multivariate_t([0.0, 0.5, 2.0], S_WIDE, 5.5),
        label="MultivariateStudentT wide",
    ),
]
