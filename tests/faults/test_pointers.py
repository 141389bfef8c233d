"""A file of a stranger is data: it never shows the reader's own files, nor runs code, whatever it points to."""

import json
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from synthetic import wave_dataset

from pinnwx.data.open import check_data, open_data
from pinnwx.data.storage import read_netcdf, write_netcdf
from pinnwx.errors import CheckpointError, DataError
from pinnwx.forecasting.cf import read_forecast
from pinnwx.sources.zarr_store import open_store

WAVES = wave_dataset(4)
SHAPE = WAVES["msl"].shape


def replaced(path: Path, make) -> None:
    """A good file, in which `make` writes `msl` anew; it keeps its units and its axes."""
    WAVES.to_netcdf(path)
    with h5py.File(path, "a") as file:
        units, scales = file["msl"].attrs["units"], [file["msl"].dims[axis][0] for axis in range(3)]
        del file["msl"]
        make(file)
        if isinstance(file.get("msl", getlink=True), h5py.HardLink) and isinstance(file["msl"], h5py.Dataset):
            file["msl"].attrs["units"] = units
            for axis, scale in enumerate(scales):
                file["msl"].dims[axis].attach_scale(scale)


@pytest.fixture
def secret(tmp_path) -> Path:
    """The reader's own file, whose bytes make fine pressures; and the same as HDF5."""
    folder = tmp_path / "home"
    folder.mkdir()
    WAVES["msl"].values.astype("f4").tofile(folder / "secret")
    with h5py.File(folder / "secret.h5", "w") as file:
        file["msl"] = WAVES["msl"].values
    return folder / "secret"


def external_storage(secret):
    size = 4 * int(np.prod(SHAPE))
    return lambda file: file.create_dataset("msl", SHAPE, "f4", external=[(str(secret), 0, size)])


def external_link(secret):
    return lambda file: file.__setitem__("msl", h5py.ExternalLink(f"{secret}.h5", "/msl"))


def link_through_a_link(secret):
    def make(file):
        file["z"] = h5py.ExternalLink(f"{secret}.h5", "/")
        file["msl"] = h5py.SoftLink("/z/msl")

    return make


def virtual(secret):
    def make(file):
        layout = h5py.VirtualLayout(SHAPE, "f4")
        layout[:] = h5py.VirtualSource(f"{secret}.h5", "msl", SHAPE)
        file.create_virtual_dataset("msl", layout)

    return make


def external_in_a_group(secret):
    def make(file):
        file["msl"] = WAVES["msl"].values
        file.create_group("a/b").create_dataset("x", (2, 2), "f4", external=[(str(secret), 0, 16)])

    return make


POINTERS = {
    external_storage: '"msl" stores its values in another file',
    external_link: '"msl" is a link into another file',
    link_through_a_link: '"z" is a link into another file',
    virtual: '"msl" is a virtual dataset of other files',
    external_in_a_group: '"a/b/x" stores its values in another file',
}


@pytest.mark.parametrize("make", POINTERS)
def test_hdf5_that_points_to_other_files_is_refused_everywhere(tmp_path, secret, make):
    """As data, as an artefact of a run, and as a forecast; the library alone would show the secret."""
    path = tmp_path / "x.nc"
    replaced(path, make(secret))
    with pytest.raises(DataError) as caught:
        open_data(path)
    assert POINTERS[make] in str(caught.value)
    assert any(POINTERS[make] in str(problem) for problem in check_data(path).problems)
    with pytest.raises(CheckpointError) as caught:
        read_netcdf(path)
    assert POINTERS[make] in str(caught.value)
    with pytest.raises(DataError) as caught:
        read_forecast(path)
    assert POINTERS[make] in str(caught.value)


def test_the_library_alone_would_show_the_secret(tmp_path, secret):
    """Else the test above could not fail."""
    replaced(tmp_path / "x.nc", external_storage(secret))
    with xr.open_dataset(tmp_path / "x.nc") as shown:
        np.testing.assert_array_equal(shown["msl"], WAVES["msl"])


def test_a_link_to_a_fifo_is_never_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    replaced(tmp_path / "x.nc", lambda file: file.__setitem__("msl", h5py.ExternalLink(str(tmp_path / "fifo"), "/")))
    with pytest.raises(DataError, match="is a link into another file"):
        open_data(tmp_path / "x.nc")


def test_links_and_virtual_datasets_inside_the_file_do_no_harm(tmp_path):
    def make(file):
        file["stored"] = WAVES["msl"].values
        layout = h5py.VirtualLayout(SHAPE, "f4")
        layout[:] = h5py.VirtualSource(file["stored"])
        file.create_virtual_dataset("msl", layout)
        file["again"] = h5py.SoftLink("/latitude")

    replaced(tmp_path / "x.nc", make)
    np.testing.assert_array_equal(open_data(tmp_path / "x.nc", ["msl"])["msl"], WAVES["msl"])


