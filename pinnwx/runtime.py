"""Settings of the process: reuse of freed memory, cache of compiled code, compiler options, speed of the machine."""

import contextlib
import ctypes
import logging
import os
import re
import sys
import time
import warnings
from functools import cache
from pathlib import Path
from typing import Any

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8  # malloc.h
_NEVER = -1
_DAMAGED_ENTRY = re.compile(r"Error reading persistent compilation cache entry for '([^']*)'")  # the warning of JAX
_log = logging.getLogger(__name__)


def prepare() -> None:
    """Applies both settings below; every computing job calls this function first."""
    keep_freed_memory()
    keep_compiled_code()


def keep_freed_memory() -> bool:
    """Makes malloc of glibc keep freed memory; returns true on success.

    glibc returns every large freed buffer to the kernel, and allocates it again in the next step. On two cores, this
    took half of a training step. Threads other than the first have their own arenas, which ignore these settings, so
    this function also sets one arena for all threads. It has no effect on other systems, or with
    `PINNWX_KEEP_MEMORY=0`.
    """
    if not sys.platform.startswith("linux") or os.environ.get("PINNWX_KEEP_MEMORY") == "0":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(
        mallopt(option, value) == 1
        for option, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, 256 * 2**20), (_ARENA_MAX, 1))
    )


@cache
def memory_limit() -> int:
    """The memory [bytes] available to a process: that of the machine, or the limit of its container."""
    limits = [2**63 - 1]
    with contextlib.suppress(ValueError, OSError, AttributeError):  # systems without this information
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    groups = [Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    with contextlib.suppress(OSError):
        inside = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
        own = Path("/sys/fs/cgroup") / inside
        groups += [folder / "memory.max" for folder in (own, *own.parents) if folder.is_relative_to("/sys/fs/cgroup")]
    for group in groups:
        with contextlib.suppress(OSError, ValueError):  # "max" means no limit
            limits.append(int(group.read_text()))
    return min(limit for limit in limits if limit > 0)


def keep_compiled_code() -> Path | None:
    """Keeps compiled code of XLA in `PINNWX_CACHE` (default: the cache folder of the user), so that jobs start fast.

    Returns the folder, or None if the cache is disabled (`PINNWX_CACHE=""`) or cannot be written.
    """
    import jax

    folder = os.environ.get("PINNWX_CACHE")
    if folder == "":
        return None
    try:
        folder = folder or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pinnwx"
        Path(folder).mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
        return None
    _drop_damaged_entries(Path(folder))
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    return Path(folder)


@cache
def _drop_damaged_entries(folder: Path) -> None:
    """Removes unreadable entries of the cache, with a note, so that they are compiled and stored again.

    JAX itself warns of each entry at every start and never replaces it.
    """
    show_others = warnings.showwarning

    def show(message: Warning | str, *rest: Any, **more: Any) -> None:
        match = _DAMAGED_ENTRY.match(str(message))
        if match is None:
            show_others(message, *rest, **more)
            return
        for path in folder.iterdir():
            if path.name.startswith(f"{match[1]}-"):
                with contextlib.suppress(OSError):
                    path.unlink()
        if not noted:
            noted.append(match[1])
            _log.info("note: damaged code in the cache %s is removed and compiled again", folder)

    noted: list[str] = []
    warnings.showwarning = show


@cache
def compiler_options() -> dict[str, bool]:
    """Options of XLA for the compilation of an update (`jax.jit(..., compiler_options=...)`).

    On a CPU, the newer fusion emitters are disabled: with the older emitters, an update took 0.91 of the time (jaxlib
    0.10, AVX-512, two cores), and the equations compiled faster. The options are empty on an accelerator, or if this
    version of XLA lacks the option.
    """
    import jax

    options = {"xla_cpu_use_fusion_emitters": False}
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda x: x + 1, compiler_options=options)(0.0)
    except Exception:
        return {}
    return options


def product_speed() -> float:
    """The current speed [GFLOP/s] of 1024 x 1024 matrix products; on shared cores it varies by a factor of two."""
    import jax
    import jax.numpy as jnp

    square = jnp.ones((1024, 1024))
    multiply = jax.jit(lambda a, b: a @ b)
    seconds = []
    for _ in range(20):
        began = time.monotonic()
        multiply(square, square).block_until_ready()
        seconds.append(time.monotonic() - began)
    return 2 * 1024**3 / sorted(seconds)[len(seconds) // 2] / 1e9
