"""From the numbers that a file stores to values: packing, missing values, valid ranges, and how precise the values are.

Done here rather than by xarray, which drops a fill value that does not fit the packed type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinnwx.data.units import cut
from pinnwx.errors import DataError

Attributes = Mapping[Any, Any]

_MISSING_VALUES = ("_FillValue", "missing_value")
_UNWRITTEN = {"i2": -32767, "u2": 65535, "i4": -2147483647, "u4": 4294967295}  # what netCDF writes before anyone does
KEPT_DIGITS = "least_significant_digit"  # decimals that are kept
_SINGLE = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Precision:
    """A stored value x stands for what lies within `absolute` + `relative` * |x| of it."""

    absolute: float = 0.0
    relative: float = 0.0

    def of(self, values: np.ndarray) -> np.ndarray:
        """The precision of each value."""
        return self.absolute + self.relative * np.abs(values, dtype=np.float64)


def decode(raw: np.ndarray, attributes: Attributes) -> np.ndarray:
    """Values of a packed array: raw * scale_factor + add_offset, NaN where raw is `_FillValue` or `missing_value`.

    Integers of which the file says nothing, and which were never written, are missing where they fill a whole field.

    Raises:
        DataError: the values are no numbers, an attribute is none, or values lie outside the range that the file
            itself calls valid.
    """
    if raw.dtype.kind not in "fiub":
        raise DataError(f"values of type {raw.dtype} are not numbers")
    raw = _signed_as_said(raw, attributes)
    scale, offset = _number(attributes, "scale_factor", 1.0), _number(attributes, "add_offset", 0.0)
    absent = _absent(raw, attributes)
    values = raw
    if raw.dtype.kind in "iu" or "scale_factor" in attributes or "add_offset" in attributes:
        values = np.asarray(raw * np.float64(scale) + np.float64(offset))
    _check_valid_range(raw, values, absent, attributes)
    return np.where(absent, np.asarray(np.nan, values.dtype), values) if absent.any() else values


def packed_span(dtype: np.dtype, attributes: Attributes) -> float | None:
    """The range of values that the integer type can hold, in the units of the file; None for other types."""
    if dtype.kind not in "iu":
        return None
    return 2.0 ** (8 * dtype.itemsize) * abs(_number(attributes, "scale_factor", 1.0))


def precision_of(dtype: np.dtype, attributes: Attributes, packing_step: float | None = None) -> Precision:
    """How precise stored values are, in the units of the file.

    Packed integers are half a step apart from the truth, and by what their scale and offset are rounded; floating-point
    numbers by their last digit, or by the last that the file says it kept. `packing_step` is that of a format which
    packs by itself. Whatever the type, the writer may have computed in single precision.
    """
    step, relative = packing_step or 0.0, _SINGLE
    if dtype.kind in "iu":
        step = max(step, abs(_number(attributes, "scale_factor", 1.0)))
    elif dtype.kind == "f":
        relative += float(np.finfo(dtype).eps) / 2 if dtype.itemsize < 8 else 0.0
    if KEPT_DIGITS in attributes:
        step = max(step, 10.0 ** -_number(attributes, KEPT_DIGITS, 0.0))
    for key in map(str, attributes):
        if key.startswith("_Quantize"):  # netCDF's own quantisation: decimal digits, or bits
            digits = _number(attributes, key, 0.0)
            relative += 0.5 * (2.0**-digits if "Bits" in key else 10.0 ** (1 - digits))
    rounded = any(np.asarray(attributes.get(key, 0.0)).dtype == np.float32 for key in ("scale_factor", "add_offset"))
    coarse = _SINGLE * abs(_number(attributes, "add_offset", 0.0)) if rounded else 0.0
    return Precision(step / 2 + coarse, relative + (_SINGLE if rounded else 0.0))


def notes_on(dtype: np.dtype, attributes: Attributes) -> list[str]:
    """What is said of the attributes that are passed over."""
    stated = [key for key in ("valid_range", "valid_min", "valid_max") if key in attributes]
    if stated and _valid_range(dtype, attributes) is None:
        return [f"{' and '.join(stated)} not used: no numbers of the kind that the values are"]
    return []


def _signed_as_said(raw: np.ndarray, attributes: Attributes) -> np.ndarray:
    """Integers with the sign that `_Unsigned` says; truth values as 0 and 1. The order of bytes stays."""
    if raw.dtype.kind == "b":
        return raw.astype(np.uint8)
    said = str(attributes.get("_Unsigned", "")).lower()
    if raw.dtype.kind in "iu" and said in ("true", "false"):
        return raw.view(raw.dtype.str.replace(raw.dtype.kind, "u" if said == "true" else "i"))
    return raw


def _number(attributes: Attributes, key: str, default: float) -> float:
    """A finite attribute; a scale is not zero either.

    Raises:
        DataError: it is none.
    """
    if key not in attributes:
        return default
    given = _numbers(attributes, key)
    if given is None or len(given) != 1:
        raise DataError(f'{key} "{cut(str(attributes[key]))}" is not one number; correct this attribute')
    if not np.isfinite(given[0]) or (key == "scale_factor" and given[0] == 0):
        raise DataError(f"{key} is {given[0]:g}; correct this attribute")
    return float(given[0])


def _numbers(attributes: Attributes, key: str) -> list[int | float] | None:
    """The numbers of an attribute, whatever their type: integers exactly, texts as the numbers they spell."""
    given = np.ravel(np.asarray(attributes.get(key, [])))
    if given.dtype.kind in "fiub":
        return given.tolist()
    texts = [each.decode("latin-1") if isinstance(each, bytes) else str(each) for each in given.tolist()]
    try:
        return [float(part.rstrip("fFlLsSbBdD")) for text in texts for part in re.split(r"[,\s]+", text.strip(" \0[]"))]
    except ValueError:
        return None


def _absent(raw: np.ndarray, attributes: Attributes) -> np.ndarray:
    """Where there is no value.

    Raises:
        DataError: `_FillValue` or `missing_value` is no number.
    """
    absent = np.zeros(raw.shape, dtype=bool)
    fills = 0
    for key in _MISSING_VALUES:
        given = _numbers(attributes, key)
        if given is None and str(attributes[key]).strip(" \0"):
            raise DataError(f'{key} "{cut(str(attributes[key]))}" is no number; correct this attribute')
        for fill in given or ():
            if not np.isnan(fill):
                absent |= raw == _as_stored(fill, raw.dtype)
                fills += 1
    unwritten = _UNWRITTEN.get(raw.dtype.str[1:])
    if not fills and unwritten is not None and raw.ndim >= 2:
        absent |= (raw == unwritten).all(axis=(-1, -2), keepdims=True)
    return absent


def _as_stored(value: float, dtype: np.dtype) -> float | np.floating:
    """A fill value or bound in the type of the array: rounded as floats are, with the sign of integers, else exact."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(value)
    if not np.isfinite(value) or value != int(value):
        return value
    exact, size = int(value), 8 * dtype.itemsize
    if dtype.kind == "u" and -(2 ** (size - 1)) <= exact < 0:  # written with the sign that the type lacks
        return exact + 2**size
    return exact - 2**size if dtype.kind == "i" and 2 ** (size - 1) <= exact < 2**size else exact


