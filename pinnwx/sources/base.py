"""The interface of a source of analyses: what it offers, and the fields that are requested of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Shaped

from pinnwx.data.source_field import SourceField
from pinnwx.grid import Grid

TIMEOUT = 30.0  # seconds
START_AGAIN = "what was fetched so far is kept, so start it again later"


@dataclass(frozen=True, eq=False)
class Offer:
    """A field that a source offers: its canonical name, such as `z500`, its times and its grid.

    `times` are sorted; the last is the newest analysis. They are None for a field that does not change in time.
    """

    name: str
    times: Shaped[np.ndarray, " time"] | None
    grid: Grid


@dataclass(frozen=True, eq=False)
class Request:
    """The fields to read, and their times; `times` is None for fields that do not change in time."""

    fields: tuple[str, ...]
    times: Shaped[np.ndarray, " time"] | None = None


class DataSource(ABC):
    """A place that analyses come from: an archive, a service, a folder, a formula.

    `location` is a path or URL, where there is a choice. Nothing is opened before the first call of `offers` or `read`.
    `close` ends the use of a source.

    Args:
        location: the text behind the name, as in `NAME:LOCATION`; if empty, `default_location`.
        timeout: seconds within which a server must send data.
    """

    default_location: ClassVar[str] = ""

    def __init__(self, location: str = "", timeout: float = TIMEOUT) -> None:
        self.location = location or self.default_location
        self.timeout = timeout

    @abstractmethod
    def offers(self) -> Sequence[Offer]:
        """Every field that the source holds. No values are read.

        Raises:
            MissingInputError: there is nothing at the location.
            UnavailableError: a server does not answer.
            UnreadableError: an answer cannot be decoded; `fetch` asks again.
        """

    @abstractmethod
    def read(self, request: Request) -> Sequence[SourceField]:
        """The requested fields, on the grid that is offered.

        They may be lazy, and may hold more times than are requested: the caller reads the requested part of them alone.
        `source_fields_in` makes them from a dataset in any layout that `open_data` reads. A time without values may be
        absent.

        Raises:
            DataError, UnavailableError, UnreadableError: as `offers`.
        """

    def close(self) -> None:  # noqa: B027 - most sources have nothing to close
        """Closes what is open; the source may be used again after it."""
