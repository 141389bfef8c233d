"""Finds the files that paths name; only regular files and zarr stores are opened.

A path that the user names must be readable. An unreadable entry of a folder or of a pattern (a broken link, a folder
without permission, a FIFO, a device) is skipped with a finding.
"""

from __future__ import annotations

import contextlib
import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from pinnwx.data.check_report import Findings, Severity
from pinnwx.errors import MissingInputError

Paths = str | os.PathLike | Iterable[str | os.PathLike]

ZARR_MARKS = frozenset((".zgroup", ".zmetadata", "zarr.json", ".zarray"))
_UNFINISHED = {".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download", ".incomplete"}
_LONGEST = 200  # characters of a path that are shown
_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
_NO_DATA = {
    "proc", "sysfs", "devtmpfs", "devpts", "debugfs", "tracefs", "cgroup", "cgroup2", "securityfs", "pstore", "bpf",
    "configfs", "mqueue", "fusectl", "binfmt_misc", "nsfs", "efivarfs", "selinuxfs", "rpc_pipefs",
}  # fmt: skip


@dataclass(frozen=True)
class InputFile:
    """`path` is opened; `shown` is the path for messages, if it differs.

    `named` is true if the user gave this path, and false if it comes from a folder or a pattern.
    """

    path: Path
    named: bool = False
    shown: Path | None = None

    @property
    def label(self) -> str:
        """The name of the folder and of the file."""
        shown = self.shown or self.path
        return f"{shown.parent.name}/{shown.name}".lstrip("/")


class _Unusable(Exception):
    """The reason why a path is not read, and the severity of that for a path that the user did not name."""

    def __init__(self, severity: Severity, reason: str):
        super().__init__(reason)
        self.severity: Severity = severity


def find_files(paths: Paths, findings: Findings) -> tuple[InputFile, ...]:
    """Files and zarr stores from files, globs and folders (searched recursively); unique, and sorted within a path.

    Hidden files and folders are skipped without a finding. Unreadable files and unfinished downloads are skipped with a
    finding.

    Raises:
        MissingInputError: a path cannot be read or is no regular file, a glob matches nothing, or there is no path.
    """
    entries = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    files: dict[str, InputFile] = {}
    for entry in entries:
        text = os.path.expanduser(os.fspath(entry))  # noqa: PTH111 - pathlib raises for an unknown user
        if not text or "\0" in text:
            raise MissingInputError("a path is empty or contains a null byte; is a variable of a script not set?")
        if _is_pattern(text):
            for real, file in _matching(text, findings):
                files.setdefault(real, InputFile(file))
            continue
        path = Path(text)
        try:
            for real, file in _walk(path, findings):
                files.setdefault(real, InputFile(file, named=file == path))
        except _Unusable as error:
            raise MissingInputError(f"{_shortened(text)}: {error}") from error
    if not files:
        reasons = "".join(f"; {problem}" for problem in findings[:3])
        raise MissingInputError(f"no files in {', '.join(map(str, entries)) or 'an empty list of paths'}{reasons}")
    return tuple(files.values())


def _is_pattern(text: str) -> bool:
    return any(character in text for character in "*?[") and not os.path.lexists(text)


def _matching(text: str, findings: Findings) -> Iterator[tuple[str, Path]]:
    """Files and stores at and below the matches of a pattern, sorted.

    "**" is matched here, because `glob` follows links in it and never ends if two links form a cycle.

    Raises:
        MissingInputError: nothing matches.
    """
    parts = Path(text).parts
    if "**" in parts:
        fixed = next(index for index, part in enumerate(parts) if any(character in part for character in "*?["))
        tops, pattern = [Path(*parts[:fixed])], parts[fixed:]
    else:
        fixed, pattern = 0, ()
        tops = [Path(match) for match in sorted(glob.glob(text))]  # noqa: PTH207 - pathlib refuses absolute patterns
    matched = False
    for top in tops:
        try:
            for real, file in _walk(top, findings):
                if _fits(file.parts[fixed:], pattern):
                    matched = True
                    yield real, file
        except _Unusable as error:
            matched = True
            _skip(top, error, findings)
    if not matched:
        raise MissingInputError(f"{_shortened(text)}: no such file or folder")


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path, or one of its parent folders, matches a pattern; "**" stands for any number of folders."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_fits(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _walk(top: Path, findings: Findings) -> Iterator[tuple[str, Path]]:
    """(real path, path) of each file and zarr store at and below `top`, depth first.

    A list replaces recursion, because folders may be nested deeper than the stack of the interpreter. Each folder is
    entered once, even if links lead to it again.

    Raises:
        _Unusable: `top` itself cannot be read.
    """
    entered: set[str] = set()
    waiting = [(os.path.realpath(top), top)]
    while waiting:
        real, path = waiting.pop()
        try:
            entries = _entries(path)
        except _Unusable as error:
            if path == top:
                raise
            _skip(path, error, findings)
            continue
        if entries is None or ZARR_MARKS.intersection(entry.name for entry in entries):
            yield real, path
        elif real not in entered:
            entered.add(real)
            for entry in sorted(entries, key=lambda entry: entry.name, reverse=True):
                if not entry.name.startswith("."):
                    child = path / entry.name
                    waiting.append((os.path.realpath(child) if entry.is_symlink() else f"{real}/{entry.name}", child))


def _entries(path: Path) -> list[os.DirEntry[str]] | None:
    """The entries of a folder; None for a regular file.

    Raises:
        _Unusable: the path is neither a file nor a folder, or it cannot be read.
    """
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise _Unusable("note", f"is {_KINDS.get(stat.S_IFMT(status.st_mode), 'special')}, not a regular file")
        if status.st_dev in _devices_without_data():
            raise _Unusable("note", "is a system file and holds no data")
        if stat.S_ISDIR(status.st_mode):
            with os.scandir(path) as entries:
                return list(entries)
    except OSError as error:
        raise _Unusable("warning", _why(path, error)) from error
    if path.suffix.lower() in _UNFINISHED:
        raise _Unusable("note", f"has the suffix {path.suffix} of an unfinished download; rename it when complete")
    return None


def _why(path: Path, error: OSError) -> str:
    """The reason why `stat` or `scandir` failed."""
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return f"is a link to {path.readlink()}, which does not exist"
        return "no such file or folder"
    return f"cannot be read ({error.strerror})"


def _skip(path: Path, error: _Unusable, findings: Findings) -> None:
    findings.add(error.severity, f"skipped: {error}", InputFile(path).label)


@cache
def _devices_without_data() -> frozenset[int]:
    """The device numbers of `/proc`, `/sys` and the like; their files may be endless, or block the reader."""
    devices = set()
    with contextlib.suppress(OSError, ValueError, IndexError):  # systems without this list have no /proc
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            mount, _, file_system = line.partition(" - ")
            if file_system.split()[0] in _NO_DATA:
                major, minor = mount.split()[2].split(":")
                devices.add(os.makedev(int(major), int(minor)))
    return frozenset(devices)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
