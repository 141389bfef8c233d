"""Resolves one time in several files, or twice in one file: which values are used, and whether they agree.

The choice depends on the values, not on the order of files:

1. Final data take precedence over preliminary data, which need not agree with them.
2. The remaining copies must agree within the sum of their precisions, or they are refused.
3. The most precise copy is used; among equally precise copies, the first in the order of their bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32, Int, Shaped

from pinnwx.data.calendar import format_time
from pinnwx.data.packing import Precision
from pinnwx.data.source_field import SourceField
from pinnwx.errors import ConflictError


@dataclass(frozen=True)
class Copy:
    """One field from one place."""

    values: Float32[np.ndarray, "lat lon"]
    precision: Precision
    file: str
    preliminary: bool = False

    @property
    def rank(self) -> tuple[float, bytes]:
        """A sort key; a smaller rank is more precise."""
        return float(np.nanmean(self.precision.of(self.values))), self.values.tobytes()


def settle(copies: Sequence[Copy], when: str, units: str) -> Copy:
    """Selects the copy to use; `when` begins the error message if the copies differ.

    Raises:
        ConflictError: two final copies, or two preliminary copies without a final one, differ by more than their
            precision.
    """
    final = [copy for copy in copies if not copy.preliminary] or list(copies)
    first = final[0]
    if all(np.array_equal(first.values, other.values) for other in final[1:]):
        return min(final, key=lambda copy: float(np.nanmean(copy.precision.of(copy.values))))
    values = np.stack([copy.values for copy in final]).astype(np.float64)
    precision = np.stack([copy.precision.of(copy.values) for copy in final])
    agree = (values - precision).max(axis=0) <= (values + precision).min(axis=0)  # a common true value exists
    if not agree.all():
        difference = float((values.max(axis=0) - values.min(axis=0))[~agree].max())
        files = [copy.file for copy in final]
        among = f" (in {' and '.join(dict.fromkeys(files))})" if len(set(files)) > 1 else ""
        raise ConflictError(
            f"{when}, with values that differ by up to {difference:.3g} {units}{among}; remove one of them"
        )
    return min(final, key=lambda copy: copy.rank)


@dataclass
class Merged:
    """The steps of a field while files are read: `values` at `times`, with marks for filled and preliminary steps.

    `copies` counts the expected copies of each time. A time with several copies waits until all of them are read.
    """

    times: Shaped[np.ndarray, " time"]
    values: Float32[np.ndarray, "time lat lon"]
    copies: Int[np.ndarray, " time"]
    units: str
    filled: Bool[np.ndarray, " time"] = field(init=False)
    preliminary: Bool[np.ndarray, " time"] = field(init=False)
    repeated: int = 0
    replaced: int = 0
    _waiting: dict[int, list[Copy]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.filled, self.preliminary = np.zeros((2, self.times.size), dtype=bool)

    def add(
        self,
        steps: Float32[np.ndarray, "step lat lon"],
        positions: Int[np.ndarray, " step"],
        source: SourceField,
        preliminary: Bool[np.ndarray, " step"],
    ) -> None:
        """Adds steps of one source field at their positions among the times.

        Raises:
            ConflictError: two different values for one time.
        """
        alone = self.copies[positions] == 1
        self.values[positions[alone]] = steps[alone]
        self.filled[positions[alone]] = True
        self.preliminary[positions[alone]] = preliminary[alone]
        for index in np.flatnonzero(~alone):
            position = int(positions[index])
            waiting = self._waiting.setdefault(position, [])
            values = steps[index]
            if not waiting:  # the first copy is stored in place, to save memory
                self.values[position] = values
                values = self.values[position]
            elif len(waiting) + 1 < self.copies[position]:
                values = values.copy()
            self.filled[position] = True
            waiting.append(Copy(values, source.precision, source.file, bool(preliminary[index])))
            self._settle(position)

    def skip(self, positions: Int[np.ndarray, " step"]) -> None:
        """Records steps without values.

        Raises:
            ConflictError: two different values for one time.
        """
        np.subtract.at(self.copies, positions, 1)
        for position in np.unique(positions):
            self._settle(int(position))

    def finish(self) -> None:
        """Settles the times that still wait for a source field that could not be read.

        Raises:
            ConflictError: two different values for one time.
        """
        for position in list(self._waiting):
            self.copies[position] = len(self._waiting[position])
            self._settle(position)

    def _settle(self, position: int) -> None:
        copies = self._waiting.get(position, [])
        if not copies or len(copies) < self.copies[position]:
            return
        del self._waiting[position]
        try:
            selected = settle(copies, f"{format_time(self.times[position])} is stored twice", self.units)
        except ConflictError as error:
            error.time = self.times[position]
            raise
        self.preliminary[position] = selected.preliminary
        self.replaced += 0 if selected.preliminary else sum(copy.preliminary for copy in copies)
        self.repeated += sum(copy.preliminary == selected.preliminary for copy in copies) - 1
        if selected is not copies[0]:
            self.values[position] = selected.values
