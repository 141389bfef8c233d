"""Forecast files as a stranger may write them: one thing of a good one changed, its digest left out."""

import random
from pathlib import Path

import numpy as np
import xarray as xr

TEXTS = ["", "x", "\x1b]0;x\x07\n", "../x", "t850 at nan N, inf E", "9999-99-99", "ü\u202ey" * 50, "[1" * 9000, "nan"]
NUMBERS = [0, -1, 3, 2**31 - 1, -(10**15), 1e300, np.nan, np.inf, 0.5]
ODD = [*TEXTS, *NUMBERS, np.array([1, 2, 3]), np.array([1.5, np.nan]), np.array([], float)]
NAMES = ["x", "t850_attribution", "t850_sensitivity", "t850_tendency_total", "realization", "time_bnds", "a b", "π"]


def _attribute(dice: random.Random, dataset: xr.Dataset) -> None:
    place = dice.choice([dataset, dataset, *(dataset[name] for name in dataset.variables)]).attrs
    known = [
        *place,
        "boundary_width",
        "target",
        "target_units",
        "model",
        "config",
        "request_sha256",
        "units",
        "standard_name",
    ]
    name = dice.choice(known)
    if dice.random() < 0.15:
        place.pop(name, None)
    else:
        place[name] = dice.choice(ODD)


def _drop(dice: random.Random, dataset: xr.Dataset) -> xr.Dataset:
    return dataset.drop_vars(dice.choice(list(dataset.variables)))


def _rename(dice: random.Random, dataset: xr.Dataset) -> xr.Dataset:
    return dataset.rename({dice.choice(list(dataset.variables)): dice.choice(NAMES)})


def _first(dice: random.Random, dataset: xr.Dataset) -> xr.Dataset:
    """A dimension of one entry, or none, or gone, or the other way round, or with one entry twice."""
    name = dice.choice(list(dataset.dims))
    places = dice.choice([0, [0], [], slice(None, None, -1), [0, 0], [0, 2, 1], slice(None, None, 2)])
    return dataset.isel({name: places})


def _order(dice: random.Random, dataset: xr.Dataset) -> xr.Dataset:
    name = dice.choice(list(dataset.data_vars))
    dims = list(dataset[name].dims)
    dice.shuffle(dims)
    return dataset.assign({name: dataset[name].transpose(*dims)})


def _type(dice: random.Random, dataset: xr.Dataset) -> xr.Dataset:
    name = dice.choice(list(dataset.variables))
    array = dataset[name]
    kind = dice.choice(["str", "int", "float", "bool", "duration", "time"])
    if kind == "str":
        values = np.full(array.shape, "x", object)
    elif kind in ("duration", "time"):
        letter = "m" if kind == "duration" else "M"
        values = np.arange(array.size).reshape(array.shape).astype(f"{letter}8[h]").astype(f"{letter}8[ns]")
    else:
        values = np.arange(array.size).reshape(array.shape).astype(kind)
    return (
        dataset.assign_coords({name: (array.dims, values)})
        if name in dataset.coords
        else dataset.assign({name: (array.dims, values, array.attrs)})
    )


def _value(dice: random.Random, dataset: xr.Dataset) -> xr.Dataset:
    name = dice.choice(list(dataset.variables))
    array = dataset[name]
    values = array.to_numpy().copy()
    if not values.size:
        return dataset
    place = dice.choice([tuple(dice.randrange(size) for size in values.shape), ...])
    if values.dtype.kind == "M":
        values[place] = np.datetime64(dice.choice(["NaT", "1678-01-01", "2262-01-01", "2026-01-16T06:00"]), "ns")
    elif values.dtype.kind in "iu":
        values[place] = dice.choice([0, -1, 10**9])
    else:
        values[place] = dice.choice([np.nan, np.inf, -1e30, 0.0, 1e-30, 9.96921e36])
    changed = (array.dims, values, array.attrs)
    return dataset.assign_coords({name: changed}) if name in dataset.coords else dataset.assign({name: changed})


def _more(dice: random.Random, dataset: xr.Dataset) -> xr.Dataset:
    name = dice.choice(NAMES)
    dims, values = dice.choice(
        [((), 1.0), ((), "x"), (("time",), np.zeros(dataset.sizes["time"])), (("q",), np.arange(3.0)), (("q",), ["a"])]
    )
    return dataset.assign({name: (dims, values)})


def _dimension(dice: random.Random, dataset: xr.Dataset) -> xr.Dataset:
    name = dice.choice(list(dataset.data_vars))
    return dataset.assign({name: dataset[name].expand_dims({dice.choice(["q", "realization"]): dice.choice([1, 2])})})


CHANGES = [
    _attribute,
    _attribute,
    _attribute,
    _attribute,
    _drop,
    _rename,
    _first,
    _order,
    _type,
    _value,
    _more,
    _dimension,
]


def write_changed(dice: random.Random, dataset: xr.Dataset, path: Path) -> None:
    """Writes the dataset with one or two things changed; what cannot be made of it, or is no netCDF, is tried anew."""
    while True:
        made = dataset.copy(deep=True)
        try:
            for _ in range(dice.choice([1, 1, 1, 2])):
                made = dice.choice(CHANGES)(dice, made) or made
            made.attrs.pop("content_sha256", None)
            made.to_netcdf(path)
            return
        except (ValueError, KeyError, TypeError, IndexError, OverflowError, AttributeError):
            path.unlink(missing_ok=True)
