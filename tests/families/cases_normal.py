"""Settings of the normal distribution."""

import scipy.stats as st
from tests.families.cases import Case

from surprax.families import Normal

CASES = [
    Case(lambda: Normal(0.0, 1.0), st.norm()),
    Case(lambda: Normal(-3.0, 0.2), st.norm(-3.0, 0.2)),
    Case(lambda: Normal(1e3, 0.1), st.norm(1e3, 0.1)),
]
