"""What data files hold after normalising, and every problem found."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path

from pinnwx.config import load_config
from pinnwx.data.open import check_data
from pinnwx.data.report import CheckReport
from pinnwx.files import check_writable, write_text


def check(
    data: Sequence[str | Path] | str | Path,
    *,
    config: str | Path | None = None,
    json: str | Path | None = None,
    force: bool = False,
) -> CheckReport:
    """Reads every file and reports; `report.ok` is false where a forecast from them would be refused.

    With `config` its own variables and levels are known too.

    Raises:
        ConfigError: `config` is none.
        MissingInputError: there are no such files.
        OutputError: `json` cannot be written.
    """
    if json is not None:
        check_writable(json, force=force)
    report = check_data(data, **({} if config is None else load_config(config).reading_options()))
    if json is not None:
        write_text(json, json_module.dumps(report.to_dict(), indent=2) + "\n")
    return report
