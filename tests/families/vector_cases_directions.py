"""Settings of the von Mises–Fisher distribution."""

import numpy as np
import scipy.stats as st
from tests.families.cases import Case

from surprax.families.von_mises_fisher import VonMisesFisher

E1, TILTED = np.array([1.0, 0.0, 0.0]), np.array([1.0, 2.0, -2.0]) / 3.0
HIGH = np.arange(1.0, 8.0) / np.sqrt(140.0)
SETTINGS = ((E1, 0.8), (TILTED, 30.0), (HIGH, 5.0), (np.array([0.6, 0.8]), 400.0))
CASES = [
    Case(lambda s=s: VonMisesFisher(*s), st.vonmises_fisher(*s), label=f"VonMisesFisher {len(s[0])} {s[1]}")
    for s in SETTINGS
]
