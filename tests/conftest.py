"""Shared fixtures; array annotations are checked at run time in every test."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("pinnwx", "typechecker.checked")
if hasattr(signal, "SIGHUP"):  # where `nohup` starts the tests it is ignored, by the processes that they start too
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).resolve().parent.parent
QUICKLY_COMPILED = {  # folders and modules of tests
    "compression", "explaining", "faults", "forecasting", "model", "physics", "training",
    "test_compress", "test_documentation",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def few_memory_maps() -> Iterator[None]:
    """Every compiled program holds a few memory maps. Linux grants a process 65,530; beyond them JAX crashes."""
    yield
    maps = Path("/proc/self/maps")
    if "jax" in sys.modules and maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="module", autouse=True)
def quickly_compiled(request) -> Iterator[None]:
    """XLA compiles in half the time, without most optimisations; so do the processes that the tests start.

    For tests of programs that run for a moment, where most of the time is compilation.
    """
    if QUICKLY_COMPILED.isdisjoint((request.path.parent.name, request.path.stem)):
        yield
        return
    import jax

    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def double():
    """Double precision."""
    import jax

    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real reanalysis, or a skip that says so."""
    folder = Path(os.environ.get("PINNWX_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set PINNWX_DATA")
    return folder
