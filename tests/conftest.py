"""Shared fixtures; array annotations are checked at run time in every test, other annotations by Pyright."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

ROOT = Path(__file__).resolve().parent.parent
ANNOTATED = [path for path in (ROOT / "pinnwx").rglob("*.py") if "from jaxtyping import" in path.read_text("utf-8")]
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ANNOTATED]
install_import_hook(MODULES, "typechecker.checked")
# Most of the time is compilation. With these options XLA takes a third of the time for it; so do the processes and the
# notebooks that the tests start, which inherit the environment. XLA aborts a process that names an unknown option.
QUICKER = (
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
    "--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true",
)


def with_flags(options: str) -> dict[str, str]:
    """The environment with these options of XLA."""
    return os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {options}".strip()}


def is_known(options: str) -> bool:
    command = [sys.executable, "-c", "import jax; jax.devices()"]
    return not subprocess.run(command, env=with_flags(options), capture_output=True).returncode


if "PYTEST_XDIST_WORKER" not in os.environ:  # the workers inherit the environment too
    wanted = " ".join(QUICKER)
    os.environ |= with_flags(wanted if is_known(wanted) else " ".join(filter(is_known, QUICKER)))
gc.set_threshold(100_000, 20, 50)  # tracing leaves many small objects, and the collector finds few of them dead
if hasattr(signal, "SIGHUP"):  # where `nohup` starts the tests it is ignored, by the processes that they start too
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="module", autouse=True)
def few_memory_maps() -> Iterator[None]:
    """Every compiled program holds a few memory maps. Linux grants a process 65,530; beyond them JAX crashes."""
    yield
    maps = Path("/proc/self/maps")
    if "jax" in sys.modules and maps.exists() and maps.read_bytes().count(b"\n") > 20_000:
        sys.modules["jax"].clear_caches()


@pytest.fixture(scope="module", autouse=True)
def quickly_compiled(request) -> Iterator[None]:
    """Almost no optimisation: programs compile faster still, and run slower; so do the processes that the tests start.

    Modules marked `optimised` do without, because their programs run for long.
    """
    if request.node.get_closest_marker("optimised"):
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
