"""What all studies share: where files are, their options, their stored figures and how tables get into a page.

A study is a module with a `main`: it measures what `results/NAME.json` does not hold yet, stores each figure at once,
and writes its table between two markers of a page. So a study that was interrupted continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinnwx.files import write_text
from pinnwx.verification.results import in_lines

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"
RESULTS = EXPERIMENTS / "results"
RUNS = ROOT / "runs"
README, SPEED_PAGE, RESULTS_PAGE = EXPERIMENTS / "README.md", ROOT / "docs" / "speed.md", ROOT / "docs" / "results.md"
DATA = Path(os.environ.get("PINNWX_DATA", ROOT / ".." / "shared" / "data")).resolve()
PINNWX = (sys.executable, "-m", "pinnwx")


@dataclass(frozen=True)
class Scoring:
    """The forecasts on which the experiments of one archive are scored."""

    folder: str
    start: str
    end: str
    leads: tuple[int, ...]


SCORINGS = {
    "era5": Scoring("era5_global", "2026-02-04", "2026-02-11", (6, 12, 24, 48, 72)),
    "europe": Scoring("erainterim_europe", "2007-01-04", "2008-12-30", (24, 48, 72)),
    "gcm": Scoring("gcm_t31", "2001-08-01", "2001-09-30", (6, 24, 72, 120)),
}


def scoring_of(experiment: str) -> Scoring:
    """The scoring of an experiment; its name begins with that of its archive."""
    return SCORINGS[experiment.partition("_")[0]]


def over_persistence(entry: Mapping[str, Any], baseline: str) -> float:
    """The RMSE of a simple forecast over that of persistence, from an entry of scores."""
    return entry[f"{baseline}_rmse"] / entry["persistence_rmse"]


def study_parser(description: str | None, *, remeasure: bool = False) -> argparse.ArgumentParser:
    """Options of every study: `--tables`, and `--again` where a study can measure again what is stored."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true", help="only write tables and pictures from what is stored")
    if remeasure:
        parser.add_argument("--again", action="store_true", help="measure again what is stored")
    return parser


def require_known(parser: argparse.ArgumentParser, what: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Ends with a usage error if a name is not known."""
    known = list(known)
    for name in names:
        if name not in known:
            parser.error(f'no {what} "{name}"; there are {", ".join(known)}')


class StoredFigures:
    """The figures of a study, in one JSON file that is written after each measurement.

    `rows` names the entry whose items each take one line.
    """

    def __init__(self, path: Path, rows: str | None = None):
        self.path, self._rows = path, rows
        self.figures: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}

    def save(self) -> None:
        """Writes all figures; the file is replaced whole."""
        write_text(self.path, _indented(self.figures) if self._rows is None else in_lines(self.figures, self._rows))

    def measure_missing(
        self,
        measurements: Mapping[str, Callable[[], Any]],
        *,
        section: dict[str, Any] | None = None,
        again: bool = False,
    ) -> None:
        """Makes each measurement that `section` (default: all figures) does not hold; with `again`, every one."""
        target = self.figures if section is None else section
        for name, measure in measurements.items():
            if again or name not in target:
                print(name, flush=True)
                target[name] = measure()
                self.save()


def _indented(figures: Mapping[str, Any]) -> str:
    """JSON with indentation, and each list of numbers and texts on one line."""
    text = json.dumps(figures, indent=1) + "\n"
    return re.sub(r"\[\n([^\[\]{}]+)\n\s*\]", lambda match: f"[{' '.join(match[1].split())}]", text)


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]
    return lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]


def with_bounds(value: float, low: float | None, high: float | None) -> str:
    """`0.954 (0.946-0.963)`; without the bounds where they are unknown, None or NaN."""
    known = low is not None and high is not None and not math.isnan(low)
    return f"{value:.3f} ({low:.3f}-{high:.3f})" if known else f"{value:.3f}"


def splice(page: Path, marker: str, text: str) -> None:
    """Replaces what stands between `<!-- marker -->` and `<!-- end of marker -->` in a page."""
    before, _, rest = page.read_text().partition(f"<!-- {marker} -->")
    after = rest.partition(f"<!-- end of {marker} -->")[2]
    page.write_text(f"{before}<!-- {marker} -->\n\n{text}\n<!-- end of {marker} -->{after}")
