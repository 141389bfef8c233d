"""Sampling: the windows of each batch, and their order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32

Windows = Int32[np.ndarray, "_window times"]


@dataclass(frozen=True, eq=False)
class WindowSampler:
    """An endless sequence of windows: shuffled passes, each with every window once.

    Attributes:
        windows: rows of indices into the archive.
        seed: of the orders; the same seed gives the same sequence.
        left_out: the windows that each member of a deep ensemble leaves out; None if all use all.
    """

    windows: Windows
    seed: tuple[int, ...]
    left_out: Bool[np.ndarray, "member window"] | None = None

    def rows(self, first: int, count: int, member: int = 0) -> Int32[np.ndarray, "count times"]:
        """Windows `first` to `first + count - 1` of the sequence of a member of a deep ensemble."""
        windows = self.windows if self.left_out is None else self.windows[~self.left_out[member]]
        positions = np.arange(first, first + count)
        passes, places = np.divmod(positions, len(windows))
        order = {
            number: np.random.default_rng((*self.seed, number, member)).permutation(len(windows))
            for number in set(passes.tolist())
        }
        return windows[[order[number][place] for number, place in zip(passes, places, strict=True)]]


@dataclass(frozen=True, eq=False)
class BatchSampler:
    """Batches with a fixed number of windows of each kind.

    Attributes:
        parts: the sampler of each kind, and its number of windows in a batch.
    """

    parts: tuple[tuple[WindowSampler, int], ...]

    @classmethod
    def of(
        cls,
        main: Windows,
        other: Windows,
        fraction: float,
        size: int,
        seed: tuple[int, ...],
        left_out: Bool[np.ndarray, "member window"] | None = None,
    ) -> BatchSampler:
        """Batches of `size` windows: a `fraction` from `other` if there are any, and at least one from `main`.

        Members leave out windows of `main` only.
        """
        others = min(round(fraction * size), size - 1) if len(other) else 0
        parts = ((WindowSampler(main, seed, left_out), size - others), (WindowSampler(other, (*seed, 1)), others))
        return cls(tuple((sampler, count) for sampler, count in parts if count))

    def batch(self, number: int, member: int = 0) -> Int32[np.ndarray, "size times"]:
        """Batch `number` of a member of a deep ensemble."""
        return np.concatenate([sampler.rows(number * count, count, member) for sampler, count in self.parts])
