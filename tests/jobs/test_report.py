"""The report: one file that a browser shows with no network, and that says what is so."""

import base64
import html.parser
import json
import re
import shutil
import subprocess

import pytest
from synthetic import config_text, randomise, tiny_trained

import pinnwx
from pinnwx.errors import OutputError, StabilityError, UsageError
from pinnwx.forecasting.runs import new_run
from pinnwx.jobs.report import _inside
from pinnwx.jobs.train import train
from pinnwx.reporting.page import Section, Table, page

PERIOD = {"start": "2026-01-16", "end": "2026-01-17T12:00", "leads": [6, 12]}
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "tiny.toml").write_text(config_text(training="batch_size = 8\nupdates = 8"))
    run = train(folder / "tiny.toml", data, folder / "run")
    return run, pinnwx.report(run.folder, data, folder / "report.html", **PERIOD)


class Seen(html.parser.HTMLParser):
    """What a page holds."""

    def __init__(self, text: str):
        super().__init__()
        self.attributes, self.tags, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_nothing_on_the_page_comes_from_elsewhere(made):
    seen = Seen(made[1].read_text())
    assert seen.open == []
    assert not {"script", "link", "iframe"} & set(seen.tags)
    sources = [value for name, value in seen.attributes if name == "src"]
    assert len(sources) == 6, "scores, maps of two fields, two budgets, training"
    for source in sources:
        kind, _, content = source.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content).startswith(b"\x89PNG")
    targets = [value for name, value in seen.attributes if name == "href"]
    assert {target.removeprefix("#") for target in targets} == {v for n, v in seen.attributes if n == "id"}
    assert all(value for name, value in seen.attributes if name == "alt")


def test_it_says_what_the_model_is_and_where_it_comes_from(made, data):
    run, path = made
    text = path.read_text()
    manifest = json.loads((run.version("0001") / "manifest.json").read_text())
    for told in (
        manifest["files"]["weights.safetensors"], manifest["data_sha256"], f"{manifest['parameters']:,}",
        "2026-01-01T00:00Z to 2026-01-15T18:00Z", "msl: mean sea level pressure", "global 8 x 16",
    ):  # fmt: skip
        assert told in text, told
    scores = pinnwx.evaluate(run.folder, data, **PERIOD)
    for row in scores.table():
        assert all(f"<td>{cell}</td>" in text for cell in row)
    assert "CAUTION" not in text


def test_the_newest_forecast_and_the_history_are_shown(made):
    text = made[1].read_text()
    (start,) = set(re.findall(r"the forecast from (\S+Z)", text))
    assert "2026-01-16T00:00Z" < start <= "2026-01-17T12:00Z"
    section = text.partition('<section id="history">')[2].partition("</section>")[0]
    assert "Stored versions: 0001." in section
    assert [cell in section for cell in ("<td>train</td>", "<td>0001</td>", "<td>done</td>")] == [True] * 3


def test_scores_on_what_it_was_trained_on_are_marked(made, data, tmp_path):
    run, _ = made
    path = pinnwx.report(run.folder, data, tmp_path / "r.html", **PERIOD | {"start": "2026-01-14"})
    assert "CAUTION: the model was trained on a part of this period" in path.read_text()


def test_the_period_is_that_of_the_config_or_given(data, tmp_path):
    run, trained = new_run(tmp_path / "run"), tiny_trained()
    run.publish(trained, {"seed": 0})
    with pytest.raises(UsageError, match="give --start and --end"):
        pinnwx.report(run.folder, data, tmp_path / "r.html")
    text = config_text().replace("train =", 'validate = { start = "2026-01-16", end = "2026-01-17" }\ntrain =')
    trained = tiny_trained(text)
    randomise(trained.model, 0, 0.01)
    run.publish(trained, {"seed": 0})
    page_of = pinnwx.report(run.folder, data, tmp_path / "r.html").read_text()
    assert "from 2026-01-16 to 2026-01-17" in page_of
    with pytest.raises(OutputError, match="--force"):
        pinnwx.report(run.folder, data, tmp_path / "r.html")


def test_a_model_that_blows_up_gets_its_report(data, tmp_path):
    """Its weights are so large that its forecasts leave all weather; its scores are finite, and shown."""
    run, trained = new_run(tmp_path / "run"), tiny_trained()
    randomise(trained.model, 0, 1.0)
    run.publish(trained, {"seed": 0})
    with pytest.raises(StabilityError):
        pinnwx.forecast(run.folder, data, init="2026-01-16T00:00", hours=72)
    text = pinnwx.report(run.folder, data, tmp_path / "r.html", **PERIOD | {"end": "2026-01-16T00:00"}).read_text()
    assert re.search(r"The newest forecast of the period, from 2026-01-16T00:00Z, fails: .*(msl|t850) ", text)
    assert "Provenance" in text


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("Geopotential at 500 hPa", "geopotential at 500 hPa"), ("2 metre temperature", "2 metre temperature"),
        ("CO2 at 500 hPa", "CO2 at 500 hPa"), ("", ""),
    ],
)  # fmt: skip
def test_units_keep_their_capitals_inside_a_sentence(name, inside):
    assert _inside(name) == inside


def test_text_is_escaped():
    sections = [
        Section("A & B", ["<script>alert(1)</script>"], {"<b>": '"'}, Table(["<i>"], [["<td>"]]), listing="<x>")
    ]
    text = page("<title>", "a < b", sections)
    assert not re.search("<(script|b|i|x)>", text)
    assert "&lt;script&gt;" in text
    Seen(text)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_shows_it(made, tmp_path):
    run, path = made
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
               f"--user-data-dir={tmp_path}"]  # fmt: skip
    done = subprocess.run(
        [BROWSER, *options, "--dump-dom", path.resolve().as_uri()], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0
    assert f"<h1>tiny, version {run.live}</h1>" in done.stdout
    assert done.stdout.count("<figure>") == 6
