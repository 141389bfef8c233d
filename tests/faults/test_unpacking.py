"""A chunk of a zarr store that unpacks to far more than its array declares is refused before it takes the memory."""

import json
import struct
import tracemalloc

import google_crc32c
import numcodecs
import numpy as np
import pytest
import zarr
import zarr.codecs.numcodecs as old_codecs
from servers import serving
from synthetic import wave_dataset

import pinnwx
from pinnwx.data.open import check_data, open_data
from pinnwx.data.unpacking import PACKING, unpack
from pinnwx.errors import DataError, UnavailableError

WAVES = wave_dataset(4)[["msl"]]  # 8 x 16 points
LARGE, MORE = 2**23, 2**25  # bytes
NEW = {"blosc": zarr.codecs.BloscCodec(), "gzip": zarr.codecs.GzipCodec(), "zstd": zarr.codecs.ZstdCodec()}
pytestmark = pytest.mark.filterwarnings("ignore:.*Zarr (V|v)ersion 3")


def store(path, codec: str, version: int, *, shards=None, filters=None, values=WAVES):
    """Analyses whose `msl` is packed by a codec; returns the file of its second step."""
    values.drop_vars("msl").to_zarr(path, zarr_format=version, consolidated=False)
    if version == 2:
        packed = numcodecs.get_codec({"id": codec})
    else:
        packed = NEW.get(codec) or getattr(old_codecs, {"zlib": "Zlib"}.get(codec, codec.upper()))()
    dims = values["msl"].dims
    naming = {"attributes": {"units": "Pa"}, "dimension_names": dims}
    if version == 2:
        naming = {"attributes": {"units": "Pa", "_ARRAY_DIMENSIONS": dims}, "filters": filters}
    array = zarr.create_array(
        store=str(path), name="msl", shape=values["msl"].shape, dtype="float32", chunks=(1, 8, 16), shards=shards,
        compressors=packed, fill_value=np.nan, zarr_format=version, **naming,
    )  # fmt: skip
    array[:] = values["msl"].values
    return path / "msl" / ("1.0.0" if version == 2 else "c/1/0/0")


def packed_zeros(codec: str, size: int = LARGE) -> bytes:
    return bytes(numcodecs.get_codec({"id": codec}).encode(np.zeros(size, "u1")))


def zstd_of_no_stated_size(size: int) -> bytes:
    """Blocks of one repeated byte, 2^17 of it each, as a program writes that does not know how much will come."""
    blocks = [(2**20 | 2 | (at + 2**17 >= size)).to_bytes(3, "little") + b"a" for at in range(0, size, 2**17)]
    return bytes.fromhex("28b52ffd 00 38") + b"".join(blocks)


def refused(path, size: str = "") -> None:
    words = rf'"msl" has a chunk that unpacks to {size}.*more than the [\d,]+ .*: fetch it'
    with pytest.raises(DataError, match=words):
        open_data(path)
    assert not check_data(path).ok


