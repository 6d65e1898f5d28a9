"""Distributions of other libraries, from ours and back: NumPyro's, for models and inference; SciPy's, frozen.

    numpyro.sample("rate", to_numpyro(Gamma(2.0, 3.0)))   # our density inside a NumPyro model
    from_numpyro(numpyro.distributions.Gamma(2.0, 3.0))   # Gamma(concentration=2, rate=3)
    to_scipy(Gamma(2.0, 3.0)).ppf(0.9)

A distribution without a counterpart is refused in a sentence that lists those that have one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
