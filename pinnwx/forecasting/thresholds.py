"""Thresholds that a user names: a variable above or below a number in SI units, such as `t2m<273.15`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from pinnwx.errors import UsageError

_PATTERN = re.compile(r"\s*(\w+)\s*([<>])\s*([-+0-9.eE]+)\s*")


@dataclass(frozen=True)
class Threshold:
    """A variable above, or below, a limit [SI]."""

    variable: str
    above: bool
    limit: float

    @classmethod
    def parse(cls, text: str, names: Iterable[str]) -> Threshold:
        """Reads `t2m<273.15` or `msl>101325`.

        Raises:
            UsageError: the text has another form, or the variable is not among `names`.
        """
        match, names = _PATTERN.fullmatch(text), tuple(names)
        variable, sign, number = match.groups() if match else ("", "", "")
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not math.isfinite(limit):
            raise UsageError(f'threshold "{text}" is not a variable, < or >, and a number in SI units, as t2m<273.15')
        if variable not in names:
            raise UsageError(f'threshold "{text}": the forecast has no {variable}; it has {", ".join(names)}')
        return cls(variable, sign == ">", limit)

    @property
    def name(self) -> str:
        """As a user writes it."""
        return f"{self.variable}{'>' if self.above else '<'}{self.limit:.12g}"

    def happens(
        self,
        fields: Float[np.ndarray, "*batch lat lon"],
        when: np.datetime64 | None = None,  # noqa: ARG002
    ) -> Bool[np.ndarray, "*batch lat lon"]:
        """Where fields of the variable are beyond the limit, at any time."""
        return fields > self.limit if self.above else fields < self.limit
