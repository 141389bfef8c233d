"""What the tests of compression share."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def quickly_compiled_models(quickly_compiled):
    """Every width is another program, which runs for a moment."""
