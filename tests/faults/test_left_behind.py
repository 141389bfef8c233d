"""What killed jobs leave half-written is known by its lock, not by the number of a process or a machine's name."""

import errno
import fcntl
import logging
import os
import time
from pathlib import Path

import pytest

from pinnwx.errors import LockedError
from pinnwx.files import appearing, check_writable, locked, replacing
from pinnwx.temporary import beside, remove_orphans

LEFT = (
    ".f.0123456789abcdef.pinnwx.tmp.nc",
    ".f.other-container.1.0123abcd.tmp.nc",  # as earlier versions named it, on a machine that is no more
    f".f.other-container.{os.getpid()}.0123abcd.tmp.nc",  # a process of this number lives, but not the one meant
    ".0002.0123456789abcdef.pinnwx.tmp",
)
FOREIGN = (".mine.tmp.nc", ".f.nc.tmp", "f.0123456789abcdef.pinnwx.tmp", ".f.nc.0123456789abcdef")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def no_locks(monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)


def test_what_containers_left_is_removed(tmp_path):
    for name in (*LEFT[:3], *FOREIGN):
        (tmp_path / name).write_text("half")
    (tmp_path / LEFT[3]).mkdir()
    (tmp_path / LEFT[3] / "weights").write_text("half")
    check_writable(tmp_path / "f.nc")
    assert names(tmp_path) == set(FOREIGN)


def test_what_another_job_writes_stays(tmp_path, monkeypatch):
    """Even where it has the number of a process that is dead here, as jobs of another container have."""
    monkeypatch.setattr(os, "getpid", lambda: 2**22 + 1)
    with replacing(tmp_path / "f.nc") as file, appearing(tmp_path / "0002") as folder:
        file.write_text("half")
        (folder / "weights").write_text("half")
        remove_orphans(tmp_path)
        assert names(tmp_path) == {file.name, folder.name}
        file.write_text("whole")
    assert names(tmp_path) == {"f.nc", "0002"}
    assert (tmp_path / "f.nc").read_text() == "whole"
    remove_orphans(tmp_path)
    assert names(tmp_path) == {"f.nc", "0002"}


@pytest.mark.parametrize("folder", [False, True])
def test_a_name_taken_before_it_was_locked_is_made_anew(tmp_path, monkeypatch, folder):
    """Between its making and its locking another job may take it for an orphan."""
    flock, taken = fcntl.flock, []

    def late(handle, how):
        if not taken:
            taken.append(next(tmp_path.iterdir()))
            taken[0].rmdir() if folder else taken[0].unlink()
        return flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with beside(tmp_path / "f.nc", folder=folder) as temporary:
        assert names(tmp_path) == {temporary.name}
        assert temporary != taken[0]


def test_links_are_not_followed(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "kept.nc").write_text("kept")
    (tmp_path / LEFT[3]).symlink_to(tmp_path / "data")
    remove_orphans(tmp_path)
    assert LEFT[3] in names(tmp_path), "a link may have been made just now"
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(tmp_path / LEFT[3], (long_ago, long_ago), follow_symlinks=False)
    remove_orphans(tmp_path)
    assert names(tmp_path) == {"data"}
    assert (tmp_path / "data" / "kept.nc").read_text() == "kept"


def test_where_there_are_no_locks_nothing_young_is_removed(tmp_path, no_locks, caplog):
    with replacing(tmp_path / "f.nc") as file:
        file.write_text("half")
        old = tmp_path / LEFT[0]
        old.write_text("half")
        os.utime(old, (0, 0))
        with caplog.at_level(logging.WARNING):
            remove_orphans(tmp_path)
        assert names(tmp_path) == {file.name}
    assert "supports no locks (Function not implemented)" in caplog.text
    assert names(tmp_path) == {"f.nc"}


@pytest.mark.filterwarnings("ignore")
def test_an_old_lock_where_there_are_no_locks_says_the_way_out(tmp_path, no_locks):
    (tmp_path / ".lock").touch()
    with (
        pytest.raises(
            LockedError, match=r"supports no locks \(Function not implemented\); remove .*\.lock when no job"
        ),
        locked(tmp_path / ".lock", "run"),
    ):
        pass


def test_a_folder_that_is_missing_is_said_at_once(tmp_path):
    with pytest.raises(FileNotFoundError), beside(tmp_path / "absent" / "f.nc"):
        pass
