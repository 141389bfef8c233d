"""What may be among the data: only regular files are opened; what cannot be read is named, among many passed over."""

import errno
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthetic import wave_dataset

from pinnwx.data import find, formats
from pinnwx.data.open import check_data, open_data
from pinnwx.errors import DataError, MissingInputError


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with one good file."""
    made = tmp_path / "data"
    made.mkdir()
    wave_dataset(4).to_netcdf(made / "a.nc")
    return made


def said(path, severity: str) -> list[str]:
    return [str(problem) for problem in check_data(path).problems if problem.severity == severity]


def assert_passed_over(folder: Path, name: str, words: str, severity: str = "note") -> None:
    """The good file is read, and the other is named."""
    xr.testing.assert_identical(open_data(folder), open_data(folder / "a.nc"))
    assert any(name in line and words in line for line in said(folder, severity))


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        made.bind(path.name)
        os.chdir(here)


def to(target: str):
    return lambda path: path.symlink_to(target)


SPECIAL = [
    (fifo, "is a FIFO", "note"),
    (listening, "is a socket", "note"),
    (to("/dev/zero"), "is a device", "note"),
    (to("/proc"), "holds no data", "note"),
    (to("/proc/self/environ"), "holds no data", "note"),
    (to("/sys"), "holds no data", "note"),
    (to("/nonexistent/b.nc"), "is a link to /nonexistent/b.nc, which does not exist", "warning"),
    (to("b.nc"), "cannot be read (Too many levels of symbolic links)", "warning"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="the files are Linux's")
@pytest.mark.parametrize(("make", "words", "severity"), SPECIAL)
def test_what_is_no_regular_file_is_passed_over_among_many_and_refused_when_named(folder, make, words, severity):
    make(folder / "b.nc")
    assert_passed_over(folder, "b.nc", words, severity)
    with pytest.raises(MissingInputError) as caught:
        open_data(folder / "b.nc")
    assert words in str(caught.value)
    assert str(folder / "b.nc") in str(caught.value)


def test_report_20_a_link_to_nothing_is_named(folder):
    (folder / "b.nc").symlink_to("/nonexistent/b.nc")
    assert [line for line in said(folder, "warning") if "b.nc" in line] == [
        "data/b.nc: skipped: is a link to /nonexistent/b.nc, which does not exist"
    ]


@pytest.mark.parametrize("name", ["b.nc.part", "b.tmp", "b.nc.crdownload", "b.NC.PARTIAL", "b.filepart"])
def test_a_download_that_has_not_finished(folder, name):
    (folder / name).write_bytes((folder / "a.nc").read_bytes()[:5000])
    assert_passed_over(folder, name, "of an unfinished download")
    with pytest.raises(MissingInputError, match="rename it when complete"):
        open_data(folder / name)


def test_a_circle_of_links_ends(folder):
    """Two circles double the paths at every turn: a pattern that followed them would never end."""
    (folder / "deeper").mkdir()
    for number in range(3):
        (folder / "deeper" / f"back{number}").symlink_to("..")
    for path in (folder, f"{folder}/**/*.nc", f"{folder}/**", f"{folder}/deeper/*"):
        xr.testing.assert_identical(open_data(path), open_data(folder / "a.nc"))


def test_patterns_mean_what_glob_means(folder):
    """ "**" is any number of folders, none among them; what is hidden is not matched; a matched folder is searched."""
    for name in ("x/y/b.nc", "x/c.nc", "x/z.nc/d.txt", ".h/e.nc", "era5_1/f.nc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    wanted = {
        "**/*.nc": {"a.nc", "x/y/b.nc", "x/c.nc", "x/z.nc/d.txt", "era5_1/f.nc"}, "x/**/y/*": {"x/y/b.nc"},
        "**/y": {"x/y/b.nc"}, "*.nc": {"a.nc"}, "era5*": {"era5_1/f.nc"}, "x/?.nc": {"x/c.nc", "x/z.nc/d.txt"},
        "[ab].nc": {"a.nc"},
    }  # fmt: skip
    for pattern, names in wanted.items():
        found = find.find_files(f"{folder}/{pattern}", find.Findings(strict=True))
        assert {str(file.path.relative_to(folder)) for file in found} == names, pattern
        assert not any(file.named for file in found)


def test_a_folder_1200_levels_deep(folder):
    """Deeper than the stack of the interpreter; the file at the bottom is read."""
    deep = folder / "/".join(["d"] * 1200)
    try:
        for depth in range(1200):
            (folder / "/".join(["d"] * (depth + 1))).mkdir()
        (folder / "a.nc").rename(deep / "a.nc")
        assert open_data(folder).sizes["time"] == 4
        assert open_data(f"{folder}/**/*.nc").sizes["time"] == 4
    finally:
        subprocess.run(["rm", "-rf", folder / "d"], check=True)  # shutil's recursion is not deep enough


def test_folders_whose_path_is_too_long_are_named(folder):
    """A path longer than the system takes can be made step by step, but not opened."""
    here = Path.cwd()
    try:
        os.chdir(folder)
        for _ in range(30):
            Path("x" * 200).mkdir()
            os.chdir("x" * 200)
        os.chdir(here)
        assert_passed_over(folder, "x" * 200, "cannot be read (File name too long)", "warning")
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", folder / ("x" * 200)], check=True)


@pytest.mark.parametrize("path", ["x" * 300, "data/" + "y" * 300 + ".nc", "a\0b", ""])
def test_a_name_that_cannot_be(path):
    with pytest.raises(MissingInputError) as caught:
        open_data(path)
    assert len(str(caught.value)) < 400


class Failing:
    """Stands for a file system that answers some paths with an error."""

    def __init__(self, monkeypatch, module, name: str, number: int, among: str):
        self.real, self.number, self.among = getattr(module, name), number, among
        monkeypatch.setattr(module, name, self)

    def __call__(self, path, *args, **options):
        if self.among in str(path):
            raise OSError(self.number, os.strerror(self.number), str(path))
        return self.real(path, *args, **options)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_folder_that_may_not_be_entered_or_listed(folder, monkeypatch, number):
    (folder / "lost+found").mkdir()
    Failing(monkeypatch, os, "scandir", number, "lost+found")
    assert_passed_over(folder, "lost+found", f"cannot be read ({os.strerror(number)})", "warning")
    with pytest.raises(MissingInputError, match="cannot be read"):
        open_data(folder / "lost+found")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_opened(folder, monkeypatch, number):
    shutil.copy(folder / "a.nc", folder / "b.nc")
    Failing(monkeypatch, formats.os, "open", number, "b.nc")
    assert_passed_over(folder, "b.nc", f"cannot be opened ({os.strerror(number)})", "warning")
    with pytest.raises(DataError, match="cannot be opened"):
        open_data(folder / "b.nc")


def test_rights_are_respected_as_another_user_sees_them(folder):
    """As nobody, without the rights of root: a folder and a file of somebody else."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as open_to_all:  # the folders of pytest are not
        Path(open_to_all).chmod(0o755)
        see_as_nobody(folder.rename(Path(open_to_all) / "data"))


