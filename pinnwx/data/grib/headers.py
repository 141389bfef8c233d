"""Reads the header of a message: parameter, level, grid, time, and whether it is an analysis.

ecCodes reads the header from a copy of the message in which a constant field replaces the data. Messages that differ
only in their date share one header.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

import numpy as np

from pinnwx.data.grib.eccodes import Handle, library, opened
from pinnwx.data.grib.geometry import LatLonLayout, layout_of
from pinnwx.data.grib.messages import RawField
from pinnwx.errors import UnreadableError

_ANALYSES = ("an", "ia", "oi", "3v", "4v", "fc", "cf", "af", "cp", "unknown", "missing", None)
_TYPES = {
    "pf": "a perturbed member of an ensemble", "em": "a mean of an ensemble", "es": "a spread of an ensemble",
    "fg": "a first guess", "4i": "an analysis increment", "cl": "a climatology", "ep": "a probability",
    "me": "a model error",
}  # fmt: skip
_STATISTICS = "statistics of an ensemble"
_TEMPLATES = {
    **dict.fromkeys((0, 1, 8, 11, 60, 61), ""), **dict.fromkeys((2, 3, 4, 12, 13, 14), _STATISTICS),
    **dict.fromkeys((5, 9), "a probability"), **dict.fromkeys((6, 10), "a percentile"),
    7: "an error estimate", 15: "a statistic over an area",
}  # fmt: skip
_END_OF_INTERVAL = {8: 34, 11: 37}  # product definition template -> octet of the date at the end of the interval
_YEARS = (1678, 2261)  # the range of datetime64[ns]


@dataclass(frozen=True)
class Header:
    """The common content of messages that differ only in their date.

    `not_analysis` says why they are not analyses, or is empty. `step` is the range of lead times in the notation of
    ecCodes [hours, or with its unit]. `layout` is the grid, or the reason why it is not supported. `level` is the first
    level, in the units of `level_type`.
    """

    short_name: str
    names: tuple[str, ...]  # other names: CF names, the long name
    units: str
    level_type: str
    level: float | None
    version: str
    statistic: str
    step: str
    not_analysis: str
    layout: LatLonLayout | str

    @property
    def is_forecast(self) -> bool:
        return any(float(number) != 0 for number in re.findall(r"\d+", self.step)) or not self.step

    @property
    def lead(self) -> np.timedelta64 | None:
        """The lead time of an instant, if it is in hours; None for a statistic over an interval."""
        return np.timedelta64(int(self.step), "h") if self.step.isdigit() and not self.statistic else None

    @property
    def description(self) -> str:
        """A short description, such as `t at 500 hPa` or `2t at heightAboveGround 2`."""
        factor = {"isobaricInhPa": 1.0, "isobaricInPa": 0.01}.get(self.level_type)
        if factor is not None and self.level is not None:
            return f"{self.short_name} at {self.level * factor:g} hPa"
        level = f" {self.level:g}" if self.level else ""
        return f"{self.short_name} at {self.level_type}{level}"


class Headers:
    """Headers of fields; each kind of header is read once."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, ...], Header] = {}

    def of(self, field: RawField) -> Header:
        """The header of a field.

        Raises:
            UnreadableError: ecCodes cannot read the header.
            DataError: ecCodes is not installed.
        """
        key = (bytes([field.edition]), *_without_date(field))
        if key not in self._known:
            try:
                with opened(_message_without_data(field)) as message:
                    self._known[key] = _header(message, field)
            except library().CodesInternalError as error:
                raise UnreadableError(
                    f"{field.place} has a header that ecCodes cannot read ({error}); the file is damaged"
                ) from error
        return self._known[key]


def reference_time(field: RawField) -> np.datetime64 | None:
    """The date and time in the header, UTC; None if it is invalid or outside the years 1678 to 2261."""
    section = field.head[1]
    if field.edition == 1:
        year = (section[24] - 1) * 100 + section[12]
        month, day, hour, minute, second = *section[13:17], 0
    else:
        year = int.from_bytes(section[12:14], "big")
        month, day, hour, minute, second = section[14:19]
    try:
        moment = datetime.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    return np.datetime64(moment, "ns") if _YEARS[0] <= moment.year <= _YEARS[1] else None


