"""Settings of the families that are fitted by passes over the data."""

import scipy.stats as st
from tests.families.cases import Case

from surprax.families.cauchy import Cauchy
from surprax.families.gumbel import Gumbel
from surprax.families.laplace import Laplace
from surprax.families.logistic import Logistic
from surprax.families.student_t import StudentT
from surprax.families.uniform import Uniform
from surprax.families.weibull import Weibull

CASES = [
    Case(lambda: Cauchy(0.0, 1.0), st.cauchy()),
    Case(lambda: Cauchy(-3.0, 0.2), st.cauchy(-3.0, 0.2)),
    Case(lambda: Cauchy(100.0, 5.0), st.cauchy(100.0, 5.0)),
    Case(lambda: Gumbel(0.0, 1.0), st.gumbel_r()),
    Case(lambda: Gumbel(-3.0, 0.2), st.gumbel_r(-3.0, 0.2)),
    Case(lambda: Gumbel(-3.1, 0.3), st.gumbel_r(-3.1, 0.3)),
    Case(lambda: Gumbel(100.0, 5.0), st.gumbel_r(100.0, 5.0)),
    Case(lambda: Laplace(0.0, 1.0), st.laplace(), {"loc": 0.0}),
    Case(lambda: Laplace(-3.0, 0.2), st.laplace(-3.0, 0.2), {"loc": -3.0}),
    Case(lambda: Laplace(-2.5, 0.3), st.laplace(-2.5, 0.3), {"loc": -2.5}),
    Case(lambda: Laplace(100.0, 5.0), st.laplace(100.0, 5.0), {"loc": 100.0}),
    Case(lambda: Logistic(0.0, 1.0), st.logistic()),
    Case(lambda: Logistic(-3.0, 0.2), st.logistic(-3.0, 0.2)),
    Case(lambda: Logistic(-2.5, 0.3), st.logistic(-2.5, 0.3)),
    Case(lambda: Logistic(100.0, 5.0), st.logistic(100.0, 5.0)),
    Case(lambda: StudentT(5.0), st.t(5.0)),
    Case(lambda: StudentT(4.0, -3.0, 0.2), st.t(4.0, -3.0, 0.2)),
    Case(lambda: StudentT(1.5, -3.1, 0.3), st.t(1.5, -3.1, 0.3)),
    Case(lambda: StudentT(0.8, 1.0, 2.0), st.t(0.8, 1.0, 2.0)),
    Case(lambda: StudentT(1e3, 1.0, 2.0), st.t(1e3, 1.0, 2.0)),
    Case(lambda: StudentT(1e6, 1.1, 2.0), st.t(1e6, 1.1, 2.0)),
    Case(lambda: Uniform(0.0, 1.0), st.uniform()),
    Case(lambda: Uniform(-3.0, 1.5), st.uniform(-3.0, 4.5)),
    Case(lambda: Uniform(-3.5, 1.5), st.uniform(-3.5, 5.0)),
    Case(lambda: Uniform(100.0, 101.0), st.uniform(100.0, 1.0)),
    Case(lambda: Weibull(2.0, 1.5), st.weibull_min(1.5, scale=2.0), {"concentration": 1.5}),
    Case(lambda: Weibull(2.1, 1.4), st.weibull_min(1.4, scale=2.1), {"concentration": 1.4}),
    Case(lambda: Weibull(1.0, 1.0), st.weibull_min(1.0), {"concentration": 1.0}),
    Case(lambda: Weibull(3.0, 0.7), st.weibull_min(0.7, scale=3.0), {"concentration": 0.7}),
    Case(lambda: Weibull(50.0, 20.0), st.weibull_min(20.0, scale=50.0), {"concentration": 20.0}),
]