def see_as_nobody(folder):
    (folder / "lost+found").mkdir(mode=0o700)
    shutil.copy(folder / "a.nc", folder / "b.nc")
    (folder / "b.nc").chmod(0o600)
    code = (
        "import os\n"
        "from pinnwx.data.open import check_data\n"
        "import netCDF4, h5py, xarray.backends.netCDF4_\n"  # before the rights are gone
        f"os.chdir({str(folder)!r}); os.setuid(65534)\n"
        "report = check_data('.')\n"
        "print(report.steps, *(f'{p.severity}: {p}' for p in report.problems), sep='\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[0] == "4", done.stderr
    assert "warning: lost+found: skipped: cannot be read (Permission denied)" in done.stdout
    assert "warning: b.nc: skipped: cannot be opened (Permission denied)" in done.stdout


def test_an_error_of_the_disk_while_values_are_read_names_the_disk(folder, monkeypatch):
    wave_dataset(4).to_netcdf(folder / "a.nc", format="NETCDF3_64BIT")
    real = np.fromfile

    def failing(file, *args, **options):
        if "lat" not in str(args) and args[1] > 50:  # the coordinates are shorter
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(file, *args, **options)

    monkeypatch.setattr(np, "fromfile", failing)
    with pytest.raises(DataError, match=r"Input/output error.*check the disk") as caught:
        open_data(folder)
    assert "fetch it again" not in str(caught.value)
