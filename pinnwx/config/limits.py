"""Limits that several tables share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MOST_MINUTES = 525_600  # a year
MOST_UPDATES = 10**9
MOST_WEIGHTS = 10**9  # trained parameters of a model

# A value of the user's own part, which the class of that part validates.
Option = bool | int | float | str | tuple[bool | int | float | str, ...]

Channels = Annotated[int, Field(ge=1, le=4096)]
Minutes = Annotated[float, Field(gt=0, le=MOST_MINUTES)]
Updates = Annotated[int, Field(ge=1, le=MOST_UPDATES)]
Timescale = Annotated[float, Field(ge=1e-3, le=1e6)]
Substeps = Annotated[int, Field(ge=1, le=1000)]
