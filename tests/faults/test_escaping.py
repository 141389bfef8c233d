"""Text that a file chose is shown as text: it moves no cursor, forges no line and crashes no picture."""

import io
import json
import logging
import unicodedata

import numpy as np
import pytest
import rich.console
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from synthetic import wave_dataset
from verbs import INIT, pinnwx

from pinnwx.errors import DataError, PinnwxError
from pinnwx.jobs.status import status
from pinnwx.reporting.page import Section, Table, page
from pinnwx.reporting.style import save
from pinnwx.terminal.table import Console, print_table
from pinnwx.text import printable

ESCAPE = "\x1b]0;owned\x07\x1b[2J"
HARMFUL = [
    ESCAPE, "a\nPINNWX: all is well", "a\r\rall is well", "\u202egnp.exe", "a\u2028b", "\x9b31m", "\ud800", "\x00",
    "\x7f", "\u2066hidden\u2069", "\ufeff", "\u200bzero", "a\tb\vc\fd", "\U000e0041tag", "[red]x[/red] [/] [link=http://x]y",
]  # fmt: skip


def harmless(text: str) -> bool:
    """Nothing that a terminal obeys; the line break at its end is ours."""
    return all(unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in text.removesuffix("\n"))


@pytest.mark.parametrize("text", HARMFUL)
def test_a_text_is_one_harmless_line(text):
    assert harmless(printable(text))
    assert harmless(str(DataError(f"units {text} are none")))
    if text.startswith("["):
        assert printable(text) == text


@given(st.text())
def test_what_people_write_stays_as_it_is(text):
    shown = printable(text)
    assert harmless(shown)
    assert (shown == text) == all(unicodedata.category(each)[0] != "C" and each not in "\u2028\u2029" for each in text)


def test_letters_of_all_scripts_stay():
    for text in ("Luftdruck auf Meereshöhe", "気温", "درجة", "m² s⁻² µ °C", "hPa\xa010", "気温\u3000偏差"):
        assert printable(text) == text


def test_a_long_message_keeps_its_beginning_and_its_remedy():
    shown = str(PinnwxError("units " + "x" * 100_000 + " are unknown; convert them first"))
    assert len(shown) < 5000
    assert shown.startswith("units xxx")
    assert shown.endswith("are unknown; convert them first")


@pytest.mark.parametrize("text", HARMFUL)
def test_what_a_table_and_a_line_show(text):
    shown = io.StringIO()
    console = Console(file=shown, width=400)
    assert isinstance(console, rich.console.Console)
    console.print(f"{text} :smile:")
    print_table(console, ("heading",), [(text,)])
    lines = shown.getvalue().splitlines()
    assert len(lines) == 3, "one line, a heading, a row"
    assert all(map(harmless, lines))
    assert lines[0] == f"{printable(text)} :smile:"
    assert lines[2].strip() == printable(text).strip()


def test_what_is_logged_is_one_line(capsys):
    from pinnwx.commands.printing import notices_shown

    with notices_shown():
        logging.getLogger("pinnwx.somewhere").warning("warning: units %s", ESCAPE + "\nforged")
    assert capsys.readouterr().err == "pinnwx: warning: units " + printable(ESCAPE + "\nforged") + "\n"


@pytest.mark.parametrize("place", ["units", "calendar", "name", "value"])
def test_a_data_file_cannot_speak_to_the_terminal(run, tmp_path, place):
    text = f"{ESCAPE}\npinnwx: wrote f.nc\u202e"
    dataset = wave_dataset(12)
    path = tmp_path / (f"x{ESCAPE.replace('/', '')}\n.nc" if place == "name" else "x.nc")
    if place == "units":
        dataset["msl"].attrs["units"] = text
    elif place == "calendar":
        dataset = dataset.assign_coords(
            time=("time", np.arange(12), {"units": "hours since 1900-01-01", "calendar": text})
        )
    elif place == "name":
        dataset["msl"][0, 0, 0] = np.nan
    else:
        dataset["msl"].attrs |= {"units": "K", "long_name": text}
    dataset.to_netcdf(path)
    for words in (
        ("check", "--data", path),
        ("forecast", "--run", run, "--data", path, "--init", INIT, "--hours", 12, "--out", tmp_path / "f.nc"),
    ):
        ended = pinnwx(*words)
        assert ended.code != 1, ended.err
        assert words[0] == "check" or ended.code, "check may leave what is unusable aside; a forecast needs it"
        assert "\x1b" not in ended.out + ended.err
        assert all(map(harmless, (ended.out + ended.err).splitlines()))
        assert not any(line.startswith("pinnwx: wrote") for line in (ended.out + ended.err).splitlines())


def test_what_a_run_folder_says_is_text(run, tmp_path):
    """Events, Prometheus labels and JSON of a stranger's run."""
    folder = tmp_path / f'run{ESCAPE.replace("/", "")}\n"x'
    (folder / "versions").mkdir(parents=True)
    line = {
        "verb": f'fore"cast{ESCAPE}\nx',
        "time": "2026-01-01T00:00Z",
        "outcome": ESCAPE,
        "exit_code": 65,
        "reason": "\u202e[/]",
    }
    (folder / "events.jsonl").write_text(json.dumps(line) + "\n")
    ended = pinnwx("status", "--run", folder, "--metrics", tmp_path / "m.prom", "--json", tmp_path / "s.json")
    ended.did()
    assert all(map(harmless, ended.out.splitlines()))
    assert "[/]" in ended.out
    gauges = (tmp_path / "m.prom").read_text()
    assert all(map(harmless, gauges.splitlines()))
    assert all(each.startswith(("# HELP pinnwx_", "# TYPE pinnwx_", "pinnwx_")) for each in gauges.splitlines())
    assert status(folder).jobs[0].verb == line["verb"]


def test_html_is_escaped():
    text = "<script>alert(1)</script>\u202e\x1b"
    made = page(text, text, [Section(text, [text], {text: text}, Table([text], [[text]]), listing=f"one\n{text}\ntwo")])
    assert "<script>" not in made
    assert made.count("&lt;script&gt;") >= 8
    assert "\u202e" not in made
    assert "\x1b" not in made
    assert "one\n&lt;script&gt;" in made, "a listing keeps its lines"


@pytest.mark.parametrize("text", ["$\\frac{$", "$$", "a$b^2$c", "$\\nothing$", "\\$x$", *HARMFUL, "x" * 100_000])
def test_a_picture_of_any_text(tmp_path, text):
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.loglog([1, 10, 1000], [1, 2, 3], label=text)
    axes.set(xlabel=text, ylabel=text, title=text)
    figure.suptitle(text)
    axes.legend()
    size = xr.backends.api.os.stat(save(figure, tmp_path / "x.png")).st_size
    assert 2_000 < size < 2_000_000
    assert any("mathdefault" in each.get_text() for each in axes.get_xticklabels()), "powers of ten are drawn as such"
