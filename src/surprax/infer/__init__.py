"""Inference: posteriors of NumPyro models in closed form, by NUTS, by approximations, or as modes, all with one face.

    post = infer(model, x, y, key=jax.random.key(0))
    post.mean("beta"); post.summary(); post.predict(x_new, key=jax.random.key(1)); post.to_datatree()

What should not be trusted is said in an `InferenceWarning`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
