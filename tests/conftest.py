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


@pytest.fixture(scope="module", autouse=True)
def few_memory_maps() -> Iterator[None]:
    """Every compiled program holds a few memory maps. Linux grants a process 65,530; beyond them JAX crashes."""
    yield
    maps = Path("/proc/self/maps")
    if "jax" in sys.modules and maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        sys.modules["jax"].clear_caches()


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