@pytest.mark.parametrize("codec", [*sorted(PACKING), "zstd of no stated size"])
def test_what_is_refused_takes_no_memory(codec):
    content = zstd_of_no_stated_size(MORE) if codec.startswith("zstd of") else packed_zeros(codec, MORE)
    tracemalloc.start()
    with pytest.raises(DataError, match='"msl" has a chunk'):
        unpack(np.frombuffer(content, "u1"), 2**16, {"id": codec.split()[0]}, "msl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MORE / 3  # the dictionary of LZMA alone has 8 MiB


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("codec", sorted(PACKING))
def test_a_chunk_that_unpacks_to_more_is_refused(tmp_path, codec, version):
    chunk = store(tmp_path / "x.zarr", codec, version)
    np.testing.assert_array_equal(open_data(tmp_path / "x.zarr")["msl"], WAVES["msl"])
    chunk.write_bytes(packed_zeros(codec))
    assert chunk.stat().st_size < LARGE / 100
    refused(tmp_path / "x.zarr", f"{LARGE:,} bytes" if codec in ("blosc", "lz4") else "")


def test_zstd_that_does_not_say_its_size(tmp_path):
    chunk = store(tmp_path / "x.zarr", "zstd", 3)
    chunk.write_bytes(zstd_of_no_stated_size(512))
    with pytest.raises(DataError, match="msl"):  # 1.6e20 Pa: it is unpacked
        open_data(tmp_path / "x.zarr")
    chunk.write_bytes(zstd_of_no_stated_size(LARGE))
    refused(tmp_path / "x.zarr")


def test_a_second_frame_of_zstd_and_a_second_member_of_gzip_count(tmp_path):
    for codec in ("zstd", "gzip"):
        chunk = store(tmp_path / codec, codec, 2)
        whole = chunk.read_bytes()
        chunk.write_bytes(whole + packed_zeros(codec))
        refused(tmp_path / codec)


def test_an_inner_chunk_of_a_shard(tmp_path):
    """Its index tells where the bomb stands: behind the shard that was written."""
    shard = store(tmp_path / "x.zarr", "gzip", 3, shards=(2, 8, 16))
    content, bomb = shard.read_bytes(), packed_zeros("gzip")
    entries = bytearray(content[-36:-4])
    struct.pack_into("<QQ", entries, 0, len(content), len(bomb))
    shard.write_bytes(content + bomb + entries + struct.pack("<I", google_crc32c.value(bytes(entries))))
    refused(tmp_path / "x.zarr")


def test_a_filter_that_packs_and_one_that_widens(tmp_path):
    """A stage of the codecs may hold the largest type among them, and no more."""
    doubles = [numcodecs.AsType("f8", "f4"), numcodecs.Zlib()]
    chunk = store(tmp_path / "x.zarr", "zstd", 2, filters=doubles)
    np.testing.assert_array_equal(open_data(tmp_path / "x.zarr")["msl"], WAVES["msl"])
    chunk.write_bytes(numcodecs.get_codec({"id": "zstd"}).encode(packed_zeros("zlib")))
    refused(tmp_path / "x.zarr")
    path = tmp_path / "x.zarr" / "msl" / ".zarray"
    document = json.loads(path.read_text())
    document["filters"] = [{"id": "astype", "encode_dtype": "|u1", "decode_dtype": "<U10000000"}]
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match='codec "astype" of the array "msl" produces values of more than 16 bytes'):
        open_data(tmp_path / "x.zarr")


@pytest.mark.parametrize("version", [2, 3])
def test_texts_that_are_not_there(tmp_path, version):
    """Four bytes declare 100 million texts, for each of which the library takes a pointer."""
    labelled = WAVES.assign_coords(expver=("time", np.array(["0001"] * 4, dtype=object)))
    labelled.to_zarr(tmp_path / "x.zarr", zarr_format=version, consolidated=False)
    np.testing.assert_array_equal(open_data(tmp_path / "x.zarr")["msl"], WAVES["msl"])
    (chunk,) = (path for path in (tmp_path / "x.zarr" / "expver").rglob("*") if path.name == "0")
    chunk.write_bytes(
        bytes(numcodecs.get_codec({"id": "zstd" if version == 3 else "blosc"}).encode(struct.pack("<I", 10**8)))
    )
    with pytest.raises(DataError, match=r'"expver" has a chunk that unpacks to 800,000,000 bytes'):
        open_data(tmp_path / "x.zarr")


@pytest.mark.parametrize("version", [2, 3])
def test_a_chunk_file_that_is_larger_than_any_of_its_shape(tmp_path, version):
    """A sparse file takes no disk, and would be read whole."""
    chunk = store(tmp_path / "x.zarr", "zlib", version)
    with chunk.open("r+b") as file:
        file.truncate(LARGE)
    with pytest.raises(
        DataError, match=rf'"msl/.*" of the store has {LARGE:,} bytes, more than the [\d,]+ that it can'
    ):
        open_data(tmp_path / "x.zarr")


def test_a_store_behind_http(tmp_path, monkeypatch):
    chunk = store(tmp_path / "x.zarr", "gzip", 3)
    zarr.consolidate_metadata(str(tmp_path / "x.zarr"))
    chunk.write_bytes(packed_zeros("gzip"))
    monkeypatch.setattr("pinnwx.sources.retry.FIRST_PAUSE", 0.0)
    with serving(tmp_path, {}) as (url, _), pytest.raises(UnavailableError, match='"msl" has a chunk that unpacks'):
        pinnwx.fetch(f"{url}/x.zarr", tmp_path / "out", fields=["msl"], start="2026-01-01", end="2026-01-03")


@pytest.mark.parametrize(
    "dtype",
    [{"name": "fixed_length_utf32", "configuration": {"length_bytes": 2**40}}, "r8796093022208"],
)
def test_types_of_many_bytes(tmp_path, dtype):
    """A single value does not fit into memory."""
    store(tmp_path / "x.zarr", "zstd", 3)
    path = tmp_path / "x.zarr" / "msl" / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_type": dtype}))
    with pytest.raises(DataError, match=r"msl is stored in chunks of .* GiB of memory; this machine has"):
        open_data(tmp_path / "x.zarr")
