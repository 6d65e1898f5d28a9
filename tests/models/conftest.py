"""Small models are compressed here, which otherwise stay as they are: what is tried is whether their posterior stays the same."""

import pytest

from surprax.models import rules


@pytest.fixture(autouse=True, scope="package")
def _few_rows_are_compressed_too():
    before, rules.FEWEST = rules.FEWEST, 0
    yield
    rules.FEWEST = before
