"""Products of an ensemble: what a forecaster reads instead of fifty maps.

Beside the members of a field, the forecast has, along (time, latitude, longitude),

    t2m_mean                  over the members
    t2m_spread                their standard deviation, of M - 1 degrees of freedom
    t2m_quantile              along `quantile` too; linear between the sorted members
    t2m_probability_below     along `t2m_below` too, limits in SI units: the fraction of the members below
    t2m_probability_above     along `t2m_above` too

The attribute `ensemble_statistic` of a product names it; a field has none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pinnwx.data.conventions import STATISTIC
from pinnwx.errors import UsageError
from pinnwx.forecasting.form import QUANTILE, REALIZATION
from pinnwx.forecasting.thresholds import Threshold

# CF has no method for quantiles.
_CELL_METHODS = {"mean": "mean", "standard_deviation": "standard_deviation", "probability": "mean"}


@dataclass(frozen=True)
class Products:
    """The products that a user asks for.

    Attributes:
        quantiles: between 0 and 1, ascending.
        thresholds: whose probabilities are asked for.
    """

    quantiles: tuple[float, ...] = ()
    thresholds: tuple[Threshold, ...] = ()

    @classmethod
    def of(
        cls, quantiles: Sequence[float], thresholds: Sequence[str], names: Iterable[str], members: int | None
    ) -> Products:
        """Of what a user gave.

        Raises:
            UsageError: a quantile or a threshold is not one, or products are asked for without members.
        """
        if (quantiles or thresholds) and members is None:
            raise UsageError("quantiles and probabilities are those of an ensemble; give --members")
        for quantile in quantiles:
            if not 0 <= quantile <= 1:
                raise UsageError(f"quantile {quantile:g} is not between 0 and 1")
        names = tuple(names)
        parsed = {Threshold.parse(text, names) for text in thresholds}
        order = sorted(parsed, key=lambda each: (each.variable, each.above, each.limit))
        return cls(tuple(sorted(set(map(float, quantiles)))), tuple(order))

    @property
    def settings(self) -> dict[str, Any]:
        """As provenance; empty where nothing is asked for."""
        settings = {"quantiles": list(self.quantiles), "thresholds": [each.name for each in self.thresholds]}
        return {name: value for name, value in settings.items() if value}

    def are_in(self, dataset: xr.Dataset) -> bool:
        """Whether a forecast has these products and no others, by its provenance."""
        stored = {name: dataset.attrs.get(name, "[]") for name in ("quantiles", "thresholds")}
        return stored == {name: json.dumps(self.settings.get(name, [])) for name in stored}

    def added_to(self, dataset: xr.Dataset) -> xr.Dataset:
        """The forecast of an ensemble with these products."""
        if not self.settings:
            return dataset
        data: dict[str, xr.DataArray] = {}
        for name, members in dataset.data_vars.items():
            data |= self._of_field(str(name), members)
        coordinates: dict[str, Any] = {}
        if self.quantiles:
            attributes = {"standard_name": QUANTILE, "long_name": "quantile of the members", "units": "1"}
            coordinates[QUANTILE] = (QUANTILE, np.array(self.quantiles), attributes)
        for (name, side), limits in self._limits().items():
            own = dataset[name].attrs
            attributes = {"long_name": f"limit of {own['long_name']}", "units": own["units"]}
            attributes |= {key: own[key] for key in ("standard_name", "units_metadata") if key in own}
            values = np.array([each.limit for each in limits])
            coordinates[f"{name}_{side}"] = (f"{name}_{side}", values, attributes)
        return dataset.assign(data).assign_coords(coordinates)

    def _limits(self) -> dict[tuple[str, str], list[Threshold]]:
        """The thresholds of each variable and side, ascending."""
        limits: dict[tuple[str, str], list[Threshold]] = {}
        for each in self.thresholds:
            limits.setdefault((each.variable, "above" if each.above else "below"), []).append(each)
        return limits

    def _of_field(self, name: str, members: xr.DataArray) -> dict[str, xr.DataArray]:
        axis, values = members.get_axis_num(REALIZATION), members.values
        dimensions = tuple(dimension for dimension in members.dims if dimension != REALIZATION)
        title, point = members.attrs["long_name"], members.attrs.get("cell_methods", "")

        def product(array: np.ndarray, what: str, method: str, first: tuple[str, ...] = (), **changes: Any):
            attributes = members.attrs | {"long_name": f"{what} of {title}", STATISTIC: method, **changes}
            if method in _CELL_METHODS:
                attributes["cell_methods"] = f"{point} {REALIZATION}: {_CELL_METHODS[method]}".strip()
            return xr.DataArray(array.astype(np.float32), dims=(*first, *dimensions), attrs=attributes)

        temperature = members.attrs["units"] == "K"
        spread: dict[str, Any] = {"units_metadata": "temperature: difference"} if temperature else {}
        products = {
            f"{name}_mean": product(values.mean(axis=axis, dtype=np.float64), "ensemble mean", "mean"),
            f"{name}_spread": product(
                values.std(axis=axis, ddof=1, dtype=np.float64), "ensemble spread", "standard_deviation", **spread
            ),
        }
        if self.quantiles:
            quantiles = np.quantile(values, self.quantiles, axis=axis)
            products[f"{name}_quantile"] = product(quantiles, "quantiles", QUANTILE, (QUANTILE,))
        for (variable, side), limits in self._limits().items():
            if variable == name:
                beyond = [each.happens(values).mean(axis=axis) for each in limits]
                along = (f"{name}_{side}",)
                one = product(np.stack(beyond), f"probability {side} a limit", "probability", along, units="1")
                for key in ("standard_name", "units_metadata"):
                    one.attrs.pop(key, None)
                products[f"{name}_probability_{side}"] = one
        return products


NO_PRODUCTS = Products()


def is_product(array: xr.DataArray) -> bool:
    """Whether this variable of a forecast is a product."""
    return STATISTIC in array.attrs


def without_products(dataset: xr.Dataset) -> xr.Dataset:
    """A forecast with its fields alone."""
    products = [name for name, array in dataset.data_vars.items() if is_product(array)]
    dataset = dataset.drop_vars(products)
    used = {dimension for array in dataset.data_vars.values() for dimension in array.dims}
    return dataset.drop_dims([name for name in dataset.dims if name not in used])
