"""What holds gridded data without being a file of them, or is something else: read, or named with the way out."""

import bz2
import gzip
import io
import lzma
import re
import struct
import tarfile
import tempfile
import zipfile
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from synthetic import wave_dataset

from pinnwx.data.open import check_data, open_data, open_with_report
from pinnwx.data.storage import write_netcdf
from pinnwx.errors import DataError, OutputError
from pinnwx.terminal.files import check_tables

WAVES = wave_dataset(4)


def content(**options) -> bytes:
    """A good netCDF file."""
    with tempfile.NamedTemporaryFile(suffix=".nc") as file:
        WAVES.to_netcdf(file.name, **options)
        return Path(file.name).read_bytes()


def expected(tmp_path):
    WAVES.to_netcdf(tmp_path / "expected.nc")
    return open_data(tmp_path / "expected.nc")


def errors(path) -> list[str]:
    return [str(problem) for problem in check_data(path).problems if problem.severity == "error"]


@pytest.mark.parametrize("name", ["cds.zip", "cds.nc", "cds"])
@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_report_15_a_zip_of_the_cds_is_read_as_it_comes(tmp_path, name, packing):
    """Two streams in one archive, as the Climate Data Store writes them, known by its bytes and not by its name."""
    folder = tmp_path / "in"
    folder.mkdir()
    parts = {"data_stream-oper_stepType-instant.nc": ["msl"], "data_stream-oper_stepType-accum.nc": ["t850"]}
    with zipfile.ZipFile(folder / name, "w", packing) as archive:
        for member, fields in parts.items():
            WAVES[fields].to_netcdf(tmp_path / member)
            archive.write(tmp_path / member, member)
        archive.writestr("README.txt", "about")
    before = set(Path(tempfile.gettempdir()).glob("pinnwx-*"))
    wanted = expected(tmp_path)
    for given in (folder, folder / name):
        found, report = open_with_report(given)
        xr.testing.assert_identical(found, wanted)
        assert [entry.file for entry in report.files] == [f"{name}/{member}" for member in parts]
        assert not report.problems
    assert not set(Path(tempfile.gettempdir()).glob("pinnwx-*")) - before


def test_a_level_is_read_from_the_name_inside_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        t = WAVES[["t850"]].rename(t850="t")
        t["t"].attrs.update(units="K")
        t.to_netcdf(tmp_path / "t_850hPa.nc")
        archive.write(tmp_path / "t_850hPa.nc", "some/folder/t_850hPa.nc")
    assert list(open_data(tmp_path / "x.zip")) == ["t850"]


@pytest.mark.parametrize("member", ["../../evil.nc", "/tmp/evil.nc", "a/../../evil.nc", "evil.nc"])
def test_names_in_an_archive_are_never_used_as_paths(tmp_path, member, monkeypatch):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(member, content())
    xr.testing.assert_identical(open_data(tmp_path / "x.zip"), expected(tmp_path))
    assert not list(tmp_path.rglob("evil.nc"))
    assert not list(temporary.iterdir())


def test_an_archive_that_unpacks_to_an_absurd_size_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryDirectory", None)  # nothing is even begun
    with (
        zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.nc", "w", force_zip64=True) as member,
    ):
        member.write(content()[:4096])
        for _ in range(100):
            member.write(bytes(2**20))
    with pytest.raises(DataError, match=r"x.nc unpacks from .* to 104,861,696, more than 200 times as many"):
        open_data(tmp_path / "x.zip")


