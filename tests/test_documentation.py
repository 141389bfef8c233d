"""Every Python block of the documentation runs as it stands, every TOML block is read, every verb exists."""

import inspect
import re
import shutil
import tomllib
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

import pinnwx
from pinnwx.commands import reference
from pinnwx.commands.app import app
from pinnwx.config import parse_config
from pinnwx.data.archive import Archive
from pinnwx.forecasting.runs import Run, new_run
from pinnwx.forecasting.trained_model import TrainedModel

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = "runs/quick"  # what the pages call it
RUN_FROM_THE_WHEEL = (ROOT / "README.md", ROOT / "docs" / "how-to" / "extend.md")  # by test_wheel.py


def _blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def _with(language: str, without: tuple[Path, ...] = ()):
    pages = [page for page in PAGES if _blocks(page, language) and page not in without]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.relative_to(ROOT).as_posix())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working folder as the pages take it: a coarse sample, and a run of a small network that has learned nothing."""
    made = tmp_path_factory.mktemp("reader")
    text = (ROOT / "experiments" / "quick.toml").read_text(encoding="utf-8")
    text = text.replace("width = 32", "width = 4").replace("hemispheric_symmetry = true", "")
    text += "[model.climate]\nsmoothing_hours = 1\n"
    config = parse_config(text)
    fields, static, period = config.data.fields, config.data.static, config.data.train
    dataset = pinnwx.open_data(pinnwx.sample_path(), fields, static=static, grid="22.5deg")
    dataset.to_netcdf(made / "sample.nc")
    archive = Archive.from_dataset(dataset.sel(time=slice(period.start, period.end)), fields, static)
    new_run(made / RUN).publish(TrainedModel.initialise(config, archive, text), {"seed": config.seed})
    return made


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@_with("python", without=RUN_FROM_THE_WHEEL)
def test_python_blocks_run(page, folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    train = inspect.signature(pinnwx.train)

    def trained(*given, **named):
        """Stands in for `pinnwx.train`, which takes a minute: the same call gives the small model."""
        train.bind(*given, **named)
        return Run.open(folder / RUN).load()

    monkeypatch.setattr(pinnwx, "sample_path", lambda: folder / "sample.nc", raising=False)
    monkeypatch.setattr(pinnwx, "train", trained, raising=False)
    names: dict = {}
    for block in _blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)


@_with("toml")
def test_toml_blocks_are_configurations(page):
    for block in _blocks(page, "toml"):
        raw = tomllib.loads(block)
        assert raw
        if "name" in raw:
            parse_config(block, page.name)


@_with("sh")
def test_verbs_of_shell_blocks_exist(page):
    shell = "\n".join(_blocks(page, "sh")).replace("\\\n", " ")
    for line in re.findall(r"^pinnwx (.*)", shell, flags=re.MULTILINE):
        words = line.partition("#")[0].split()
        command = typer.main.get_command(app)
        while isinstance(command, TyperGroup):
            command = command.commands[words.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_the_command_line_reference_has_every_option():
    text = reference.reference()
    for name, _ in reference.verbs():
        section = text.partition(f"\n## pinnwx {name}\n")[2].partition("\n## ")[0]
        options = set(re.findall(r"^\| `(--[a-z-]+)", section, flags=re.MULTILINE))
        known = CliRunner().invoke(app, [*name.split(), "--help"], terminal_width=200).output
        assert options == set(re.findall(r"^ +(--[a-z-]+)", known, flags=re.MULTILINE)) - {"--help"}, name
        assert f"| [`{name}`](#pinnwx-{name.replace(' ', '-')}) |" in text
    assert "| `--hours <number>` | `120` |" in text
    assert "| `FORECASTS...` | required |" in text


def test_the_table_of_verbs_in_the_readme_is_that_of_the_commands():
    """After a change: python -m pinnwx.commands.reference README.md"""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page == reference.with_table(page)
    assert page.count("| `") == len(list(reference.verbs())) > 20


def test_help_names_nothing_outside_the_wheel():
    for name, _ in reference.verbs():
        text = CliRunner().invoke(app, [*name.split(), "--help"]).output
        assert not re.search(r"README|(docs|scripts|experiments|notebooks|tests)/", text), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_pages_name_exist(page):
    for path in re.findall(
        r"`?((?:scripts|experiments|data|notebooks)/[\w./]+\.\w+)", page.read_text(encoding="utf-8")
    ):
        assert (ROOT / path).exists(), path
