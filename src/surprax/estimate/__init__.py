"""Maximum likelihood, with everything that a fit should say: uncertainty, profiles, tests, and a certificate."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
