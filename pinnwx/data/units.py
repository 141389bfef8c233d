"""The units that a file states, and what turns its values into those of a variable.

The common units stand in a table, so their conversion is exact. Every other text is read by UDUNITS, the library that
the CF conventions name for it, once the spellings of archives that it refuses or misreads are put right. Where its
reading is not what a weather archive means, the choice stands here:

- `C` is degrees Celsius and `F` degrees Fahrenheit (UDUNITS: coulomb and farad); `mb` is a millibar (a
  millibarn); `degrees C` and `deg K` are temperatures (an angle times a charge or a temperature).
- `m` is a length, but for geopotential the geopotential height; `gpm` and `gpdm` are geopotential metres and
  decametres. `kg m-2` is not taken for millimetres of water.
- A fraction by mass, by volume or by amount of substance stays what it is: `mol mol-1` does not convert to `kg kg-1`.
- `10e-5` is refused: it may mean 1e-4, or 1e-5.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np

from pinnwx.constants import STANDARD_GRAVITY
from pinnwx.errors import DataError
from pinnwx.variables import Variable

Conversion = tuple[float, float]  # (factor, offset): wanted = given * factor + offset

_LONGEST = 100  # characters; no unit is longer
_SHOWN = 40

# What UDUNITS does not know, or reads as something else, in lower case without the signs of powers.
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
# A height and the geopotential there are one thing said in two ways, but only for fields that are either.
_OF_GEOPOTENTIAL: dict[tuple[str, str], Conversion] = {
    ("m", "m2 s-2"): (STANDARD_GRAVITY, 0.0),
    ("dam", "m2 s-2"): (10 * STANDARD_GRAVITY, 0.0),
    ("m2 s-2", "m"): (1 / STANDARD_GRAVITY, 0.0),
}
_GEOPOTENTIAL = re.compile(r"geopotential(_height)?|surface_geopotential|surface_altitude|altitude")

_SIGNS = str.maketrans(
    # ordinal indicator and ring above; hyphen, dash and minus; dots between factors; the sign of multiplication
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
        DataError: the units are not known to convert to those of the variable.
    """
    given, wanted = normalise_units(units), normalise_units(variable.units)
    if given == wanted:
        return 1.0, 0.0
    alike = _OF_GEOPOTENTIAL if _GEOPOTENTIAL.fullmatch(variable.standard_name) else {}
    known = {source: factors for (source, target), factors in (_CONVERSIONS | alike).items() if target == wanted}
    factors = known.get(given) or _read_by_udunits(given, wanted)
    for (source, target), (factor, offset) in alike.items():
        if factors is None and target == wanted and (first := _read_by_udunits(given, source)):
            factors = first[0] * factor, first[1] * factor + offset
    if factors is None:
        listed = ", ".join([variable.units, *known])
        raise DataError(f'units "{cut(units)}" do not convert to {variable.units}; known are {listed}')
    return factors


def cut(text: str, most: int = _SHOWN) -> str:
    """The beginning of a text from a file, in one line, for a message."""
    text = " ".join(str(text).split())
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def normalise_units(text: str) -> str:
    """One spelling: `m**2 s**-2`, `m^2/s^2` and `m2 s-2` become `m2 s-2`; `degrees C` becomes `degC`.

    What is no unit of the table comes back as it was, but for signs and spaces.

    Raises:
        DataError: the text is too long for a unit, or holds control characters.
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
    """The text without padding, brackets and TeX, in ASCII signs, with temperatures spelt as UDUNITS wants them."""
    text = str(text).strip().strip("\0").strip()
    if len(text) > _LONGEST:
        raise DataError(f'units "{cut(text)}" are too long to be units; correct the units attribute')
    if not text.isprintable() and any(unicodedata.category(each) == "Cc" and each not in "\t\n\r" for each in text):
        raise DataError(f"units {text!r} hold control characters; correct the units attribute")
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


def _read_by_udunits(given: str, wanted: str) -> Conversion | None:
    """A conversion by UDUNITS, or None where it has none that is linear.

    Raises:
        DataError: the text has two meanings, or the library is not there.
    """
    if re.search(r"(?<![\d.])10e[+-]?\d", given, re.I):
        raise DataError(f'units "{given}" may mean a power of ten or ten times as much; write 1e-5, or 1e-4')
    try:
        import cf_units  # here, because a start seldom needs it
    except ImportError as error:  # there is no wheel for every machine
        raise DataError(f'units "{given}" need a library: pip install cf-units, or write them as {wanted}') from error
    with cf_units.suppress_errors():
        factors = _linear(cf_units.Unit, given, wanted)
        return _linear(cf_units.Unit, given.lower(), wanted) if factors is None and given.isupper() else factors


def _linear(unit, text: str, wanted: str) -> Conversion | None:
    """(factor, offset) as UDUNITS has them; None for other dimensions, and for logarithms and reciprocals.

    UDUNITS drops the zero of a temperature that has a number before it: there, "0.1 degC" are tenths of a kelvin.
    """
    number = re.match(r"(\d*\.?\d+(?:e[+-]?\d+)?)[ .*]*(?=deg[CF]$)", text, re.I)
    if number:
        plain = _linear(unit, text[number.end() :], wanted)
        return plain and (plain[0] * float(number[1]), plain[1])
    if text.lower().endswith(" utc"):  # which the library passes over
        return None
    try:
        source, target = unit(text), unit(wanted)
        if source.is_time_reference() or not source.is_convertible(target):
            return None
        angle_times_temperature = all(part in str(source.definition) for part in ("rad", "K"))
        if angle_times_temperature or (source.is_dimensionless() and _differs(text, wanted)):
            return None
        at = np.asarray(source.convert(np.array([0.0, 1e6, 2e6]), target))
    except ValueError:
        return None
    factor = float(at[1] - at[0]) / 1e6
    if not (np.isfinite(at).all() and factor > 0 and abs(at[2] - at[1] - (at[1] - at[0])) <= 1e-9 * abs(at[1] - at[0])):
        return None
    return float(f"{factor:.14g}"), float(f"{at[0]:.14g}")


def _differs(text: str, wanted: str) -> bool:
    """Whether one is a fraction by mass and the other by volume, say."""
    kinds = [[bool(kind.search(each)) for kind in (_MASS, _AMOUNT, _VOLUME)] for each in (text, wanted)]
    return all(map(any, kinds)) and kinds[0] != kinds[1]
