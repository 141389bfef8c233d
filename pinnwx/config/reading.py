"""Reads settings from TOML and writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from pinnwx.config.experiment import Config
from pinnwx.config.packaged import experiment_path
from pinnwx.errors import ConfigError, MissingInputError, UsageError
from pinnwx.settings import as_read
from pinnwx.tomltext import LARGEST, problems_of, toml_table

ConfigLike = Config | Mapping[str, Any] | str | Path


def parse_config(text: str, source: str = "config") -> Config:
    """The settings in a TOML text.

    Raises:
        ConfigError: the message lists every problem with its path; `source` names the file in the message.
        UsageError: the name of the experiment is a path.
    """
    return _validated(toml_table(text, source), source)


def _validated(raw: dict[str, Any], source: str) -> Config:
    name = raw.get("name")
    if isinstance(name, str) and any(part in name for part in ("..", "/", "\\")):
        raise UsageError(f'{source}: name "{name}" leads out of its folder; use letters, digits, - and _')
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{source}: {problems_of(error, Config, raw)}") from None


def config_text(config: Config) -> str:
    """Settings as a TOML text that `parse_config` reads back unchanged; keys that were not set are left out."""
    return tomli_w.dumps(config.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True))


def load_config(config: ConfigLike) -> Config:
    """The settings from a TOML file, a mapping with the same keys, or a packaged experiment by name (such as `quick`).

    A `Config` is returned unchanged.

    Raises:
        MissingInputError: there is no such file and no such experiment.
        ConfigError: as `parse_config`.
    """
    if isinstance(config, Config):
        return config
    if isinstance(config, Mapping):
        return _validated(dict(config), "config")
    if not isinstance(config, str | Path):
        kind = type(config).__name__
        raise ConfigError(f"config is of type {kind}; give a TOML file, an experiment's name, a mapping or a Config")
    return parse_config(read_text(config), str(config))


def text_of(config: ConfigLike) -> str:
    """The TOML text of a config; for a file, the text that the user wrote.

    Raises:
        MissingInputError, ConfigError: as `load_config`.
    """
    return read_text(config) if isinstance(config, str | Path) else config_text(load_config(config))


def config_as_read(path: str | Path) -> Config:
    """The valid settings in a TOML file (`pinnwx.settings.as_read`).

    Raises:
        MissingInputError, ConfigError: the file does not exist, or is not TOML.
    """
    return as_read(Config, toml_table(read_text(path), str(path)))


def read_text(source: str | Path) -> str:
    """The TOML text of a file, or of a packaged experiment by its name (`experiments`).

    Raises:
        MissingInputError: neither the file nor the experiment exists.
        ConfigError: the file is too large, or not UTF-8 text.
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
