"""What the verbs print: progress bars and tables that fit 80 columns."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table
from rich.text import Text

from pinnwx.text import alike_merged, decimals_for, printable, three_digits, with_decimals
from pinnwx.variables import VARIABLES, Variable, difference_units

if TYPE_CHECKING:
    import xarray as xr

    from pinnwx.data.check_report import CheckReport
    from pinnwx.explaining.reading import Share
    from pinnwx.forecasting.runs import Run
    from pinnwx.jobs.doctor import Finding
    from pinnwx.jobs.models import Version
    from pinnwx.jobs.series import Series
    from pinnwx.jobs.status import Skill, Status
    from pinnwx.training.fit import Progress
    from pinnwx.verification.comparison import Comparison
    from pinnwx.verification.results import Scores

_GAPS_SHOWN = 5
_WIDEST = 1000  # columns of a table
_SKILL_SHOWN = 8  # rows of the table of status, which is to fit a screen
_WARNINGS_SHOWN, _WARNING_SHOWN = 3, 148  # and of how many letters
_RANGE = re.compile(r"(?<=\d) to (?=[-\d])")  # is written with a dash in a table


class Console(rich.console.Console):
    """Prints text as text, in tables too: what looks like markup is none, and control characters are escaped."""

    def render_str(self, text: str, **options: Any) -> Text:
        options |= {"markup": False, "emoji": False}
        return super().render_str(printable(text), **options)


@contextlib.contextmanager
def training_progress() -> Iterator[Callable[[Progress], None]]:
    """A progress bar on a terminal; a line every tenth of the way elsewhere (log files, cron mail)."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _every_tenth(console)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}  {task.fields[rate]:.1f}/s"), TimeRemainingColumn(compact=True),
    )  # fmt: skip
    with ProgressBar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("compiling", total=None, loss=float("nan"), rate=0.0)

        def show(progress: Progress) -> None:
            bar.update(
                task, description=f"training {progress.stage_steps:2d}-step", completed=progress.update,
                total=progress.total, loss=progress.loss, rate=progress.updates_per_second,
            )  # fmt: skip

        yield show


@contextlib.contextmanager
def counting_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar that counts, on a terminal; elsewhere a line each."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: console.print(f"{done} of {total} {what}", highlight=False)
        return
    columns = TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeRemainingColumn()
    with ProgressBar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _every_tenth(console: Console) -> Callable[[Progress], None]:
    last = -1

    def show(progress: Progress) -> None:
        nonlocal last
        tenth = 10 * progress.update // progress.total
        if tenth > last:
            last = tenth
            console.print(
                f"update {progress.update} of {progress.total} ({progress.stage_steps}-step), "
                f"loss {progress.loss:.3f}, {progress.updates_per_second:.1f}/s, {progress.seconds_left:.0f} s left",
                highlight=False,
            )

    return show


