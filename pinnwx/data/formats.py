"""Recognises the format of a file by its first bytes, never by its name."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

READ = ("netCDF-3", "netCDF-4", "GRIB", "zarr", "ZIP")
HEAD = 4096  # bytes looked at
_GRIDDED = {".nc", ".nc4", ".nc3", ".netcdf", ".cdf", ".grib", ".grib1", ".grib2", ".grb", ".grb1", ".grb2"}
_UNPACK = "unpack it first"
_AGAIN = "fetch it again"
_CONVERT = "convert it to netCDF first"
_OTHER = "give the netCDF, GRIB or zarr files"

_BUFR = ("BUFR, which holds observations", _OTHER)

# (offset, bytes, what it is, what to do)
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SIGNATURES = (
    (0, b"CDF\x01", "netCDF-3", ""),
    (0, b"CDF\x02", "netCDF-3", ""),
    (0, b"CDF\x05", "netCDF-3", ""),
    (0, _HDF5, "netCDF-4", ""),
    (0, b"GRIB", "GRIB", ""),
    (0, b"PK\x03\x04", "ZIP", ""),
    (0, b"PK\x05\x06", "an empty ZIP archive", _AGAIN),
    (0, b"\x1f\x8b", "a gzip archive", f"{_UNPACK} (gunzip, or tar xzf)"),
    (0, b"BZh", "a bzip2 archive", f"{_UNPACK} (bunzip2, or tar xjf)"),
    (0, b"\xfd7zXZ\0", "an xz archive", f"{_UNPACK} (unxz, or tar xJf)"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", f"{_UNPACK} (unzstd)"),
    (0, b"\x04\x22\x4d\x18", "an LZ4 archive", f"{_UNPACK} (unlz4)"),
    (0, b"\x1f\x9d", "a compress archive", f"{_UNPACK} (uncompress)"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", f"{_UNPACK} (7z x)"),
    (0, b"Rar!", "a RAR archive", f"{_UNPACK} (unrar x)"),
    (257, b"ustar", "a tar archive", f"{_UNPACK} (tar xf)"),
    (0, b"\x0e\x03\x13\x01", "HDF4", "convert it to netCDF-4, with h4tonccf_nc4 or the like, first"),
    (0, b"BUFR", *_BUFR),
    (0, b"\x89PNG", "a PNG picture", _OTHER),
    (0, b"\xff\xd8\xff", "a JPEG picture", _OTHER),
    (0, b"GIF8", "a GIF picture", _OTHER),
    (0, b"II*\0", "a TIFF picture", _CONVERT),
    (0, b"MM\0*", "a TIFF picture", _CONVERT),
    (0, b"%PDF", "a PDF document", _OTHER),
    (0, b"PAR1", "a Parquet table", _OTHER),
    (0, b"ARROW1", "an Arrow table", _OTHER),
    (0, b"\x93NUMPY", "a NumPy array", _CONVERT),
    (0, b"SQLite format 3", "an SQLite database", _OTHER),
    (0, b"\x7fELF", "a program", _OTHER),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file it stands for", "run git lfs pull"),
)  # fmt: skip


@dataclass(frozen=True)
class Format:
    """The format of a file: one of `READ`, or a description of another format, with a remedy."""

    name: str
    remedy: str = ""

    @property
    def is_read(self) -> bool:
        return self.name in READ

    @property
    def is_archive(self) -> bool:
        """Whether it may contain gridded data after unpacking."""
        return self.remedy.startswith(_UNPACK)

    @property
    def refusal(self) -> str:
        kind = self.name if self == EMPTY else f"not netCDF, GRIB or zarr but {self.name}"
        return f"{kind}; {self.remedy}"


EMPTY = Format("the file is empty", _AGAIN)


def identify(path: Path) -> Format:
    """The format of a regular file, or of a folder, which must be a zarr store.

    Raises:
        OSError: the file cannot be read, or is no longer a regular file.
    """
    if path.is_dir():
        return Format("zarr")
    with open_regular(path) as file:
        head = file.read(HEAD)
        kind = format_of(head)
        is_known = kind.name in {name for _, _, name, _ in _SIGNATURES}
        return kind if is_known or not _is_hdf5_inside(file) else Format("netCDF-4")


def named_like_gridded_data(path: Path) -> bool:
    return path.suffix.lower() in _GRIDDED


def open_regular(path: Path) -> BinaryIO:
    """Opens a regular file for reading; never blocks on a FIFO or a device.

    Raises:
        OSError: it cannot be opened, or is not a regular file.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(handle, "rb")


def _is_hdf5_inside(file: BinaryIO) -> bool:
    """Whether the HDF5 signature follows a user block of 512, 1024, 2048, ... bytes."""
    size, start = os.fstat(file.fileno()).st_size, 512
    while start + len(_HDF5) <= size:
        file.seek(start)
        if file.read(len(_HDF5)) == _HDF5:
            return True
        start *= 2
    return False


def format_of(head: bytes) -> Format:
    if not head:
        return EMPTY
    start = head.find(b"GRIB")  # a bulletin header may precede it
    if start >= 0 and head[start + 7 : start + 8] in (b"\1", b"\2"):
        return Format("GRIB")
    for start, signature, name, remedy in _SIGNATURES:
        if head.startswith(signature, start):
            return Format(name, remedy)
    start = head.find(b"BUFR")
    if start >= 0 and head[start + 7 : start + 8] in (b"\2", b"\3", b"\4"):
        return Format(*_BUFR)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head.strip(b"\0"):
        return Format("only zero bytes, as after an interrupted copy", _AGAIN)
    if text.startswith(b"<"):
        return Format("an HTML page" if b"<html" in text[:512].lower() else "an XML document", _AGAIN)
    if text[:1] in (b"{", b"["):
        if b'"refs"' in text or b'"kerchunk' in text:
            return Format("a reference file, which points to other files", "give those files")
        return Format("JSON", "is it an error message of a server?")
    if not any(byte < 32 and byte not in b"\t\r\n\f\x1b" for byte in head):
        return Format("text", _OTHER)
    return Format(f"something that starts with {head[:8]!r}", _OTHER)
