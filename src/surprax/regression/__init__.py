"""Generalised linear models: formulas, links, families of responses, and estimates that predict."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
