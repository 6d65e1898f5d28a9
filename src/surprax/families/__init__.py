"""Families of distributions: one class each, with the parameters of their NumPyro namesakes; loaded when first named."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
