from .adapter import SurpraxDistribution as SurpraxDistribution
from .numpyro_twins import from_numpyro as from_numpyro
from .numpyro_twins import to_numpyro as to_numpyro
from .scipy_twins import to_scipy as to_scipy
