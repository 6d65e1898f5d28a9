"""The planner: reads a plain NumPyro model, finds what of its data can be compressed, proves it, and explains it.

print(plan(model, *args))         # what will be done with each site, and why
fast = compress(model, *args)     # a NumPyro model without arguments: the same posterior at a cost free of the rows
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
