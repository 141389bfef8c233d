"""Notebooks among the tests: XLA compiles them almost without optimisation, as in `tests/conftest.py`."""

from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """The kernel of a notebook is a process that inherits the environment."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        return (yield)
