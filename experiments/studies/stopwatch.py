"""Seconds of calls that are compared: one after another, round by round, so a slow minute slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import jax

Spread = dict[str, float]  # median, "least" and "most" seconds


def time_in_turns(functions: Mapping[str, Callable[[], object]], rounds: int = 7) -> dict[str, Spread]:
    """Seconds of each function, after a call of each that compiles and fills caches."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        jax.block_until_ready(function())
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function())
            seconds[name].append(time.perf_counter() - start)
    return {name: {"median": statistics.median(s), "least": min(s), "most": max(s)} for name, s in seconds.items()}
