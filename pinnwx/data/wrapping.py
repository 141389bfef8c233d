"""Detects integer overflow in packed fields: a value beyond the largest integer wraps to one of the smallest.

After an overflow, neighbouring values lie at opposite ends of the integer range (a jump of nearly the whole range), and
jumps of half the range are rare. A correct field with sharp contrasts, such as rain or a coast, has more jumps of half
the range than of the whole range. A mask has jumps of the whole range, but all of them are equal.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Shaped

from pinnwx.data.calendar import format_time
from pinnwx.data.check_report import Severity
from pinnwx.grid import Grid

_FAR, _MIDDLING = 0.625, 0.375  # minimum jumps, as fractions of the range
# An overflow is certain if all three hold:
_FEWEST = 8  # at least so many pairs of neighbours are far apart,
_VARIED = 3  # each end has at least so many different values,
_RARE = 0.1  # and the ratio of middling jumps to far jumps is at most this


class WrapDetector:
    """Counts the jumps of a packed field while it is read; `span` is the integer range in the units of the field."""

    def __init__(self, span: float, grid: Grid) -> None:
        self.span, self.grid = span, grid
        self._space, self._time = _Jumps(), _Jumps()
        self._first = ""

    def add(
        self, values: Float32[np.ndarray, "step lat lon"], instants: Shaped[np.ndarray, " step"] | None = None
    ) -> None:
        """Counts the jumps between neighbours in space, and between successive steps."""
        reach = np.fmax.reduce(values, axis=(1, 2)) - np.fmin.reduce(values, axis=(1, 2))
        for step in np.flatnonzero(reach > _FAR * self.span):
            field = values[step]
            before = self._space.far
            for one, other in ((field[:, 1:], field[:, :-1]), (field[1:], field[:-1])):
                self._space.count(one, other, self.span)
            if self._space.far > before and not self._first:
                self._first = (
                    f"{self._place(field)}{f' at {format_time(instants[step])}' if instants is not None else ''}"
                )
        if len(values) > 1 and np.fmax.reduce(values, axis=None) - np.fmin.reduce(values, axis=None) > _FAR * self.span:
            self._time.count(values[1:], values[:-1], self.span)

    def findings(self) -> Iterator[tuple[Severity, str]]:
        """Yields at most one pair (severity, message)."""
        what = "neighbouring values lie at opposite ends of the integer range"
        remedy = "write the file again with a larger scale_factor, or fetch it again"
        near = f"the first near {self._first}"
        if self._space.certain:
            yield "error", f"{what} ({self._space.far} times, {near}): an integer overflow; {remedy}"
        elif self._space.suspicious:
            yield "warning", f"{what} ({self._space.far} times, {near}): an integer overflow? {remedy}"
        elif self._time.certain:
            yield "warning", f"{what} in time ({self._time.far} times): an integer overflow? {remedy}"

    def _place(self, field: Float32[np.ndarray, "lat lon"]) -> str:
        east = np.abs(np.diff(field, axis=1, append=field[:, -1:])) > _FAR * self.span
        north = np.abs(np.diff(field, axis=0, append=field[-1:])) > _FAR * self.span
        row, column = np.unravel_index(int((east | north).argmax()), field.shape)
        return f"{self.grid.latitude[row]:g} N {self.grid.longitude[column]:g} E"


class _Jumps:
    """Counts pairs of neighbours that are far apart or middling, and collects different values at each end."""

    def __init__(self) -> None:
        self.far = self.middling = 0
        self.low: set[float] = set()
        self.high: set[float] = set()

    def count(self, one: np.ndarray, other: np.ndarray, span: float) -> None:
        apart = np.abs(one - other)
        far = apart > _FAR * span
        if not far.any():
            self.middling += int((apart > _MIDDLING * span).sum())
            return
        low, high = np.minimum(one[far], other[far]), np.maximum(one[far], other[far])
        alike = (low == low.min()) & (high == high.max())  # as between the two values of a mask
        self.far += int((~alike).sum())
        self.middling += int((apart > _MIDDLING * span).sum() - far.sum())
        self.low |= set(np.unique(low)[:_VARIED].tolist()) if len(self.low) < _VARIED else set()
        self.high |= set(np.unique(high)[:_VARIED].tolist()) if len(self.high) < _VARIED else set()

    @property
    def certain(self) -> bool:
        varied = min(len(self.low), len(self.high)) >= _VARIED
        return self.far >= _FEWEST and varied and self.middling <= _RARE * self.far

    @property
    def suspicious(self) -> bool:
        return self.far > 0 and 4 * self.middling <= self.far