@pytest.mark.parametrize("kind", ["circle", "nowhere", "group"])
def test_links_that_the_library_would_stumble_over(tmp_path, kind):
    """A group inside itself ends the process by a signal."""

    def make(file):
        group = file.create_group("g")
        if kind == "circle":
            group["self"] = group
        else:
            file["msl"] = h5py.SoftLink({"nowhere": "/nothing", "group": "/g"}[kind])

    replaced(tmp_path / "x.nc", make)
    with pytest.raises(DataError, match=r"inside itself|which is not a variable"):
        open_data(tmp_path / "x.nc")


def test_an_artefact_is_read_as_before(tmp_path):
    write_netcdf(WAVES, tmp_path / "x.nc")
    np.testing.assert_array_equal(read_netcdf(tmp_path / "x.nc")["msl"], WAVES["msl"])


# ---- zarr ----


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def store(path: Path, version: int) -> Path:
    WAVES.to_zarr(path, zarr_format=version, consolidated=False)
    return path


def edit(path: Path, change) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("name", ["pickle", "json2", "msgpack2", "vlen-bytes", "vlen-array", "zfpy", "no_such_codec"])
@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_a_zarr_v2_store_with_a_codec_that_is_not_known(tmp_path, name, place):
    path, mark = store(tmp_path / "x.zarr", 2), tmp_path / "mark"

    def change(document):
        document["dtype"] = "|O" if name in ("pickle", "json2", "msgpack2") else document["dtype"]
        document[place] = [{"id": name}] if place == "filters" else {"id": name}

    edit(path / "msl" / ".zarray", change)
    for chunk in (path / "msl").glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(Bomb(mark)))
    for read in (open_data, open_store):
        with pytest.raises(DataError, match=f'the array "msl" is packed by the codec "{name}"'):
            read(str(path))
    assert not mark.exists()


@pytest.mark.parametrize("name", ["numcodecs.pickle", "pickle", "vlen-bytes", "my.codec"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_zarr_v3_store_with_a_codec_that_is_not_known(tmp_path, name, inside):
    path = store(tmp_path / "x.zarr", 3)

    def change(document):
        codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": name, "configuration": {}}]
        shard = {"chunk_shape": document["chunk_grid"]["configuration"]["chunk_shape"], "codecs": codecs}
        document["codecs"] = [{"name": "sharding_indexed", "configuration": shard}] if inside else codecs

    edit(path / "msl" / "zarr.json", change)
    with pytest.raises(DataError, match=f'the array "msl" is packed by the codec "{name}"'):
        open_data(path)


@pytest.mark.parametrize("version", [2, 3])
def test_text_and_common_codecs_are_read(tmp_path, version):
    labelled = WAVES.assign_coords(expver=("time", np.array(["0001"] * 4, dtype=object)))
    labelled.to_zarr(tmp_path / "x.zarr", zarr_format=version, consolidated=False)
    np.testing.assert_array_equal(open_data(tmp_path / "x.zarr")["msl"], WAVES["msl"])


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("what", ["chunk", "array", "metadata"])
def test_a_link_out_of_a_zarr_store_is_refused(tmp_path, version, what):
    """A chunk, the folder of an array, or its metadata; a link inside the store, and to the store, are fine."""
    path, other = store(tmp_path / "x.zarr", version), store(tmp_path / "other.zarr", version)
    inner = {
        "chunk": f"msl/{'0.0.0' if version == 2 else 'c/0/0/0'}",
        "array": "msl",
        "metadata": f"msl/{'.zarray' if version == 2 else 'zarr.json'}",
    }[what]
    target = path / inner
    target.rename(path / ".kept")
    (tmp_path / "link.zarr").symlink_to(path)
    target.symlink_to(path / ".kept")
    for given in (path, tmp_path / "link.zarr"):
        np.testing.assert_array_equal(open_data(given)["msl"], WAVES["msl"])
    target.unlink()
    target.symlink_to(other / inner)
    with pytest.raises(DataError, match="leads out of the store"):
        open_data(path)


def test_a_fifo_among_the_chunks_does_not_hang(tmp_path):
    path = store(tmp_path / "x.zarr", 2)
    (path / "msl" / "0.0.0").unlink()
    os.mkfifo(path / "msl" / "0.0.0")
    with pytest.raises(DataError, match=r"is not a regular file|chunks of"):
        open_data(path)


def test_references_to_other_files_are_not_followed(tmp_path, secret):
    """kerchunk: a JSON file, or a folder with tables."""
    references = {"version": 1, "refs": {".zgroup": '{"zarr_format": 2}', "msl/0.0.0": [str(secret), 0, 100]}}
    (tmp_path / "a.json").write_text(json.dumps(references))
    WAVES.to_netcdf(tmp_path / "good.nc")
    np.testing.assert_array_equal(open_data([tmp_path / "a.json", tmp_path / "good.nc"])["msl"], WAVES["msl"])
    folder = tmp_path / "refs"
    folder.mkdir()
    (folder / ".zmetadata").write_text(json.dumps({"metadata": {".zgroup": {"zarr_format": 2}}, "record_size": 1000}))
    with pytest.raises(DataError, match="is a reference store"):
        open_data(folder)