def compression_lines(run: Run) -> None:
    """How much smaller the live model of a run is than the one it was made from."""
    manifest = run.load().manifest
    before, now = manifest["compressed_from"]["parameters"], manifest["parameters"]
    Console().print(
        f"Model {run.live} is live in {run.folder}: {now:,} weights of {before:,} ({now / before:.0%}), "
        f"after {manifest['updates'] + manifest['updates_between_rounds']} updates.",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def score_table(scores: Scores, variables: Mapping[str, Variable] = VARIABLES, *, details: bool = False) -> None:
    """The scores, one row per variable and lead, and what was skipped; with `details`, where and how they err."""
    headings = ("variable", "lead", "n", "RMSE", "95 % bounds", "persist.", "climat.", "ratio", "ACC")
    console = Console()
    _print_table(console, _table(headings, scores.table(variables)))
    console.print("RMSE beside that of persistence and climatology; ratio: RMSE over persistence.", style="dim")
    if details:
        from pinnwx.verification.results import DETAIL_COLUMNS

        console.print()
        _print_table(console, _table(DETAIL_COLUMNS, scores.details_table(variables)))
        console.print("RMSE by region, the tropics within 20 degrees; the error that this share of the", style="dim")
        console.print("area stays below; variance of the forecasts over that of the truth.", style="dim")
    if source := scores.settings.get("lateral_boundary"):
        console.print(f"Hindcasts: the edge of the box was told by the {source}.", style="dim")
    if learned := scores.settings.get("trained_on"):
        console.print(
            f"Trained on a part of this time, {learned[0]} to {learned[-1]}: too good to be true.", style="red"
        )
    skipped = {name: count for name, count in scores.skipped.items() if count}
    if skipped:
        console.print("Skipped: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in skipped.items()))


def comparison_table(comparison: Comparison) -> None:
    """The ratio of the errors of two runs, one row per variable and lead."""
    console = Console()
    headings = ("variable", "lead", "n", "days", "ratio", "95 % bounds", "verdict")
    console.print(f"RMSE of {comparison.first} over RMSE of {comparison.second}", highlight=False, soft_wrap=True)
    _print_table(console, _table(headings, [_comparison_row(entry) for entry in comparison.ratios]))
    missing = {entry["bounds_missing"] for entry in comparison.ratios if entry["bounds_missing"]}
    for reason in sorted(missing):
        console.print(f"No bounds: {reason}.", style="dim")


def budget_table(shares: Sequence[Share], variables: Mapping[str, Variable] = VARIABLES) -> None:
    """What each part of a model did to each field over a forecast, one row per field and part."""
    from pinnwx.explaining.reading import COLUMNS, in_words

    _print_table(Console(), _table(COLUMNS, in_words(shares, variables)))


def attribution_lines(dataset: xr.Dataset) -> None:
    """What a number in a forecast comes from, by field and time of the analyses."""
    attributes, console = dataset.attrs, Console()
    factor, units = difference_units(attributes["target"].partition(" ")[0])
    units = attributes["target_units"] if units == "SI" else units  # a variable of the user's own
    forecast, usual = attributes["target_forecast"], attributes["target_ordinary"]
    decimals = decimals_for([factor * (forecast - usual)])

    def of_it(value: float) -> str:
        return f"{'+' if value >= 0 else ''}{with_decimals(factor * value, decimals)} {units}"

    console.print(f"{attributes['target']}: {with_decimals(factor * forecast, decimals)} {units}", highlight=False)
    console.print(
        f"{of_it(forecast - usual)} of it from the difference of the analyses to climatology:", highlight=False
    )
    rows = []
    for name, values in dataset.data_vars.items():
        field, _, kind = str(name).rpartition("_")
        if kind == "attribution":
            for age, given in zip(
                dataset["forecast_period"].values, values.sum(("latitude", "longitude")).values, strict=True
            ):
                rows.append((field, f"{age:g} h", of_it(float(given))))
    rows.append(("not attributed", "", of_it(attributes["completeness_gap"])))
    _print_table(console, _table(("field", "analysis", "of it"), rows))


def version_table(versions: Sequence[Version]) -> None:
    """The versions of a run, one a row, and what is wrong with those that cannot be used."""
    console = Console()
    rows = [
        (
            one.name,
            "live" if one.is_live else "refused" if one.objection else "",
            one.trained_to or "-",
            f"{one.updates:,}",
            "no" if one.problem else "yes",
        )
        for one in versions
    ]
    _print_table(console, _table(("version", "", "trained to", "updates", "whole"), rows))
    for one in versions:
        if one.problem:
            console.print(f"{one.name}: {one.problem}", style="red", highlight=False, soft_wrap=True)
        if one.objection:
            console.print(f"{one.name}: not promoted: {one.objection}", highlight=False, soft_wrap=True)


def series_lines(series: Series) -> None:
    """What became of each forecast of a series, and what else was done."""
    console = Console(soft_wrap=True, highlight=False)
    for one in series.attempts:
        if one.refused is not None:
            console.print(f"Refused  {one.file.name}: {one.refused!s}", style="red")
        else:
            what = "Wrote   " if one.written else "Outdated" if one.outdated else "Is there"
            console.print(f"{what} {one.file!s}", style="yellow" if one.outdated else None)
    if series.scored:
        console.print(f"Scored {len(series.scored)} forecast(s) on the analyses since.")
    if series.damaged:
        console.print(f"Left out as damaged: {', '.join(series.damaged)}", style="red")
    if series.removed:
        console.print(f"Removed {len(series.removed)} old file(s).")


def status_table(status: Status) -> None:
    """The live version, one row a verb, recent errors, and what somebody should look at: a screen of 80 columns."""
    console = Console(highlight=False)
    trained = f", trained on data to {status.trained_to}" if status.trained_to else ""
    console.print(f"{status.run}: version {status.version or 'none'} is live{trained}", soft_wrap=True)
    if status.alarm:
        console.print(f"ALARM: {status.alarm}", style="bold red", soft_wrap=True)
    if not status.jobs:
        console.print("No job has been recorded here yet.")
    else:
        rows = [
            (
                job.verb,
                job.last_success or "never",
                "-" if job.age_hours is None else f"{job.age_hours:,.1f} h",
                job.last_outcome,
                str(job.failures),
            )
            for job in status.jobs
        ]
        _print_table(console, _table(("job", "last success", "age", "last outcome", "failed since"), rows))
    if status.skill:
        shown = _most_telling(status.skill)
        headings = ("error (RMSE)", "lead", "of late", "n", "usually", "n", "/persist.", "")
        _print_table(console, _table(headings, [_skill_row(one) for one in shown]))
        if len(shown) < len(status.skill):
            console.print(f"{len(status.skill) - len(shown)} more in --json.", style="dim")
    for warning in status.warnings[:_WARNINGS_SHOWN]:
        console.print(f"warning: {_cut(warning, _WARNING_SHOWN)}", style="yellow")
    if len(status.warnings) > _WARNINGS_SHOWN:
        console.print(f"{len(status.warnings) - _WARNINGS_SHOWN} more warnings in --json.", style="yellow")


def _most_telling(skill: Sequence[Skill]) -> list[Skill]:
    """What fits a screen: everything, or of each variable the lead next to a day, and the last one if there is room."""
    if len(skill) <= _SKILL_SHOWN:
        return list(skill)
    shown = []
    variables = list(dict.fromkeys(one.variable for one in skill))
    for variable in variables[:_SKILL_SHOWN]:
        own = [one for one in skill if one.variable == variable]
        day = min(own, key=lambda one: abs(one.lead_hours - 24))
        shown += [day, own[-1]] if own[-1] is not day and 2 * len(variables) <= _SKILL_SHOWN else [day]
    return shown


def _skill_row(one: Skill) -> tuple[str, ...]:
    factor, units = difference_units(one.variable)
    return (
        f"{one.variable} [{units}]",
        f"{one.lead_hours:g} h",
        three_digits(factor * one.recent),
        str(one.recent_forecasts),
        "-" if one.usual is None else three_digits(factor * one.usual),
        str(one.earlier_forecasts),
        "-" if one.of_persistence is None else f"{one.of_persistence:.2f}",
        "worse" if one.drifts else "",
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def doctor_lines(findings: Sequence[Finding]) -> None:
    """One line a finding, and what to do about it where something is wrong."""
    console = Console(soft_wrap=True, highlight=False)
    for one in findings:
        console.print(Text.assemble((f"{one.name:15s}", "bold"), printable(one.value)))
        if one.problem:
            console.print(f"{'':15s}{one.problem}", style="yellow")


def _comparison_row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    ratio, low, high = entry["ratio"], entry["ratio_low"], entry["ratio_high"]
    bounds = verdict = "-"
    if low is not None and high is not None:
        bounds = f"{low:.3f} to {high:.3f}"
        verdict = "first better" if high < 1 else "second better" if low > 1 else "level"
    return (
        entry["variable"], f"{entry['lead_hours']:g} h", str(entry["n"]), str(entry["n_days"]),
        "-" if ratio is None else f"{ratio:.3f}", bounds, verdict,
    )  # fmt: skip


def check_tables(report: CheckReport) -> None:
    """What each file holds, what they hold together, and every problem."""
    console = Console(soft_wrap=True, highlight=False)
    for entry in report.files:
        layout = f", {entry.layout}" if entry.layout else ""
        console.print(Text.assemble((printable(entry.file), "bold"), printable(f"  {entry.format}{layout}")))
        if entry.fields:
            rows = [
                (one.name, one.raw, one.units or "-", one.stored_as, str(one.steps), one.start or "-", one.end or "-")
                for one in entry.fields
            ]
            headings = ("  field", "in the file", "units", "as", "steps", "first", "last")
            _print_table(console, _table(headings, [("  " + row[0], *row[1:]) for row in rows]))
        details = {
            "axes": "; ".join(entry.axes),
            "normalised": "; ".join(entry.normalised),
            "ignored": ", ".join(entry.ignored),
        }
        for label, text in details.items():
            if text:
                console.print(f"  {label}: {text}")
    console.print()
    if report.fields or report.static:
        console.print(f"fields  {', '.join(report.fields) or 'none'}")
        console.print(f"static  {', '.join(report.static) or 'none'}")
        console.print(f"grid    {report.grid}")
    if report.steps:
        spacing = "" if report.step_hours is None else f", every {report.step_hours:g} h"
        console.print(f"times   {report.steps} from {report.start} to {report.end}{spacing}, {len(report.gaps)} gaps")
        console.print(f"age     {report.age_hours:,.0f} h")
    for gap in report.gaps[:_GAPS_SHOWN]:
        console.print(f"gap     {gap[0]} to {gap[1]}")
    for severity, style in (("error", "red"), ("warning", "yellow"), ("note", None)):
        for text in alike_merged(str(problem) for problem in report.problems if problem.severity == severity):
            console.print(f"{severity}: {text}", style=style)
    console.print(report.verdict)


def _print_table(console: Console, table: Table) -> None:
    """A table whose cells are whole: where the terminal is too narrow its lines wrap, rather than that digits go."""
    needed = table.__rich_measure__(console, console.options.update(max_width=_WIDEST)).maximum
    (console if needed <= console.width else Console(file=console.file, width=needed)).print(table)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_RANGE.sub("-", cell) for cell in row))
    return table
