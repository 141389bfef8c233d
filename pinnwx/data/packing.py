"""Decodes stored numbers: packing, missing values, valid ranges and precision.

xarray does not decode them, because it drops a fill value that does not fit the packed type.
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
# Default fill values of netCDF, for data that were never written.
_UNWRITTEN = {"i2": -32767, "u2": 65535, "i4": -2147483647, "u4": 4294967295}
DECIMALS = "least_significant_digit"  # attribute: decimals that the writer preserved
_SINGLE = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Precision:
    """The true value lies within `absolute` + `relative` * |x| of a stored value x."""

    absolute: float = 0.0
    relative: float = 0.0

    def of(self, values: np.ndarray) -> np.ndarray:
        """The precision of each value."""
        return self.absolute + self.relative * np.abs(values, dtype=np.float64)


def decode(raw: np.ndarray, attributes: Attributes) -> np.ndarray:
    """Values of a packed array: raw * scale_factor + add_offset; NaN where raw is `_FillValue` or `missing_value`.

    If the file declares no fill value, a whole field of the default fill integer of netCDF is missing.

    Raises:
        DataError: the values or an attribute are not numbers, or values lie outside the valid range that the file
            states.
    """
    if raw.dtype.kind not in "fiub":
        raise DataError(f"values of type {raw.dtype} are not numbers")
    raw = _with_stated_sign(raw, attributes)
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
    """The precision of stored values, in the units of the file.

    Packed integers have an error of half a step, and a rounding error of scale and offset. Floating-point numbers have
    an error in their last digit, or in the last digit that the file declares significant. `packing_step` is the step of
    a format with its own packing. For every type, the writer may have computed in single precision.
    """
    step, relative = packing_step or 0.0, _SINGLE
    if dtype.kind in "iu":
        step = max(step, abs(_number(attributes, "scale_factor", 1.0)))
    elif dtype.kind == "f":
        relative += float(np.finfo(dtype).eps) / 2 if dtype.itemsize < 8 else 0.0
    if DECIMALS in attributes:
        step = max(step, 10.0 ** -_number(attributes, DECIMALS, 0.0))
    for key in map(str, attributes):
        if key.startswith("_Quantize"):  # netCDF's own quantisation: decimal digits, or bits
            digits = _number(attributes, key, 0.0)
            relative += 0.5 * (2.0**-digits if "Bits" in key else 10.0 ** (1 - digits))
    rounded = any(np.asarray(attributes.get(key, 0.0)).dtype == np.float32 for key in ("scale_factor", "add_offset"))
    coarse = _SINGLE * abs(_number(attributes, "add_offset", 0.0)) if rounded else 0.0
    return Precision(step / 2 + coarse, relative + (_SINGLE if rounded else 0.0))


def notes_on(dtype: np.dtype, attributes: Attributes) -> list[str]:
    """Notes on attributes that are ignored."""
    stated = [key for key in ("valid_range", "valid_min", "valid_max") if key in attributes]
    if stated and _valid_range(dtype, attributes) is None:
        return [f"{' and '.join(stated)} not used: not numbers of the type of the values"]
    return []


def _with_stated_sign(raw: np.ndarray, attributes: Attributes) -> np.ndarray:
    """Integers as signed or unsigned according to `_Unsigned`; booleans as 0 and 1. The byte order is unchanged."""
    if raw.dtype.kind == "b":
        return raw.astype(np.uint8)
    unsigned = str(attributes.get("_Unsigned", "")).lower()
    if raw.dtype.kind in "iu" and unsigned in ("true", "false"):
        return raw.view(raw.dtype.str.replace(raw.dtype.kind, "u" if unsigned == "true" else "i"))
    return raw


def _number(attributes: Attributes, key: str, default: float) -> float:
    """The value of an attribute, which must be one finite number; a scale factor must not be zero.

    Raises:
        DataError: it is not such a number.
    """
    if key not in attributes:
        return default
    numbers = _numbers(attributes, key)
    if numbers is None or len(numbers) != 1:
        raise DataError(f'{key} "{cut(str(attributes[key]))}" is not one number; correct this attribute')
    if not np.isfinite(numbers[0]) or (key == "scale_factor" and numbers[0] == 0):
        raise DataError(f"{key} is {numbers[0]:g}; correct this attribute")
    return float(numbers[0])


def _numbers(attributes: Attributes, key: str) -> list[int | float] | None:
    """The numbers of an attribute of any type; integers stay exact, and texts are parsed."""
    numbers = np.ravel(np.asarray(attributes.get(key, [])))
    if numbers.dtype.kind in "fiub":
        return numbers.tolist()
    texts = [each.decode("latin-1") if isinstance(each, bytes) else str(each) for each in numbers.tolist()]
    try:
        return [float(part.rstrip("fFlLsSbBdD")) for text in texts for part in re.split(r"[,\s]+", text.strip(" \0[]"))]
    except ValueError:
        return None


def _absent(raw: np.ndarray, attributes: Attributes) -> np.ndarray:
    """True where there is no value.

    Raises:
        DataError: `_FillValue` or `missing_value` is not a number.
    """
    absent = np.zeros(raw.shape, dtype=bool)
    fills = 0
    for key in _MISSING_VALUES:
        numbers = _numbers(attributes, key)
        if numbers is None and str(attributes[key]).strip(" \0"):
            raise DataError(f'{key} "{cut(str(attributes[key]))}" is not a number; correct this attribute')
        for fill in numbers or ():
            if not np.isnan(fill):
                absent |= raw == _as_stored(fill, raw.dtype)
                fills += 1
    unwritten = _UNWRITTEN.get(raw.dtype.str[1:])
    if not fills and unwritten is not None and raw.ndim >= 2:
        absent |= (raw == unwritten).all(axis=(-1, -2), keepdims=True)
    return absent


def _as_stored(value: float, dtype: np.dtype) -> float | np.floating:
    """A fill value or bound in the type of the array: floats are rounded, integers get the sign of the type."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(value)
    if not np.isfinite(value) or value != int(value):
        return value
    exact, size = int(value), 8 * dtype.itemsize
    if dtype.kind == "u" and -(2 ** (size - 1)) <= exact < 0:  # written as a signed number
        return exact + 2**size
    return exact - 2**size if dtype.kind == "i" and 2 ** (size - 1) <= exact < 2**size else exact


def _valid_range(dtype: np.dtype, attributes: Attributes) -> tuple[float, float, bool] | None:
    """(minimum, maximum, whether they bound stored values) of the valid range that the file states, or None.

    Integer bounds apply to stored integers; floating-point bounds apply to unpacked values. Integer bounds of
    floating-point values remain from an earlier packing and are ignored.
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