def test_an_archive_larger_than_the_temporary_folder(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("x.nc", content())
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("pinnwx.data.archives.shutil.disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match="set TMPDIR to a larger place"):
        open_data(tmp_path / "x.zip")


def encrypted(path):
    """The flag alone: Python does not write encrypted archives."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.nc", content())
    raw = path.read_bytes()
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = raw.index(mark) + offset
        raw = raw[:start] + struct.pack("<H", 1) + raw[start + 2 :]
    path.write_bytes(raw)


def holding(**members):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            for name, body in members.items():
                archive.writestr(name.replace("__", "."), body)

    return write


def cut(path):
    holding(x__nc=content())(path)
    path.write_bytes(path.read_bytes()[:-200])


def flipped(path):
    holding(x__nc=content(format="NETCDF3_64BIT"))(path)
    raw = bytearray(path.read_bytes())
    raw[1000] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (encrypted, "is an encrypted ZIP archive; unpack it first"),
        (holding(a__txt="x", b__csv="y"), "is a ZIP archive without netCDF or GRIB files; it holds a.txt, b.csv"),
        (holding(zarr__json="{}"), "is a ZIP archive that holds a zarr store; unpack it first"),
        (cut, "cannot read this ZIP archive"),
        (flipped, "the file is damaged or incomplete"),
    ],
)
def test_an_archive_that_is_not_read_says_why(tmp_path, write, words):
    write(tmp_path / "x.nc")
    (message,) = errors(tmp_path / "x.nc")[:1]
    assert words in message
    with pytest.raises(DataError) as caught:
        open_data(tmp_path / "x.nc")
    assert words in str(caught.value)


def test_archives_of_other_things_are_left_alone(tmp_path):
    """A spreadsheet or saved arrays are ZIP archives as well."""
    WAVES.to_netcdf(tmp_path / "a.nc")
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    assert open_data(tmp_path).sizes["time"] == 4
    assert not errors(tmp_path)


def tarred() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        body = content()
        entry = tarfile.TarInfo("x.nc")
        entry.size = len(body)
        archive.addfile(entry, io.BytesIO(body))
    return made.getvalue()


ARCHIVES = {
    "a gzip archive": lambda: gzip.compress(content()), "a bzip2 archive": lambda: bz2.compress(content()),
    "an xz archive": lambda: lzma.compress(content()), "a tar archive": tarred,
    "a 7z archive": lambda: b"7z\xbc\xaf\x27\x1c" + bytes(100), "a Zstandard archive": lambda: b"\x28\xb5\x2f\xfd123",
}  # fmt: skip


@pytest.mark.parametrize("kind", ARCHIVES)
def test_other_archives_are_named_and_to_be_unpacked(tmp_path, kind):
    """Refused under a name of gridded data or when given alone; among others passed over, with a warning."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "x.nc.packed").write_bytes(ARCHIVES[kind]())
    WAVES.to_netcdf(folder / "a.nc")
    assert open_data(folder).sizes["time"] == 4
    warnings = [str(problem) for problem in check_data(folder).problems]
    assert any("x.nc.packed" in line and kind in line and "unpack it" in line for line in warnings)
    (tmp_path / "x.nc").write_bytes(ARCHIVES[kind]())
    for path in (folder / "x.nc.packed", tmp_path / "x.nc"):
        with pytest.raises(DataError, match=f"{kind}; unpack it first"):
            open_data(path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "a PNG picture"),
        (b"BUFR\0\1\2\4" + bytes(64), "BUFR, which holds observations"),
        (b"\x0e\x03\x13\x01" + bytes(64), "HDF4; convert it"),
        (b"lat,lon,t2m\n50,10,280\n", "text"),
        (b'{"version": 1, "refs": {"x/0": ["s3://a/b", 0, 9]}}', "a reference file, which points to other files"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        (b"II*\0" + bytes(64), "a TIFF picture"),
        (b"PAR1" + bytes(64), "a Parquet table"),
        (b"\x80\x04\x95junk\x00", "something that starts with"),
    ],
)
def test_a_whole_file_of_another_kind_is_never_to_be_fetched_again(tmp_path, body, words):
    (tmp_path / "x.nc").write_bytes(body)
    with pytest.raises(DataError) as caught:
        open_data(tmp_path / "x.nc")
    for message in (errors(tmp_path / "x.nc")[0], str(caught.value)):
        assert "not netCDF, GRIB or zarr but" in message
        assert words in message
        assert "fetch it again" not in message


def test_zero_bytes_are_a_copy_that_broke_off(tmp_path):
    (tmp_path / "x.nc").write_bytes(bytes(10_000))
    with pytest.raises(DataError, match=r"only zero bytes.*fetch it again"):
        open_data(tmp_path / "x.nc")


def test_report_15_variables_in_groups_are_named(tmp_path):
    """And the way out that is named works."""
    path = tmp_path / "x.nc"
    netCDF4.Dataset(path, "w").close()
    WAVES.to_netcdf(path, group="data", mode="a")
    (message,) = errors(path)[:1]
    assert "its variables are in groups (data), which are not read" in message
    with pytest.raises(DataError, match="in groups"):
        open_data(path)
    with pytest.raises(DataError, match="in groups"):
        open_data(path, ["msl"])
    call = re.search(r"xarray\.(open_dataset\(file, group='data'\)\.to_netcdf)\(\.\.\.\)", message)
    assert call is not None
    xr.open_dataset(path, group="data").to_netcdf(tmp_path / "out.nc")
    assert open_data(tmp_path / "out.nc").sizes["time"] == 4


def test_variables_in_a_group_of_a_zarr_store_are_named(tmp_path):
    WAVES.to_zarr(tmp_path / "x.zarr", group="data", zarr_format=2)
    with pytest.raises(DataError, match=r"in groups \(data\)"):
        open_data(tmp_path / "x.zarr")


def test_plain_hdf5_is_named(tmp_path):
    with h5py.File(tmp_path / "x.nc", "w") as file:
        file["t2m"] = np.full((3, 3, 3), 280.0)
    with pytest.raises(DataError, match="is HDF5 without the coordinates of netCDF-4"):
        open_data(tmp_path / "x.nc")


@pytest.mark.parametrize("block", [512, 4096])
def test_a_block_of_the_user_before_netcdf4_does_no_harm(tmp_path, block):
    (tmp_path / "x.nc").write_bytes(b"about this file".ljust(block) + content())
    xr.testing.assert_identical(open_data(tmp_path / "x.nc"), expected(tmp_path))


def test_hdf5_compressed_by_a_filter_that_is_not_there(tmp_path):
    """LZF is known to h5py alone."""
    WAVES.to_netcdf(tmp_path / "x.nc")
    with h5py.File(tmp_path / "x.nc", "a") as file:
        attributes, values = dict(file["msl"].attrs), file["msl"][...]
        scales = [file["msl"].dims[axis][0] for axis in range(3)]
        del file["msl"]
        made = file.create_dataset("msl", data=values, compression="lzf")
        made.attrs.update({name: attributes[name] for name in ("units", "standard_name") if name in attributes})
        for axis, scale in enumerate(scales):
            made.dims[axis].attach_scale(scale)
    with pytest.raises(DataError, match='"msl" is compressed by the HDF5 filter 32000, which is not install') as caught:
        open_data(tmp_path / "x.nc")
    assert "fetch it again" not in str(caught.value)


def test_netcdf3_with_64_bit_data_is_read(tmp_path):
    WAVES.to_netcdf(tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "b.nc", "w", format="NETCDF3_64BIT_DATA") as made:
        for name, size in WAVES.sizes.items():
            made.createDimension(str(name), size)
        with xr.open_dataset(tmp_path / "a.nc", decode_cf=False) as raw:
            for name, array in raw.variables.items():
                variable = made.createVariable(str(name), array.dtype, array.dims)
                variable.setncatts({key: text for key, text in array.attrs.items() if key != "_FillValue"})
                variable[...] = array.to_numpy()
    xr.testing.assert_identical(open_data(tmp_path / "b.nc"), open_data(tmp_path / "a.nc"))


def test_a_file_that_is_being_written_is_to_be_tried_again(tmp_path):
    """HDF5 locks it; that is no damage."""
    from pinnwx.errors import LockedError

    write_netcdf(WAVES, tmp_path / "x.nc")
    with netCDF4.Dataset(tmp_path / "x.nc", "a"), pytest.raises(LockedError, match="is being written"):
        open_data(tmp_path / "x.nc")


def test_many_files_with_the_same_fault_get_one_line(tmp_path, capsys):
    """33 files, one hint, in `check` and in the error of `open_data`; another fault keeps its own."""
    for index in range(33):
        with netCDF4.Dataset(tmp_path / f"x{index:02d}.nc", "w") as file:
            group = file.createGroup("data")
            for name, size in (("latitude", 3), ("longitude", 4)):
                group.createDimension(name, size)
            group.createVariable("msl", "f4", ("latitude", "longitude"))
    (tmp_path / "y.nc").write_bytes(b"\x89PNG" + bytes(64))
    check_tables(check_data(tmp_path))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error: ")]
    folder = tmp_path.name
    assert sum("in groups" in line for line in lines) == 1
    assert any(line.startswith(f"error: 33 files, the first {folder}/x00.nc: its variables are in") for line in lines)
    assert any(line.startswith(f"error: {folder}/y.nc: not netCDF") for line in lines)
    (tmp_path / "y.nc").unlink()
    with pytest.raises(DataError, match="33 files, the first") as caught:
        open_data(tmp_path, ["msl"])
    assert str(caught.value).count("in groups") == 1


@pytest.mark.parametrize("document", ["{", "[1]", "[" * 100_000, '{"shape": "x"}', "null"])
@pytest.mark.parametrize("name", [".zgroup", ".zarray", "zarr.json"])
def test_metadata_of_a_zarr_store_that_make_no_sense(tmp_path, name, document):
    path = tmp_path / "x.zarr"
    (path / "group").mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / "group" / name).write_text(document)
    with pytest.raises(DataError):
        open_data(path)
    assert errors(path)
