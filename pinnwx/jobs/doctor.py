"""Checks this machine for jobs: packages, devices, speed, memory, disk, clock."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from pinnwx.data.calendar import format_time, now
from pinnwx.errors import UsageError
from pinnwx.runtime import compiler_options, keep_compiled_code, keep_freed_memory, product_speed
from pinnwx.version import __version__

_PACKAGES = ("jax", "flax", "optax", "diffrax", "orbax-checkpoint", "numpy", "xarray", "netCDF4", "zarr")
_EXTRAS = {"GRIB files": "eccodes", "cloud stores": "aiohttp", "notebooks": "ipykernel"}
_LEAST_MEMORY, _LEAST_DISK = 2 * 2**30, 2**30  # bytes: for training at 5.625 degrees, and for a run with its cache
_SLOW = 20.0  # GFLOP/s; below that, ten minutes of training are too short


@dataclass(frozen=True)
class Finding:
    """The result of one check; `problem` describes the problem and the remedy, or is empty."""

    name: str
    value: str
    problem: str = ""


def doctor() -> tuple[Finding, ...]:
    """Checks in a few seconds everything that a job needs; creates the folder of compiled code if necessary."""
    keeps_memory, cache = keep_freed_memory(), keep_compiled_code()
    return (
        Finding("pinnwx", f"{__version__}, Python {sys.version.split()[0]}"),
        Finding("packages", ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)),
        Finding("extras", _extras()),
        _devices(),
        _speed(),
        _memory(),
        Finding("allocator", "keeps freed memory" if keeps_memory else "default of the system"),
        _cache(cache),
        _disk("working folder", Path.cwd()),
        _clock(),
    )


def _extras() -> str:
    return ", ".join(f"{what}: {'yes' if util.find_spec(name) else 'no'}" for what, name in _EXTRAS.items())


def _devices() -> Finding:
    import jax

    kinds = [device.device_kind for device in jax.devices()]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    options = ", older fusion emitters for training" if compiler_options() else ""
    return Finding("devices", f"{len(kinds)} x {kinds[0]}, {cores} cores{options}")


def _speed() -> Finding:
    speed = product_speed()
    problem = "" if speed >= _SLOW else f"less than {_SLOW:g}: train for more minutes, or end other programs"
    return Finding("speed", f"{speed:,.0f} GFLOP/s in products of 1024 x 1024 matrices", problem)


def _memory() -> Finding:
    """The available memory, which Linux reports."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return Finding("memory", "not reported by this system")
    problem = "" if free >= _LEAST_MEMORY else f"training takes about {_LEAST_MEMORY / 2**30:g} GiB: end other programs"
    return Finding("memory", f"{free / 2**30:.1f} GiB free", problem)


def _cache(folder: Path | None) -> Finding:
    if folder is None:
        return Finding("compiled code", "not stored", "every job compiles again: set PINNWX_CACHE to a writable folder")
    if not os.access(folder, os.W_OK):
        return Finding("compiled code", str(folder), "not writable: set PINNWX_CACHE to a writable folder")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Finding("compiled code", f"{folder}, {size / 2**20:.0f} MiB")


def _disk(name: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        return Finding(name, str(folder), "not writable: choose another --out")
    problem = "" if free >= _LEAST_DISK else f"less than {_LEAST_DISK / 2**30:g} GiB free: free some space"
    return Finding(name, f"{folder}, {free / 2**30:.1f} GiB free", problem)


def _clock() -> Finding:
    """The clock, because forecasts from an analysis with a later date are refused."""
    try:
        time = format_time(now())
    except UsageError as error:
        return Finding("clock", os.environ["PINNWX_NOW"], str(error))
    pinned = bool(os.environ.get("PINNWX_NOW"))
    return Finding("clock", time, "set by PINNWX_NOW, not the real time: unset it" if pinned else "")
