"""The page on interop says what happens."""

import doctest
from pathlib import Path

import jax

PAGE = Path(__file__).parents[2] / "docs" / "interop.md"


def test_examples_of_the_page_run():
    with jax.numpy_rank_promotion("allow"), jax.debug_key_reuse(False):
        failed, tried = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried > 10
    assert failed == 0
