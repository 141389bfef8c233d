"""Which windows an update learns from, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

Windows = Int32[np.ndarray, "_window times"]


@dataclass(frozen=True, eq=False)
class WindowSampler:
    """An endless sequence of windows: shuffled passes, each of which has every window once.

    Attributes:
        windows: rows of indices into the archive.
        seed: what the orders depend on; the same seed gives the same sequence.
    """

    windows: Windows
    seed: tuple[int, ...]

    def rows(self, first: int, count: int, member: int = 0) -> Int32[np.ndarray, "count times"]:
        """Windows number `first` to `first + count - 1` of the sequence; each member of a deep ensemble has its own."""
        positions = np.arange(first, first + count)
        passes, places = np.divmod(positions, len(self.windows))
        order = {
            number: np.random.default_rng((*self.seed, number, member)).permutation(len(self.windows))
            for number in set(passes.tolist())
        }
        return self.windows[[order[number][place] for number, place in zip(passes, places, strict=True)]]


@dataclass(frozen=True, eq=False)
class BatchSampler:
    """Batches that have so many windows of each kind.

    Attributes:
        parts: the kinds, each with its count in a batch.
    """

    parts: tuple[tuple[WindowSampler, int], ...]

    @classmethod
    def of(cls, main: Windows, other: Windows, fraction: float, size: int, seed: tuple[int, ...]) -> BatchSampler:
        """Batches of `size` windows: a `fraction` of `other` ones, where there are any, but at least one of `main`."""
        few = min(round(fraction * size), size - 1) if len(other) else 0
        parts = ((WindowSampler(main, seed), size - few), (WindowSampler(other, (*seed, 1)), few))
        return cls(tuple((sampler, count) for sampler, count in parts if count))

    def batch(self, number: int, member: int = 0) -> Int32[np.ndarray, "size times"]:
        """Batch `number` of a member of a deep ensemble."""
        return np.concatenate([sampler.rows(number * count, count, member) for sampler, count in self.parts])
