"""The README's Python is run as it stands, and the commands it names exist."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.slow
def test_the_python_block_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    (block,) = _blocks("python")
    exec(compile(block, "README.md", "exec"), {})
    temperatures, ratio = capsys.readouterr().out.strip().splitlines()[-2:]
    assert re.fullmatch(r"[\[\]\-\d. ]+", temperatures)
    assert 0 < float(ratio) < 1.5


def test_every_verb_in_the_shell_blocks_exists():
    from pinnwx.cli import app

    verbs = set(re.findall(r"^pinnwx (\w+)", "\n".join(_blocks("sh")), flags=re.MULTILINE))
    assert verbs
    for verb in verbs:
        assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0


def test_every_file_it_names_exists():
    for path in re.findall(r"`?((?:scripts|experiments|data)/[\w./]+\.\w+)", README):
        assert (ROOT / path).exists(), path
