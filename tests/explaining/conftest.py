"""What the tests of explaining share."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def quickly_compiled_programs(quickly_compiled):
    """Most of their time is compilation."""
