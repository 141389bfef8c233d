"""One time in several files: the same values whatever the order of the files, or a refusal."""

from itertools import combinations, permutations

import numpy as np
import pytest
import xarray as xr
from synthetic import wave_dataset

from pinnwx.data.open import check_data, open_data, open_with_report
from pinnwx.errors import DataError


def files(folder, *datasets, order=None, **options):
    """Writes datasets under names whose order is `order`, with their own encodings."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for dataset, name in zip(datasets, order or "abcdefgh", strict=False):
        zarr = options.get("zarr") or any(array.dtype == np.float16 for array in dataset.values())  # netCDF has no such
        path = folder / f"{name}.{'zarr' if zarr else 'nc'}"
        if zarr:
            dataset.to_zarr(path, zarr_format=2)
        else:
            dataset.to_netcdf(path, **options)
        paths.append(path)
    return folder


def stored(dataset, kind):
    """The same data as another archive stores them."""
    out = dataset[["t850"]].copy(deep=True)
    packing = {"0.01": (0.01, 280.0), "0.003": (0.003, 281.0), "0.003 shifted": (0.003, 281.0011), "byte": (1.0, 270.0)}
    if kind in packing:
        scale, offset = packing[kind]
        dtype = "i1" if kind == "byte" else "i2"
        out["t850"].encoding = {"dtype": dtype, "scale_factor": scale, "add_offset": offset, "_FillValue": -127}
    elif kind == "hPa-like":  # another unit: a rounding of its own
        out["t850"] = (out["t850"].astype("f8") - 273.15).astype("f4").assign_attrs(units="degC")
    elif kind == "digits":
        out["t850"] = out["t850"].round(1).assign_attrs(units="K", least_significant_digit=1)
    else:
        out["t850"] = out["t850"].astype(kind).assign_attrs(units="K")
    return out


KINDS = ["f4", "f8", "f2", "0.01", "0.003", "0.003 shifted", "byte", "hPa-like", "digits"]


def precise():
    """Values that no type but float64 holds."""
    dataset = wave_dataset(6)
    dataset["t850"] = (dataset["t850"].astype("f8") + 1e-7 * np.arange(6)[:, None, None]).assign_attrs(units="K")
    return dataset


@pytest.mark.parametrize(("kind", "other"), [*combinations(KINDS, 2)])
def test_report_12_overlaps_agree_within_both_precisions_in_any_order(tmp_path, kind, other):
    whole = precise()
    early, late = stored(whole, kind).isel(time=slice(0, 4)), stored(whole, other).isel(time=slice(2, 6))
    one = open_data(files(tmp_path / "1", early, late, order="ab"))
    two = open_data(files(tmp_path / "2", early, late, order="ba"))
    xr.testing.assert_identical(one, two)
    assert one.sizes["time"] == 6
    exact = [each for each in ("f8", "f4") if each in (kind, other)]
    if exact:  # the most precise of the two is kept
        np.testing.assert_array_equal(one["t850"].values[2:4], whole["t850"].values[2:4].astype("f4"))


def test_the_finest_of_three_is_kept_in_every_order(tmp_path):
    whole = precise()
    three = [stored(whole, kind) for kind in ("byte", "0.003", "0.01")]
    found = [
        open_data(files(tmp_path / "".join(order), *three, order=order))["t850"].values for order in permutations("abc")
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)
    assert np.abs(found[0] - whole["t850"].values).max() <= 0.0015 + 1e-4


def test_what_differs_by_more_than_both_precisions_is_refused_in_every_order(tmp_path):
    whole = precise()
    for order in ("ab", "ba"):
        one, two = stored(whole, "0.01"), stored(whole, "0.003")
        two["t850"].values[3, 2, 2] += 0.02  # more than 0.005 + 0.0015
        with pytest.raises(DataError, match=r"2026-01-01T18:00Z is stored twice, .* \(in .*[ab]\.nc and .*[ab]\.nc\)"):
            open_data(files(tmp_path / order, one, two, order=order))
        assert not check_data(tmp_path / order).ok


def test_three_copies_of_which_two_differ_are_refused_in_every_order(tmp_path):
    """The middle one agrees with either, so what was read first may not decide."""
    copies = []
    for shift in (0.0, 0.008, 0.016):
        copies.append(stored(wave_dataset(2), "0.01"))
        copies[-1]["t850"].values[:] = np.round(copies[-1]["t850"].values, 2) + np.float32(shift)
        copies[-1]["t850"].encoding["add_offset"] = 280.0 + shift
    for order in permutations("abc"):
        with pytest.raises(DataError, match="is stored twice"):
            open_data(files(tmp_path / "".join(order), *copies, order=order))


@pytest.mark.parametrize("options", [{"format": "NETCDF3_CLASSIC"}, {"format": "NETCDF4"}, {"zarr": True}], ids=str)
def test_conflicts_and_duplicates_in_every_format(tmp_path, options):
    dataset = wave_dataset(4)
    twice = dataset.isel(time=[0, 1, 1, 2, 3])
    found, report = open_with_report(files(tmp_path / "same", twice, **options))
    xr.testing.assert_equal(found, open_data(files(tmp_path / "plain", dataset)))
    assert any("1 repeated step(s) with equal values dropped" in str(problem) for problem in report.problems)
    twice = twice.copy(deep=True)
    twice["msl"].values[2, 3, 3] += 30
    with pytest.raises(DataError, match=r"msl: 2026-01-01T06:00Z is stored twice, with values that differ by up to 30"):
        open_data(files(tmp_path / "within", twice, **options))
    other = dataset.copy(deep=True)
    other["msl"].values[1, 3, 3] += 30
    with pytest.raises(DataError, match="msl: 2026-01-01T06:00Z is stored twice"):
        open_data(files(tmp_path / "among", dataset, other, **options))


@pytest.mark.parametrize(("scale", "accepted"), [(0.01, True), (0.0001, False)])
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_static_field_in_two_files(tmp_path, order, scale, accepted):
    mask = xr.DataArray(np.linspace(0, 0.99, 8 * 16, dtype="f4").reshape(8, 16), dims=("latitude", "longitude"))
    plain = wave_dataset(2).assign(lsm=mask.assign_attrs(units="1"))
    packed = plain[["lsm"]].copy(deep=True)
    packed["lsm"].encoding = {"dtype": "i2", "scale_factor": scale, "_FillValue": -1}
    if not accepted:
        packed["lsm"].values[2, 2] += 0.004
    folder = files(tmp_path, plain, packed, order=order)
    if accepted:
        np.testing.assert_array_equal(open_data(folder)["lsm"].values, mask.values)
    else:
        with pytest.raises(DataError, match="lsm: is stored twice"):
            open_data(folder)
