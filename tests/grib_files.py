"""A small writer of GRIB messages, of both editions, whose places are known without any reader.

Fields are given as everywhere in pinnwx: (latitude, longitude), both ascending. The scanning mode decides only in
which order their values stand in the message.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

LATITUDE = np.linspace(40.0, 60.0, 9)
LONGITUDE = np.linspace(0.0, 20.0, 9)


@dataclass(frozen=True)
class ScanningMode:
    """Flag table 3.4 (edition 2) or 8 (edition 1, which has no alternating rows)."""

    i_negative: bool = False
    j_positive: bool = False
    j_consecutive: bool = False
    alternate: bool = False

    @property
    def keys(self) -> dict[str, int]:
        """As ecCodes names them."""
        flags = {
            "iScansNegatively": self.i_negative,
            "jScansPositively": self.j_positive,
            "jPointsAreConsecutive": self.j_consecutive,
        }
        return {key: int(flag) for key, flag in flags.items()} | (
            {"alternativeRowScanning": 1} if self.alternate else {}
        )

    def order(self, field: np.ndarray) -> np.ndarray:
        """The values of an ascending field in the order of the message."""
        turned = field[:: 1 if self.j_positive else -1, :: -1 if self.i_negative else 1]
        lines = (turned.T if self.j_consecutive else turned).copy()
        if self.alternate:
            lines[1::2] = lines[1::2, ::-1]
        return lines.ravel()


SCANNING_MODES = tuple(ScanningMode(*flags) for flags in product((False, True), repeat=3))
ALTERNATING_MODES = tuple(ScanningMode(*flags, alternate=True) for flags in product((False, True), repeat=3))


def example_field(rows: int = LATITUDE.size, columns: int = LONGITUDE.size, seed: int = 0, mean: float = 280.0):
    """Smooth enough for the quality checks, and different at every point."""
    noise = np.random.default_rng(seed).normal(0, 0.3, (rows, columns))
    return mean + np.linspace(0, 4, rows)[:, None] + np.linspace(0, 2, columns) + noise


def message(
    values: np.ndarray | None = None,
    latitude: Sequence[float] | np.ndarray = LATITUDE,
    longitude: Sequence[float] | np.ndarray = LONGITUDE,
    *,
    edition: int = 2,
    short_name: str = "2t",
    level: int | float | None = None,
    level_type: str | None = None,
    date: int = 20200101,
    time: int = 0,
    step: int | str = 0,
    scanning: ScanningMode = ScanningMode(),
    bits: int = 24,
    **keys: object,
) -> bytes:
    """One message on a regular latitude-longitude grid.

    `level` without `level_type` is in hPa. NaN becomes a missing value under a bitmap. `keys` are further ecCodes keys,
    set before the values (`expver="0005"`, `dataType="fc"`, `number=3`).
    """
    import eccodes

    north, east = np.asarray(latitude, float), np.asarray(longitude, float)
    field = example_field(north.size, east.size) if values is None else np.asarray(values, float)
    assert field.shape == (north.size, east.size)
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_{'pl' if level else 'sfc'}_grib{edition}")
    try:
        set_keys(handle, {"centre": "ecmf", **_geometry(north, east, scanning)})
        set_keys(handle, {"dataDate": date, "dataTime": time})
        if level_type or level:
            set_keys(handle, {"typeOfLevel": level_type or "isobaricInhPa", "level": level or 0})
        set_keys(handle, {"shortName": short_name})
        if step:
            set_keys(handle, {"stepRange": step})
        set_keys(handle, {**keys, "bitsPerValue": bits})
        ordered = scanning.order(field)
        if np.isnan(ordered).any():
            set_keys(handle, {"bitmapPresent": 1, "missingValue": 1e30})
            ordered = np.where(np.isnan(ordered), 1e30, ordered)
        eccodes.codes_set_values(handle, ordered)
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def set_keys(handle: int, keys: dict[str, object]) -> None:
    """In this order: later keys may depend on earlier ones."""
    import eccodes

    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)


def _geometry(north: np.ndarray, east: np.ndarray, scanning: ScanningMode) -> dict[str, object]:
    rows = north if scanning.j_positive else north[::-1]
    columns = east[::-1] if scanning.i_negative else east
    return {
        "Ni": east.size,
        "Nj": north.size,
        "latitudeOfFirstGridPointInDegrees": rows[0],
        "latitudeOfLastGridPointInDegrees": rows[-1],
        "longitudeOfFirstGridPointInDegrees": columns[0],
        "longitudeOfLastGridPointInDegrees": columns[-1],
        "iDirectionIncrementInDegrees": (east[-1] - east[0]) / (east.size - 1),
        "jDirectionIncrementInDegrees": (north[-1] - north[0]) / (north.size - 1),
        **scanning.keys,
    }


def changed(original: bytes, **keys: object) -> bytes:
    """The same message with other keys."""
    import eccodes

    handle = eccodes.codes_new_from_message(original)
    try:
        set_keys(handle, keys)
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def from_sample(sample: str, **keys: object) -> bytes:
    """A message of one of ecCodes' own samples, such as `sh_pl_grib1` or `reduced_gg_pl_32_grib2`."""
    import eccodes

    handle = eccodes.codes_grib_new_from_samples(sample)
    try:
        set_keys(handle, keys)
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def joined(*messages: bytes) -> bytes:
    """One message of edition 2 with the fields of several, whose first sections it shares: as NCEP writes winds."""
    body = b""
    for content in messages:
        sections, position = [], 16
        while content[position : position + 4] != b"7777":
            length = int.from_bytes(content[position : position + 4], "big")
            sections.append(content[position : position + length])
            position += length
        body += b"".join(section for section in sections if section[4] not in ((1, 3) if body else ()))
    body += b"7777"
    return messages[0][:8] + (16 + len(body)).to_bytes(8, "big") + body


def padded(content: bytes, multiple: int = 120) -> bytes:
    """Followed by zeros, up to a multiple of so many bytes, as MARS writes edition 1."""
    return content + b"\0" * (-len(content) % multiple)


def write_grib(path: Path, *messages: bytes) -> Path:
    """A file of these messages, or of anything else between them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(messages))
    return path


def iterated(content: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(latitude, longitude in [0, 360), value) of every point of one message, as ecCodes' iterator has them."""
    import eccodes

    handle = eccodes.codes_new_from_message(content)
    try:
        points = eccodes.codes_get_array(handle, "latLonValues").reshape(-1, 3)
    finally:
        eccodes.codes_release(handle)
    return points[:, 0], points[:, 1] % 360, points[:, 2]
