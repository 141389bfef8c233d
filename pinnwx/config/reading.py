"""Settings out of TOML, and back."""

from __future__ import annotations

from pathlib import Path

import tomli_w
from pydantic import ValidationError

from pinnwx.config.experiment import Config
from pinnwx.config.packaged import experiment_path
from pinnwx.errors import ConfigError, MissingInputError, UsageError
from pinnwx.settings import as_read
from pinnwx.tomltext import LARGEST, problems_of, toml_table


def parse_config(text: str, source: str = "config") -> Config:
    """The settings in a TOML text.

    Raises:
        ConfigError: with every problem, each by its path; `source` names the file in the message.
        UsageError: its name is a path.
    """
    raw = toml_table(text, source)
    name = raw.get("name")
    if isinstance(name, str) and any(part in name for part in ("..", "/", "\\")):
        raise UsageError(f'{source}: name "{name}" leads out of its folder; use letters, digits, - and _')
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{source}: {problems_of(error, Config, raw)}") from None


def config_text(config: Config) -> str:
    """Settings as a TOML text that `parse_config` reads back as they are; what was not given is left out."""
    return tomli_w.dumps(config.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True))


def load_config(path: str | Path) -> Config:
    """The settings in a TOML file, or those of a packaged experiment by its name, such as `quick`.

    Raises:
        MissingInputError: there is no such file and no such experiment.
        ConfigError: as `parse_config`.
    """
    return parse_config(read_text(path), str(path))


def config_as_read(path: str | Path) -> Config:
    """As much of the settings in a TOML file as can be read (`pinnwx.settings.as_read`).

    Raises:
        MissingInputError, ConfigError: there is no such file, or it is no TOML.
    """
    return as_read(Config, toml_table(read_text(path), str(path)))


def read_text(source: str | Path) -> str:
    """The TOML text of a file, or of a packaged experiment by its name (`experiments`).

    Raises:
        MissingInputError: there is neither.
        ConfigError: it is too large, or no UTF-8 text.
    """
    path = Path(source)
    if not path.is_file():
        if path.name != str(source) or path.suffix:
            raise MissingInputError(f"no config file {path}")
        path = experiment_path(str(source))
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes are more than the {LARGEST} a config may have")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from None
