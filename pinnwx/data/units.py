"""Parses the units in a file and converts values to the units of a variable.

A table holds the common units, so their conversion is exact. UDUNITS, the library of the CF conventions, parses every
other text, after spellings of archives that it refuses or misreads are corrected. In these cases the meaning in weather
archives differs from UDUNITS:

- `C` is degrees Celsius and `F` degrees Fahrenheit (UDUNITS: coulomb and farad); `mb` is a millibar (UDUNITS:
  millibarn); `degrees C` and `deg K` are temperatures (UDUNITS: an angle times a charge or a temperature).
- `m` is a length, except for geopotential, where it is geopotential height. `gpm` and `gpdm` are geopotential metres
  and decametres. `kg m-2` is not converted to millimetres of water.
- Fractions by mass, by volume and by amount of substance differ: `mol mol-1` does not convert to `kg kg-1`.
- `10e-5` is refused: it may mean 1e-4, or 1e-5.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np

from pinnwx.constants import STANDARD_GRAVITY
from pinnwx.errors import DataError
from pinnwx.variables import Variable

Conversion = tuple[float, float]  # (factor, offset): target = source * factor + offset

_LONGEST = 100  # characters; no unit is longer
_SHOWN = 40

# Spellings that UDUNITS does not know or misreads, in lower case without the signs of powers.
_SPELLINGS = {
    "kelvin": "K", "k": "K", "celsius": "degC", "celcius": "degC", "centigrade": "degC", "c": "degC",
    "fahrenheit": "degF", "f": "degF", "pascal": "Pa", "pascals": "Pa", "pa": "Pa", "kpa": "kPa", "j kg-1": "m2 s-2",
    "metre": "m", "metres": "m", "meter": "m", "meters": "m", "mph": "mile hour-1", "kph": "km h-1", "kmph": "km h-1",
    "percent": "%", "per cent": "%", "percentage": "%", "pct": "%",
    **dict.fromkeys(("hpa", "mb", "mbs", "mbar", "mbars", "millibar", "millibars"), "hPa"),
    **dict.fromkeys(("knot", "knots", "kts", "kt"), "kt"),
    **dict.fromkeys(
        ("gpm", "gp m", "geopotential metre", "geopotential metres", "geopotential meter", "geopotential meters"), "gpm"
    ),
    **dict.fromkeys(("gpdam", "gpdm", "gp dam", "geopotential decametres", "geopotential decameters"), "gpdam"),
    **dict.fromkeys(
        ("fraction", "fractional", "dimensionless", "non-dimensional", "nondimensional", "nondim", "unitless", "none",
         "no unit", "no units", "no_unit", "no_units", "proportion", "ratio", "-", "--", "~"), "1"
    ),
}  # fmt: skip
_ZERO_TO_ONE = re.compile(r"[\[(]? ?0(?:\.0?)? ?(?:-|to|\.\.|/|,|or) ?1(?:\.0?)? ?[\])]?")

# (from, to): value_to = value_from * factor + offset
_CONVERSIONS: dict[tuple[str, str], Conversion] = {
    ("degC", "K"): (1.0, 273.15),
    ("hPa", "Pa"): (100.0, 0.0),
    ("kPa", "Pa"): (1000.0, 0.0),
    ("km", "m"): (1000.0, 0.0),
    ("cm", "m"): (0.01, 0.0),
    ("mm", "m"): (0.001, 0.0),
    ("gpm", "m"): (1.0, 0.0),
    ("gpdam", "m"): (10.0, 0.0),
    ("m", "mm"): (1000.0, 0.0),
    ("g kg-1", "kg kg-1"): (0.001, 0.0),
    ("1", "kg kg-1"): (1.0, 0.0),
    ("kt", "m s-1"): (1852 / 3600, 0.0),
    ("km h-1", "m s-1"): (1 / 3.6, 0.0),
    ("%", "1"): (0.01, 0.0),
    ("gpm", "m2 s-2"): (STANDARD_GRAVITY, 0.0),
    ("gpdam", "m2 s-2"): (10 * STANDARD_GRAVITY, 0.0),
}
# Height and geopotential are equivalent, but only for fields of height or geopotential.
_OF_GEOPOTENTIAL: dict[tuple[str, str], Conversion] = {
    ("m", "m2 s-2"): (STANDARD_GRAVITY, 0.0),
    ("dam", "m2 s-2"): (10 * STANDARD_GRAVITY, 0.0),
    ("m2 s-2", "m"): (1 / STANDARD_GRAVITY, 0.0),
}
_GEOPOTENTIAL = re.compile(r"geopotential(_height)?|surface_geopotential|surface_altitude|altitude")

_SIGNS = str.maketrans(
    # ordinal indicator and ring above; hyphen, dash and minus; dots between factors; multiplication sign
    dict.fromkeys("\u00ba\u02da", "\u00b0")
    | dict.fromkeys("\u2010\u2013\u2212", "-")
    | dict.fromkeys("\u00b7\u2219\u22c5", ".")
    | {"\u00d7": "*"}
)
_TEMPERATURE = re.compile(r"(?:°|\bdeg(?:ree)?s?)[ _.]*(celsius|celcius|centigrade|c|fahrenheit|f|kelvins?|k)\b", re.I)
_MASS = re.compile(r"(?<![a-z])[kmuµn]?g(?![a-z])|gram", re.I)
_AMOUNT = re.compile(r"mol", re.I)
_VOLUME = re.compile(r"m3|l(?![a-z])|pp[mbt]v|v/v", re.I)


def conversion(units: str, variable: Variable) -> Conversion:
    """(factor, offset) with canonical = raw * factor + offset.

    Raises:
        DataError: the units cannot be converted to the units of the variable.
    """
    own, target_units = normalise_units(units), normalise_units(variable.units)
    if own == target_units:
        return 1.0, 0.0
    alike = _OF_GEOPOTENTIAL if _GEOPOTENTIAL.fullmatch(variable.standard_name) else {}
    known = {source: factors for (source, target), factors in (_CONVERSIONS | alike).items() if target == target_units}
    factors = known.get(own) or _parse_by_udunits(own, target_units)
    for (source, target), (factor, offset) in alike.items():
        if factors is None and target == target_units and (first := _parse_by_udunits(own, source)):
            factors = first[0] * factor, first[1] * factor + offset
    if factors is None:
        listed = ", ".join([variable.units, *known])
        raise DataError(f'units "{cut(units)}" do not convert to {variable.units}; known are {listed}')
    return factors


def cut(text: str, most: int = _SHOWN) -> str:
    """The beginning of a text, in one line, for a message."""
    text = " ".join(str(text).split())
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def normalise_units(text: str) -> str:
    """Normalises the spelling: `m**2 s**-2`, `m^2/s^2` and `m2 s-2` become `m2 s-2`; `degrees C` becomes `degC`.

    A text that is not a unit of the table is returned with only its signs and spaces changed.

    Raises:
        DataError: the text is too long for a unit, or contains control characters.
    """
    plain = _plain(text)
    text = " ".join(plain.replace("**", "").replace("^", "").split())
    if text.lower() in _SPELLINGS:
        return _SPELLINGS[text.lower()]
    if _ZERO_TO_ONE.fullmatch(text):
        return "1"
    above, *below = (part.strip() for part in text.split("/"))
    factors = above.split() if above != "1" or not below else []
    for part in below:
        for factor in part.split():
            symbol, power = re.fullmatch(r"(.*?)(-?\d*)", factor).groups()  # type: ignore[union-attr]
            factors.append(f"{symbol}{-int(power or 1)}")
    joined = " ".join(factors)
    if joined.lower() in _SPELLINGS:
        return _SPELLINGS[joined.lower()]
    return joined if re.fullmatch(r"[A-Za-z%]+(-?\d+)?( [A-Za-z]+(-?\d+)?)*", joined) else plain


def _plain(text: str) -> str:
    """The text without padding, brackets and TeX, in ASCII signs, with temperatures in the spelling of UDUNITS."""
    text = str(text).strip().strip("\0").strip()
    if len(text) > _LONGEST:
        raise DataError(f'units "{cut(text)}" are too long to be units; correct the units attribute')
    if not text.isprintable() and any(unicodedata.category(each) == "Cc" and each not in "\t\n\r" for each in text):
        raise DataError(f"units {text!r} contain control characters; correct the units attribute")
    text = unicodedata.normalize("NFKC", text.replace("Â°", "°").translate(_SIGNS)).translate(_SIGNS)
    text = re.sub(r"\\[,;: ]", " ", re.sub(r"[${}]", "", text))
    text = " ".join(text.split())
    if re.fullmatch(r"\[[^\[\]]*\]|\([^()]*\)", text):
        text = text[1:-1].strip()
    text = _TEMPERATURE.sub(lambda match: {"c": "degC", "f": "degF", "k": "K"}[match[1][0].lower()], text)
    text = re.sub(r"( of)?( liquid)? water( equivalent)?$| w\.? ?e\.?$", "", text, flags=re.I)  # a depth of water
    text = re.sub(r"(?<=[A-Za-z]) (\^ ?|\*\* ?)?(-\d)", r"\2", text)  # "m s -1", "m s ^-1"
    text = re.sub(r"^(per |/ ?)", "1/", re.sub(r"^[x*] ?(?=\d)", "", text), flags=re.I)
    text = re.sub(r"\bmbs?\b", "hPa", text)
    return text.rstrip(".") if len(text) > 1 else text


def _parse_by_udunits(source: str, target: str) -> Conversion | None:
    """The linear conversion by UDUNITS, or None if there is none.

    Raises:
        DataError: the text is ambiguous, or the library is not installed.
    """
    if re.search(r"(?<![\d.])10e[+-]?\d", source, re.I):
        raise DataError(f'units "{source}" are ambiguous: a power of ten, or ten times as much; write 1e-5 or 1e-4')
    try:
        import cf_units  # imported here, because it is rarely needed
    except ImportError as error:  # not every platform has a wheel
        raise DataError(f'units "{source}" need a library: pip install cf-units, or write them as {target}') from error
    with cf_units.suppress_errors():
        factors = _linear(cf_units.Unit, source, target)
        return _linear(cf_units.Unit, source.lower(), target) if factors is None and source.isupper() else factors


def _linear(unit, text: str, target_units: str) -> Conversion | None:
    """(factor, offset) by UDUNITS; None for other dimensions, logarithms and reciprocals.

    UDUNITS ignores the offset of a temperature after a number: it reads "0.1 degC" as a tenth of a kelvin.
    """
    number = re.match(r"(\d*\.?\d+(?:e[+-]?\d+)?)[ .*]*(?=deg[CF]$)", text, re.I)
    if number:
        plain = _linear(unit, text[number.end() :], target_units)
        return plain and (plain[0] * float(number[1]), plain[1])
    if text.lower().endswith(" utc"):  # the library ignores it
        return None
    try:
        source, target = unit(text), unit(target_units)
        if source.is_time_reference() or not source.is_convertible(target):
            return None
        angle_times_temperature = all(part in str(source.definition) for part in ("rad", "K"))
        if angle_times_temperature or (source.is_dimensionless() and _differs(text, target_units)):
            return None
        at = np.asarray(source.convert(np.array([0.0, 1e6, 2e6]), target))
    except ValueError:
        return None
    factor = float(at[1] - at[0]) / 1e6
    if not (np.isfinite(at).all() and factor > 0 and abs(at[2] - at[1] - (at[1] - at[0])) <= 1e-9 * abs(at[1] - at[0])):
        return None
    return float(f"{factor:.14g}"), float(f"{at[0]:.14g}")


def _differs(first: str, second: str) -> bool:
    """Whether two fractions are of different kinds: by mass, by amount or by volume."""
    kinds = [[bool(kind.search(each)) for kind in (_MASS, _AMOUNT, _VOLUME)] for each in (first, second)]
    return all(map(any, kinds)) and kinds[0] != kinds[1]
