"""The attributes of forecast files that the user gives, such as the institution."""

import shutil
from pathlib import Path

import pytest
from synthetic import config_text
from verbs import INIT

import pinnwx
from pinnwx.config import parse_config
from pinnwx.errors import ConfigError
from pinnwx.training.recording import training_digest


def with_output(attributes: str) -> str:
    return config_text() + f"[output]\nattributes = {attributes}\n"


def test_they_stand_in_forecasts_from_the_next_one_on(run, good, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    before = pinnwx.forecast(copy, good, init=INIT, hours=12)
    assert before.attrs["institution"] == "not stated"
    (copy / "config.toml").write_text(with_output('{ institution = "Met Somewhere", contact = "a@example.org" }'))
    series = pinnwx.forecast_series(copy, good, tmp_path / "out", init=INIT, hours=12)
    made = pinnwx.forecast(copy, good, init=INIT, hours=12, out=tmp_path / "f.nc")
    assert (made.attrs["institution"], made.attrs["contact"]) == ("Met Somewhere", "a@example.org")
    assert made.attrs["request_sha256"] == before.attrs["request_sha256"], "it is the same forecast"
    assert len(series.attempts) == 1


def test_they_do_not_decide_whether_a_training_goes_on(good, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text(config_text(training="batch_size = 8\nupdates = 4"))
    pinnwx.train(config, good, tmp_path / "run", promote_anyway=True)
    other = config_text(training="batch_size = 8\nupdates = 4", extra='description = "mine"')
    other += '# by me\n[output]\nattributes = { institution = "Met Somewhere" }\n'
    assert training_digest(parse_config(other)) == training_digest(parse_config(config.read_text()))
    config.write_text(other)
    assert pinnwx.train(config, good, tmp_path / "run", resume=True).versions == ("0001",)
    config.write_text(other.replace("updates = 4", "updates = 5"))
    assert training_digest(parse_config(config.read_text())) != training_digest(parse_config(other))
    with pytest.raises(ConfigError, match="differs from the config of"):
        pinnwx.train(config, good, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    "attributes",
    ['{ model = "mine" }', '{ content_sha256 = "0" }', '{ "a b" = "x" }', '{ institution = "" }', "{ x = 1 }"],
)
def test_what_pinnwx_writes_itself_is_not_theirs(attributes):
    with pytest.raises(ConfigError, match=r"output"):
        parse_config(with_output(attributes))
