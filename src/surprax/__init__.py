"""surprax: probabilistic modelling in surprise space.

Beliefs, data and models are vectors of surprise, s = log 1/p; inference is addition. Names are loaded when they are first used.
"""

import lazy_loader as _lazy

from surprax.surprise import probability, surprise
from surprax.units import convert

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
__all__ += ["__version__", "convert", "probability", "surprise"]
