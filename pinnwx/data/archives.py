"""ZIP archives of gridded files, as the Climate Data Store writes them: what is inside is read as if it were beside.

An archive from a stranger may unpack to any size, and its names may point anywhere. So members are unpacked into a
private folder under names of our own, and only as many bytes as the disk and common sense allow.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from pinnwx.data.find import InputFile
from pinnwx.data.formats import HEAD, format_of, named_like_gridded_data
from pinnwx.errors import DataError, OutputError

_MOST_TIMES = 200  # larger than its packed size: fields seldom reach 20, a bomb has 1,000
_HARMLESS = 2**26  # bytes of a member that may be packed as well as it likes
_ENCRYPTED = 1
_INSIDE = ("netCDF-3", "netCDF-4", "GRIB")


def unpacked(file: InputFile, stack: ExitStack) -> list[InputFile]:
    """The netCDF and GRIB files inside, unpacked for as long as `stack` is open.

    Raises:
        DataError: it holds a zarr store, is encrypted or packed by an unknown method, unpacks to an absurd size, or is
            named like gridded data and holds none.
        OutputError: the temporary folder has no room for it.
        zipfile.BadZipFile, OSError, EOFError: it is damaged.
    """
    with zipfile.ZipFile(file.path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        names = [PurePosixPath(member.filename).name for member in members]
        if {".zarray", ".zgroup", "zarr.json"} & set(names):
            raise DataError("is a ZIP archive that holds a zarr store; unpack it first")
        try:
            wanted = [member for member in members if _head_format(archive, member) in _INSIDE]
            if not wanted and (named_like_gridded_data(file.path) or file.named):
                raise DataError(f"is a ZIP archive without netCDF or GRIB files; it holds {_listed(names)}")
            folder = _folder_for(wanted, stack) if wanted else Path()
            return [_unpack(archive, member, folder / str(index), file) for index, member in enumerate(wanted)]
        except NotImplementedError as error:
            raise DataError(f"is a ZIP archive that Python cannot unpack ({error}); unpack it first") from error


def _head_format(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    if member.flag_bits & _ENCRYPTED:
        raise DataError("is an encrypted ZIP archive; unpack it first")
    with archive.open(member) as content:
        return format_of(content.read(HEAD)).name


def _folder_for(members: list[zipfile.ZipInfo], stack: ExitStack) -> Path:
    for member in members:
        if member.file_size > max(_HARMLESS, _MOST_TIMES * member.compress_size):
            raise DataError(
                f"{member.filename} unpacks from {member.compress_size:,} bytes to {member.file_size:,}, more than "
                f"{_MOST_TIMES} times as many; unpack the archive first if that is true"
            )
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pinnwx-")))
    needed, free = sum(member.file_size for member in members), shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"unpacking needs {needed:,} bytes in {folder.parent}, which has {free:,} left; "
            "set TMPDIR to a larger place"
        )
    return folder


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, file: InputFile) -> InputFile:
    try:
        with archive.open(member) as content, target.open("xb") as copy:
            shutil.copyfileobj(content, copy)  # never more than `file_size`; the checksum is compared at the end
    except OSError as error:
        raise OutputError(f"cannot unpack {file.path.name} into {target.parent}: {error.strerror or error}") from error
    return InputFile(target, file.named, (file.shown or file.path) / PurePosixPath(member.filename).name)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"