def _without_date(field: RawField) -> tuple[bytes, ...]:
    """The sections before the data representation, with zeros in place of the date."""
    section = field.head[1]
    if field.edition == 1:
        blank = section[:12] + bytes(5) + section[17:24] + b"\0" + section[25:]
        return (blank, field.head.get(2, b""))
    product = field.head[4]
    end = _END_OF_INTERVAL.get(int.from_bytes(product[7:9], "big"))
    if end is not None:
        product = product[:end] + bytes(7) + product[end + 7 :]
    blank = section[:12] + bytes(7) + section[19:]
    return (field.head[0][6:7], blank, field.head.get(2, b""), field.head[3], product)


def _message_without_data(field: RawField) -> bytes:
    """A message of a few hundred bytes with the same header and a constant field."""
    head = field.head
    if field.edition == 1:
        product = head[1][:7] + bytes([head[1][7] & ~64]) + head[1][8:]  # no bitmap
        length, flags = (32, 0xC8) if head[4][3] & 128 else (12, 0x08)  # spherical harmonics, or a grid
        constant = length.to_bytes(3, "big") + bytes([flags]) + bytes(length - 4)
        body = product + head.get(2, b"") + constant + b"7777"
        return b"GRIB" + (8 + len(body)).to_bytes(3, "big") + b"\x01" + body
    simple_packing = (21).to_bytes(4, "big") + b"\x05" + head[3][6:10] + bytes(12)
    no_bitmap, no_data = (6).to_bytes(4, "big") + b"\x06\xff", (5).to_bytes(4, "big") + b"\x07"
    body = head[1] + head.get(2, b"") + head[3] + head[4] + simple_packing + no_bitmap + no_data + b"7777"
    return head[0][:8] + (16 + len(body)).to_bytes(8, "big") + body


def _header(message: Handle, field: RawField) -> Header:
    points = int.from_bytes(field.head[3][6:10], "big") if field.edition == 2 else None
    level_type = str(message["typeOfLevel"])
    statistic = str(message["stepType"] or "unknown")
    return Header(
        short_name=str(message["shortName"]),
        names=tuple(str(name) for key in ("cfVarName", "name", "cfName") if (name := message[key]) is not None),
        units=str(message["units"] or ""),
        level_type=level_type,
        level=_level(message, level_type),
        version=str(message["expver"] or ""),
        statistic="" if statistic == "instant" else statistic,
        step=str(message["stepRange"] if message["stepRange"] is not None else ""),
        not_analysis=_why_no_analysis(message, field),
        layout=layout_of(message, points),
    )


def _level(message: Handle, level_type: str) -> float | None:
    """The exact level from the coded numbers; the key `level` of ecCodes is rounded."""
    if message["edition"] == 2:
        factor, value = message["scaleFactorOfFirstFixedSurface"], message["scaledValueOfFirstFixedSurface"]
        if factor is not None and value is not None and abs(factor) < 20:
            return value / 10.0**factor * (0.01 if level_type == "isobaricInhPa" else 1.0)
    return message.number("level")


def _why_no_analysis(message: Handle, field: RawField) -> str:
    """The kind of a field that is not an analysis, or empty; the step distinguishes forecasts."""
    if field.edition == 2:
        template = int.from_bytes(field.head[4][7:9], "big")
        if product := _TEMPLATES.get(template, f"a product of template 4.{template}"):
            return product
    elif message["centre"] == "kwbc" and _is_ensemble_of_ncep(field.head[1]):
        return "an ensemble product"
    kind = message["dataType"]
    if kind not in _ANALYSES:
        return _TYPES.get(kind, f'of the type "{kind}"')
    member = message["number"] or message["perturbationNumber"]
    return f"member {member} of an ensemble" if member else ""


def _is_ensemble_of_ncep(section: bytes) -> bool:
    """Whether the NCEP extension of edition 1 (octets 41 to 45) marks anything but the full field of a control run."""
    return len(section) > 44 and section[40] == 1 and (section[41] != 1 or section[43] != 1)
