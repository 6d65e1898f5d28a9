"""A column of measurements and one of counts that all families play on: with them, tests share what is compiled for it."""

import numpy as np

MEASUREMENTS = 1e6 * np.random.default_rng(2).gamma(3.0, 1.0, 20_000)
COUNTS = np.random.default_rng(3).binomial(10, 0.5, 20_000)
