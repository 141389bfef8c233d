"""Scores implausible shapes within one analysis, relative to grid, time step and variable.

- a `spike`: one cell beyond all its eight neighbours;
- a `stripe`: four cells of a row (or column) beyond both neighbouring rows (columns);
- a `seam`: a straight edge of four cells where the field changes more than it does beside the edge.

The score of a stripe or seam uses the three of the four cells that stand out least. Each shape has an excess e over the
nearest cells, and its score is

    e / (s + G / 2 + M),

where s is the mean difference among the surrounding cells, without the suspected ones; G is the mean difference of
neighbours; and M is the median over the steps of the largest excess of a step. Around a cyclone or a front, s is as
large as e, and M includes the effects of point sampling, terrain and aliasing. Around a damaged cell, s is small.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from pinnwx.grid import Grid

Fields = Float32[np.ndarray, "time lat lon"]

RUN = 4  # cells of a stripe or a seam
_FEW = 4  # the minimum number of steps for the median M
_TAIL = 6.0  # with fewer steps, M is this multiple of the 99th percentile of the excesses; calibrated on vorticity
_SKEW = 0.05  # a field is skewed, as rain is, if its median exceeds its minimum by less than this fraction of its range


@dataclass(frozen=True, eq=False)
class Scores:
    """The signed `excess` of each place and its `usual` size.

    The place of a spike is its cell. The place of a stripe or a seam is its first cell. Its cells lie along a row
    (`axis` 1, the axis that the shape crosses) or along a column (`axis` 2). The arrays are shorter by `RUN` - 1 along
    the shape.
    """

    shape: str
    axis: int
    excess: Float32[np.ndarray, "time a b"]
    usual: Float32[np.ndarray, "time a b"]

    @property
    def score(self) -> Float32[np.ndarray, "time a b"]:
        return self.excess / self.usual


def less_skewed(values: Fields) -> Fields:
    """The field to score: its cube root if it is skewed like rain, because the cube root is less skewed."""
    sample = values.ravel()[:: max(values.size // 20_000, 1)]
    least, middle, most = np.quantile(sample, (0.0, 0.5, 0.99))
    if middle - least > _SKEW * (most - least):
        return values
    return np.cbrt(values - np.float32(least))


def scores(values: Fields, grid: Grid) -> Iterator[Scores]:
    """Yields the scores of each shape."""
    neighbours = float(np.abs(np.diff(values, axis=1)).mean())
    for shape, axis, excess, around in _excesses(values, grid):
        size = np.abs(excess).reshape(len(excess), -1)
        largest = _TAIL * np.quantile(size, 0.99) if len(values) < _FEW else np.median(size.max(axis=1))
        around += np.float32(max(0.5 * neighbours + float(largest), float(np.finfo(np.float32).tiny)))
        yield Scores(shape, axis, excess, around)


def _excesses(values: Fields, grid: Grid) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
    """(shape, axis, excess, differences around)."""
    padded = np.pad(values, ((0, 0), (2, 2), (0, 0)), mode="reflect")
    padded = np.pad(padded, ((0, 0), (0, 0), (2, 2)), mode="wrap" if grid.is_periodic else "reflect")
    excess, around = _spike(padded, grid.is_periodic)
    yield "spike", 1, excess, around
    for axis, lines in ((1, padded[..., 2:-2].swapaxes(1, 2)), (2, padded[:, 2:-2])):
        # the last axis of `lines` crosses the shapes; the cells of a shape lie along the second axis
        count = lines.shape[2] - 4
        before, here, after = (lines[..., shift : shift + count] for shift in (1, 2, 3))
        steps = np.abs(np.diff(lines, axis=2))
        if axis == 1 or not grid.is_periodic:  # there are no cells beyond the edge
            steps[..., :2] = steps[..., count + 1 :] = 0
        outer_before, inner, outer_after = steps[..., :count], steps[..., 2 : 2 + count], steps[..., 3 : 3 + count]
        stripe = _beyond(here, np.maximum(before, after), np.minimum(before, after))
        beside = 0.5 * (steps[..., 1 : 1 + count] + outer_after)
        for shape, excess, around in (
            ("stripe", stripe, 0.5 * (outer_before + outer_after)), ("seam", inner - beside, beside)
        ):  # fmt: skip
            excess, around = _means(excess, trimmed=True), _means(around)
            if axis == 1:
                excess, around = excess.swapaxes(1, 2), around.swapaxes(1, 2)
            yield shape, axis, excess, around


def _spike(padded: np.ndarray, is_periodic: bool) -> tuple[np.ndarray, np.ndarray]:
    """(excess of a cell over its eight neighbours, mean difference between these and the next cells outside)."""
    rows, columns = padded.shape[1] - 4, padded.shape[2] - 4

    def at(down: int, right: int, of: np.ndarray = padded) -> np.ndarray:
        return of[:, 2 + down : 2 + down + rows, 2 + right : 2 + right + columns]

    highest = np.maximum(at(0, -1), at(0, 1))
    lowest = np.minimum(at(0, -1), at(0, 1))
    around = np.zeros_like(highest)
    for right in (-1, 0, 1):
        for down in (-1, 1):
            np.maximum(highest, at(down, right), out=highest)
            np.minimum(lowest, at(down, right), out=lowest)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        step = np.abs(padded - np.roll(padded, (-down, -right), axis=(1, 2)))
        step[:, :2] = step[:, 2 + rows - down :] = 0  # there are no cells beyond the edge
        if not is_periodic:
            step[..., : 2 + (right < 0)] = step[..., 2 + columns - (right > 0) :] = 0
        around += at(down, right, step)
        around += at(-2 * down, -2 * right, step)
    return _beyond(at(0, 0), highest, lowest), around / 8


def _beyond(here: np.ndarray, highest: np.ndarray, lowest: np.ndarray) -> np.ndarray:
    """The excess of a value above the highest or (negative) below the lowest neighbour."""
    return np.maximum(here - highest, 0) - np.maximum(lowest - here, 0)


def _means(values: np.ndarray, *, trimmed: bool = False) -> np.ndarray:
    """Means over `RUN` neighbours along the second axis, or over all if there are fewer.

    `trimmed` leaves out the value farthest from zero, so that a single cell is not a stripe.
    """
    run = min(RUN, values.shape[1])
    count = values.shape[1] - run + 1
    total, high, low = (values[:, :count].copy() for _ in range(3))
    for shift in range(1, run):
        more = values[:, shift : shift + count]
        total += more
        if trimmed:
            np.maximum(high, more, out=high)
            np.minimum(low, more, out=low)
    if trimmed:
        return (total - np.where(high > -low, high, low)) / np.float32(run - 1)
    return total / np.float32(run)
