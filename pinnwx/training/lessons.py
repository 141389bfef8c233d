"""Which windows of an archive an update learns from, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32


@dataclass(frozen=True, eq=False)
class Lessons:
    """An endless sequence of windows: shuffled passes, each of which has every window once.

    Attributes:
        windows: rows of indices into the archive.
        seed: what the orders depend on; the same seed gives the same sequence.
    """

    windows: Int32[np.ndarray, "window times"]
    seed: tuple[int, ...]

    def rows(self, first: int, count: int, member: int = 0) -> Int32[np.ndarray, "count times"]:
        """Windows number `first` to `first + count - 1` of the sequence; each member of a committee has its own."""
        positions = np.arange(first, first + count)
        passes, places = np.divmod(positions, len(self.windows))
        order = {
            number: np.random.default_rng((*self.seed, number, member)).permutation(len(self.windows))
            for number in set(passes.tolist())
        }
        return self.windows[[order[number][place] for number, place in zip(passes, places, strict=True)]]
