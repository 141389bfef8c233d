"""The budget of a forecast, and the attribution of one number in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pinnwx.terminal.table import Console, print_table
from pinnwx.text import decimals_for, with_decimals
from pinnwx.variables import VARIABLES, Variable, difference_units

if TYPE_CHECKING:
    import xarray as xr

    from pinnwx.explaining.reading import Share


def budget_table(shares: Sequence[Share], variables: Mapping[str, Variable] = VARIABLES) -> None:
    """The share of each term in the change of each field over a forecast, one row per field and term."""
    from pinnwx.explaining.reading import COLUMNS, in_words

    print_table(Console(), COLUMNS, in_words(shares, variables))


def attribution_lines(dataset: xr.Dataset) -> None:
    """The attribution of a number in a forecast to the fields and times of the analyses."""
    attributes, console = dataset.attrs, Console()
    factor, units = difference_units(attributes["target"].partition(" ")[0])
    units = attributes["target_units"] if units == "SI" else units  # a variable of the user's own
    forecast, usual = attributes["target_forecast"], attributes["target_ordinary"]
    decimals = decimals_for([factor * (forecast - usual)])

    def of_it(value: float) -> str:
        return f"{'+' if value >= 0 else ''}{with_decimals(factor * value, decimals)} {units}"

    console.print(f"{attributes['target']}: {with_decimals(factor * forecast, decimals)} {units}", highlight=False)
    console.print(
        f"{of_it(forecast - usual)} of it from the difference of the analyses to climatology:", highlight=False
    )
    rows = []
    for name, values in dataset.data_vars.items():
        field, _, kind = str(name).rpartition("_")
        if kind == "attribution":
            for age, total in zip(
                dataset["forecast_period"].values, values.sum(("latitude", "longitude")).values, strict=True
            ):
                rows.append((field, f"{age:g} h", of_it(float(total))))
    rows.append(("not attributed", "", of_it(attributes["completeness_gap"])))
    print_table(console, ("field", "analysis", "of it"), rows)
