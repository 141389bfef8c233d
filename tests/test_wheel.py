"""The wheel is complete: README's Python and the extension page run where nothing else of pinnwx is installed."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """The interpreter of an environment that holds the wheel, and the packages that pinnwx depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(folder), str(ROOT)], check=True, timeout=300)
    (wheel,) = folder.glob("pinnwx-*.whl")
    environment = folder / "environment"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    # A line of a .pth file is a folder to import from. The .pth files of that folder, such as the one of an editable
    # installation, are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / "python"


def _run(python: Path, program: str, folder: Path) -> str:
    """What the program prints. It runs in `folder`."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(python), "-c", program]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def _python_of(page: str) -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))


def test_it_is_the_wheel_that_is_imported(python, tmp_path):
    place = _run(python, "import pinnwx; print(pinnwx.__file__)", tmp_path).strip()
    assert Path(place).is_relative_to(python.parent.parent)


@pytest.mark.slow
def test_the_readme_runs(python, tmp_path):
    """With a quarter of a minute of training instead of one."""
    program = _python_of("README.md")
    assert "minutes=1)" in program
    shown = "\nprint(sorted({score['variable'] for score in scores.scores}))\nprint(float(forecast['t850'].mean()))"
    variables, temperature = _run(python, program.replace("minutes=1)", "minutes=0.25)") + shown, tmp_path).splitlines()
    assert "t850" in variables
    assert 240 < float(temperature) < 310
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_the_extension_page_runs(python, tmp_path):
    shown = _run(python, _python_of("docs/how-to/extend.md"), tmp_path)
    assert "['__main__.Convolutions', '__main__.SeaRelaxation', '__main__.ZonalMeanWind']" in shown
    assert "rossby_haurwitz: 4 (__main__.RossbyHaurwitz)" in shown
