"""Notebooks among the tests: XLA compiles some of them almost without optimisation, as in `tests/conftest.py`."""

from collections.abc import Generator

import pytest

QUICKLY_COMPILED = {"03_explain"}  # many programs that run for a moment; training would be slower by more than it gains


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """The kernel of a notebook is a process that inherits the environment."""
    with pytest.MonkeyPatch.context() as environment:
        if item.path.stem in QUICKLY_COMPILED:
            environment.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        return (yield)