def _valid_range(dtype: np.dtype, attributes: Attributes) -> tuple[float, float, bool] | None:
    """(lowest, highest, whether they are meant as stored) of the values that the file calls valid, or None.

    Integers bound integers as they are stored; floating-point numbers bound unpacked values. Integer bounds of
    floating-point values are what is left of a packing that was undone, and say nothing.
    """
    pair = _numbers(attributes, "valid_range")
    if not pair:
        lows, highs = _numbers(attributes, "valid_min") or [-np.inf], _numbers(attributes, "valid_max") or [np.inf]
        pair = [lows[0], highs[0]]
    if len(pair) != 2 or not pair[0] <= pair[1] or np.isinf(pair).all():
        return None
    low, high = pair
    whole = all(isinstance(each, int) or np.isinf(each) for each in pair)
    if dtype.kind == "f":
        return None if whole else (low, high, True)
    if not whole and ("scale_factor" in attributes or "add_offset" in attributes):
        return low, high, False
    return float(_as_stored(low, dtype)), float(_as_stored(high, dtype)), True


def _check_valid_range(raw: np.ndarray, values: np.ndarray, absent: np.ndarray, attributes: Attributes) -> None:
    bounds = _valid_range(raw.dtype, attributes)
    if bounds is None:
        return
    low, high, stored = bounds
    compared = raw if stored else values
    outside = ((compared < low) | (compared > high)) & ~absent
    if outside.any():
        raise DataError(
            f"{int(outside.sum())} value(s) outside the valid range {low:g} to {high:g} that the file states, such as "
            f"{compared[outside][0]:g}; mark them as missing, or correct valid_range, valid_min and valid_max"
        )
