"""The command line: one thin function a verb. Heavy imports happen inside them, so that --help answers at once."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pinnwx.errors import OutputError, PinnwxError, UsageError
from pinnwx.text import LONGEST_MESSAGE, printable
from pinnwx.version import __version__

_MOST_NUMBERS = 1000  # in a list on the command line
_STARTED = time.monotonic()

app = typer.Typer(
    help="A physics-informed neural weather forecaster. Exit codes: 0 done, or done before; 2 usage; 65 bad data; "
    "66 no such file or run; 69 no data for the time asked; 70 unstable forecast; 73 cannot write; 75 locked, try "
    "again; 77 not promoted; 78 bad config; 129 hang-up, 130 interrupt, 131 quit, 143 terminate: saved before it ends.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_PATH = "<path>"
Data = Annotated[
    list[str],
    typer.Option("--data", metavar=_PATH, help="File, glob, folder or zarr store of analyses; may be repeated."),
]
RunFolder = Annotated[Path, typer.Option("--run", help="Run folder of a training.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result to this JSON file.")]
Details = Annotated[bool, typer.Option("--details", help="Show scores by region, percentiles and variance too.")]
Leads = Annotated[
    str | None, typer.Option(help="Lead times in hours, such as 6,12,24; by default those that suit the model's step.")
]
LateralBoundary = Annotated[
    list[str] | None,
    typer.Option(
        metavar=_PATH, help="Forecast of a larger area, for a model with a lateral boundary; may be repeated."
    ),
]
Accept = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD:KIND@TIME",
        help="Use an analysis that is refused as suspicious. The refusal prints the value. A part of it accepts more: "
        "msl, msl@2026-01-16, stuck. May be repeated.",
    ),
]
Minutes = Annotated[
    float | None, typer.Option(help="Wall-clock budget of the whole command; by default that of the config.")
]
PromoteAnyway = Annotated[
    bool, typer.Option("--promote-anyway", help="Make the model live even if the training check refuses it.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
ForceJson = Annotated[bool, typer.Option("--force", help="Replace an existing file of --json.")]
Afresh = Annotated[bool, typer.Option("--force", help="Start again in a run folder; its versions stay.")]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,  # noqa: ARG001
) -> None:
    if version:
        _say(f"pinnwx {__version__}")
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    minutes: Annotated[float | None, typer.Option(help="Wall-clock budget of the training; 2 by default.")] = None,
    force: Force = False,
) -> None:
    """Train, forecast, verify and plot with the embedded sample. It needs no data and no network."""
    from pinnwx.jobs.demo import demo as job
    from pinnwx.terminal import score_table, training_progress

    with training_progress() as progress:
        result = job(out, minutes=minutes, force=force, progress=progress, say=_say)
    score_table(result.scores)
    _say("")
    _say(f"In {out}: " + ", ".join(result.files))


@app.command()
def check(
    data: Data,
    config: Annotated[Path | None, typer.Option(help="Config: would `train` accept it with these data?")] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder: can its model forecast from these data?")
    ] = None,
    json: Json = None,
    force: ForceJson = False,
) -> None:
    """Show what files hold, and every problem found. Exit 65 if `train` or a forecast would be refused."""
    from pinnwx.jobs.check import check as job
    from pinnwx.terminal import check_tables

    report = job(data, config=config, run=run, json=json, force=force)
    check_tables(report)
    if not report.ok:
        raise typer.Exit(65)


@app.command()
def train(
    config: Annotated[
        Path,
        typer.Argument(help="TOML file (see `pinnwx config template`), or a packaged experiment by its name: quick."),
    ],
    data: Data,
    out: Annotated[Path, typer.Option(help="Run folder to make.")],
    minutes: Minutes = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted training.")] = False,
    force: Afresh = False,
    promote_anyway: PromoteAnyway = False,
) -> None:
    """Train a model into a run folder. It goes live unless it is worse than persistence (then exit 77)."""
    from pinnwx.jobs.train import train as job
    from pinnwx.terminal import training_progress

    with training_progress() as progress:
        run = job(
            config, data, out, minutes=minutes, resume=resume, force=force, promote_anyway=promote_anyway,
            progress=progress, started=_STARTED,
        )  # fmt: skip
    _say(f"Model {run.live} is live in {out}.")


@app.command()
def evaluate(
    run: RunFolder,
    data: Data,
    start: Annotated[str, typer.Option(help="First initial time, ISO 8601 UTC.")],
    end: Annotated[str, typer.Option(help="Last initial time; a bare date includes its whole day.")],
    leads: Leads = None,
    details: Details = False,
    json: Json = None,
    force: ForceJson = False,
) -> None:
    """Score forecasts from every analysis of a period. Persistence and climatology are scored on the same pairs."""
    from pinnwx.jobs.evaluate import evaluate as job
    from pinnwx.terminal import score_table

    scores = job(run, data, start=start, end=end, leads=_numbers("--leads", leads), json=json, force=force)
    score_table(scores, details=details)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Run folder, or a scores file of evaluate.")],
    second: Annotated[Path, typer.Argument(help="Run folder or scores file to compare it with.")],
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar=_PATH, help="Analyses to evaluate run folders on; may be repeated."),
    ] = None,
    start: Annotated[str | None, typer.Option(help="First initial time, ISO 8601 UTC.")] = None,
    end: Annotated[str | None, typer.Option(help="Last initial time; a bare date includes its whole day.")] = None,
    leads: Leads = None,
    json: Json = None,
    force: ForceJson = False,
) -> None:
    """Compare the errors of two runs on the same forecasts. The bounds are those of a paired comparison."""
    from pinnwx.jobs.compare import compare as job
    from pinnwx.terminal import comparison_table

    hours = _numbers("--leads", leads)
    comparison_table(job(first, second, data, start=start, end=end, leads=hours, json=json, force=force))


@app.command()
def forecast(
    run: RunFolder,
    data: Data,
    out: Annotated[str, typer.Option(help="NetCDF file to write, or a folder for a series of them, ending in /.")],
    init: Annotated[
        str, typer.Option(help='Initial time, ISO 8601 UTC, or "latest"; into a folder also a period FROM/TO.')
    ] = "latest",
    hours: Annotated[float, typer.Option(help="Length of the forecast in hours.")] = 120,
    members: Annotated[int | None, typer.Option(help="Make an ensemble of this many forecasts.")] = None,
    lateral_boundary: LateralBoundary = None,
    max_age: Annotated[
        float | None, typer.Option(help="Refuse an analysis older than this many hours (exit 69).")
    ] = None,
    accept_suspicious: Accept = None,
    plots: Annotated[bool, typer.Option("--plots", help="In a folder: draw maps of each forecast.")] = False,
    score: Annotated[bool, typer.Option("--score", help="In a folder: score earlier forecasts.")] = False,
    keep_days: Annotated[
        float | None, typer.Option(help="In a folder: remove forecasts older than the newest by this many days.")
    ] = None,
    remake: Annotated[
        bool, typer.Option("--remake", help="Make a forecast again if its analyses have changed since.")
    ] = False,
    force: Force = False,
) -> None:
    """Write one forecast file, or a series into a folder. Existing forecasts are not made again."""
    options = {
        "init": init, "hours": hours, "members": members, "lateral_boundary": lateral_boundary, "max_age": max_age,
        "accept_suspicious": accept_suspicious or (), "remake": remake, "force": force,
    }  # fmt: skip
    if out.endswith("/") or Path(out).is_dir():
        from pinnwx.jobs.series import forecast_series
        from pinnwx.terminal import series_lines

        series = forecast_series(run, data, out, plots=plots, score=score, keep_days=keep_days, **options)
        series_lines(series)
        series.require_all()
        return
    from pinnwx.data.calendar import initial_period

    if plots or score or keep_days is not None or initial_period(init) is not None:
        raise UsageError(f"--plots, --score, --keep-days and periods need a folder, not the file {out}: --out FOLDER/")
    from pinnwx.jobs.forecast import forecast as job

    dataset = job(run, data, out=out, **options)
    last = dataset["time"].values[-1].astype("datetime64[m]")
    many = "" if members is None else f" of {members} members"
    holds = ", ".join(map(str, dataset.data_vars))
    did = "Already in" if "source" in dataset.encoding else "Wrote"  # a file that was read knows its own name
    _say(f"{did} {out}: {holds}, {dataset.sizes['time']} steps{many} to {last}Z.")


@app.command()
def fetch(
    source: Annotated[
        str, typer.Argument(help="weatherbench2, arco-era5, NAME[:LOCATION], or a zarr store by path or URL.")
    ],
    fields: Annotated[str, typer.Option(help="Which fields, such as z500,t850,msl.")],
    start: Annotated[str, typer.Option(help="First time, ISO 8601 UTC.")],
    end: Annotated[str, typer.Option(help="Last time; a bare date includes its whole day.")],
    out: Annotated[Path, typer.Option(help="Folder for one file a month.")],
    static: Annotated[str, typer.Option(help="Fields that do not change in time, such as orography,lsm.")] = "",
    grid: Annotated[str, typer.Option(help='Grid to average onto, such as 5.625deg, or "native".')] = "native",
    region: Annotated[str | None, typer.Option(help="Box in degrees: north,west,south,east.")] = None,
    every: Annotated[float, typer.Option(help="Hours between analyses.")] = 6,
    timeout: Annotated[float, typer.Option(help="Seconds within which a server must send data.")] = 30,
    force: Force = False,
) -> None:
    """Download analyses from a public store into a folder. A second run continues where the first stopped."""
    from pinnwx.jobs.fetch import fetch as job
    from pinnwx.terminal import counting_progress

    with counting_progress("months") as progress:
        files = job(
            source, out, fields=_names(fields), start=start, end=end, static=_names(static), grid=grid,
            region=_numbers("--region", region), every_hours=every, timeout=timeout, force=force, progress=progress,
        )  # fmt: skip
    _say(f"In {out}: {len(files)} file(s), {files[0].name} to {files[-1].name}.")


@app.command()
def explain(
    run: RunFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="NetCDF file to write.")],
    init: Annotated[str, typer.Option(help='Initial time, ISO 8601 UTC, or "latest".')] = "latest",
    hours: Annotated[float, typer.Option(help="Length of the forecast in hours.")] = 24,
    target: Annotated[
        str | None, typer.Option(help="A number to explain: FIELD@LAT,LON or FIELD@NORTH,WEST,SOUTH,EAST.")
    ] = None,
    lateral_boundary: LateralBoundary = None,
    accept_suspicious: Accept = None,
    force: Force = False,
) -> None:
    """Write the budget of a forecast. With --target: the sensitivity and the attribution of one number in it."""
    from pinnwx.explaining.reading import shares
    from pinnwx.jobs.explain import explain as job
    from pinnwx.terminal import attribution_lines, budget_table

    dataset = job(
        run, data, init=init, hours=hours, target=target, lateral_boundary=lateral_boundary,
        accept_suspicious=accept_suspicious or (),
        out=out, force=force,
    )  # fmt: skip
    if target is None:
        budget_table(shares(dataset))
    else:
        attribution_lines(dataset)
    _say(f"Wrote {out}; pinnwx plot draws it.")


@app.command()
def verify(
    forecasts: Annotated[list[Path], typer.Argument(help="Forecast files.")],
    data: Data,
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder whose climatology is scored beside the forecasts.")
    ] = None,
    details: Details = False,
    json: Json = None,
    force: ForceJson = False,
) -> None:
    """Score forecast files against later analyses."""
    from pinnwx.jobs.verify import verify as job
    from pinnwx.terminal import score_table

    score_table(job(forecasts, data, run=run, json=json, force=force), details=details)


@app.command()
def plot(
    source: Annotated[Path, typer.Argument(help="A forecast or its budget (.nc), scores (.json) or a run folder.")],
    out: Annotated[Path, typer.Option(help="PNG to write.")],
    variables: Annotated[str | None, typer.Option(help="Which variables, such as z500,msl.")] = None,
    leads: Annotated[str | None, typer.Option(help="Which lead times in hours, such as 24,72.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar=_PATH, help="Analyses to draw beside a forecast; may be repeated."),
    ] = None,
    force: Force = False,
) -> None:
    """Draw a forecast, its budget, scores, or the course of a training."""
    from pinnwx.jobs.plot import plot as job

    names = _names(variables) if variables else None
    _say(job(source, out, variables=names, leads=_numbers("--leads", leads), data=data, force=force))


@app.command()
def retrain(
    run: RunFolder,
    data: Data,
    since: Annotated[
        str | None, typer.Option(help="Time from which analyses are fresh; by default, the end of training.")
    ] = None,
    minutes: Minutes = None,
    accept_suspicious: Accept = None,
    json: Json = None,
    force: ForceJson = False,
) -> None:
    """Continue the training of the live model with fresh analyses. It goes live if it passes the promotion check.

    Exit 77 if the candidate is worse, if nothing was learned, or if the days are too few to decide.
    """
    from pinnwx.jobs.retrain import retrain as job
    from pinnwx.terminal import comparison_table, training_progress

    with training_progress() as progress:
        done = job(
            run, data, since=since, minutes=minutes, accept_suspicious=accept_suspicious or (), json=json, force=force,
            progress=progress, started=_STARTED,
        )  # fmt: skip
    if done.promotion.comparison is not None:
        comparison_table(done.promotion.comparison)
    _say(f"Model {done.version} is live in {run}, after {done.fine_tuned.updates} updates.")
    _say(f"Learning ended: {done.fine_tuned.ended}.")


@app.command()
def compress(
    run: RunFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="Run folder to make.")],
    prune: Annotated[bool, typer.Option("--prune", help="Remove the least important channels.")] = False,
    keep: Annotated[float, typer.Option(help="Pruning: fraction of the channels that stays.")] = 0.5,
    criterion: Annotated[
        str, typer.Option(help="Pruning: score of a channel: taylor, integrated, magnitude or random.")
    ] = "taylor",
    distill: Annotated[bool, typer.Option("--distill", help="Train a smaller model on forecasts of this one.")] = False,
    size: Annotated[float, typer.Option(help="Distillation: fraction of the weights that the student has.")] = 0.25,
    minutes: Minutes = None,
    updates: Annotated[
        int | None, typer.Option(help="Number of updates, instead of as many as the minutes allow.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted compression.")] = False,
    force: Afresh = False,
    promote_anyway: PromoteAnyway = False,
) -> None:
    """Make the live model smaller, by pruning or distillation. The smaller model gets a run folder of its own."""
    from pinnwx.jobs.compress import compress as job
    from pinnwx.terminal import compression_lines, training_progress

    with training_progress() as progress:
        smaller = job(
            run, data, out, keep=keep if prune else None, size=size if distill else None, criterion=criterion,
            minutes=minutes, updates=updates, resume=resume, force=force, promote_anyway=promote_anyway,
            progress=progress, started=_STARTED,
        )  # fmt: skip
    compression_lines(smaller)


@app.command()
def export(
    run: RunFolder,
    out: Annotated[Path, typer.Option(help="File to write, ending in .npz.")],
    weights: Annotated[str, typer.Option(help="How weights are stored: float32, bfloat16 or int8.")] = "float32",
    force: Force = False,
) -> None:
    """Write the live model as one file, which jax runs without pinnwx."""
    from pinnwx.jobs.export import export as job

    path = job(run, out, weights=weights, force=force)
    _say(f"Wrote {path}: {path.stat().st_size / 2**20:.2f} MiB, weights as {weights}.")


@app.command()
def report(
    run: RunFolder,
    data: Data,
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    start: Annotated[
        str | None, typer.Option(help="First initial time to score; by default that of data.validate.")
    ] = None,
    end: Annotated[str | None, typer.Option(help="Last initial time; a bare date includes its whole day.")] = None,
    leads: Leads = None,
    force: Force = False,
) -> None:
    """Write one HTML page about the live model. It shows scores, maps, budgets, history and provenance."""
    from pinnwx.jobs.report import report as job

    page = job(run, data, out, start=start, end=end, leads=_numbers("--leads", leads), force=force)
    _say(f"Wrote {page}; open it in a browser.")


@app.command()
def status(
    run: RunFolder,
    forecasts: Annotated[Path | None, typer.Option(help="Folder of scored forecasts, to show their skill.")] = None,
    json: Json = None,
    metrics: Annotated[Path | None, typer.Option(help="Write gauges for Prometheus to this file.")] = None,
    force: ForceJson = False,
) -> None:
    """Show the health of a run and of its forecasts. Exit 65 if no forecast can be made.

    It shows when each job last succeeded, which model is live, and whether forecasts get worse.
    """
    from pinnwx.jobs.status import status as job
    from pinnwx.terminal import status_table

    health = job(run, forecasts=forecasts, json=json, metrics=metrics, force=force)
    status_table(health)
    if health.alarm:
        raise typer.Exit(65)


@app.command()
def doctor() -> None:
    """Show what this machine offers, and every obstacle to a job."""
    from pinnwx.jobs.doctor import doctor as job
    from pinnwx.terminal import doctor_lines

    doctor_lines(job())


config_app = typer.Typer(help="Show the keys of a configuration.", no_args_is_help=True)
app.add_typer(config_app, name="config")


@config_app.command("template")
def config_template() -> None:
    """Print a configuration with every key, its description and a value."""
    from pinnwx.config.template import template

    typer.echo(template(), nl=False)


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON schema of a configuration. Editors check and complete with it."""
    from pinnwx.config.reference import json_schema

    typer.echo(json_schema(), nl=False)


models = typer.Typer(help="List, show, promote, roll back or remove versions.", no_args_is_help=True)
app.add_typer(models, name="models")


@models.command("list")
def models_list(run: RunFolder) -> None:
    """List the versions of a run, each verified."""
    from pinnwx.jobs.models import list_models as job
    from pinnwx.terminal import version_table

    version_table(job(run))


@models.command("prune")
def models_prune(
    run: RunFolder,
    keep: Annotated[int, typer.Option(help="Number of newest versions that stay.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be removed.")] = False,
) -> None:
    """Remove old versions. The live version stays, and so does the target of a rollback."""
    from pinnwx.jobs.models import prune_models as job

    gone = job(run, keep, dry_run=dry_run)
    if not gone:
        typer.echo(f"Nothing to remove in {run}.")
    for name in gone:
        typer.echo(f"{'Would remove' if dry_run else 'Removed'} {name}")


@models.command("show")
def models_show(
    run: RunFolder, name: Annotated[str | None, typer.Argument(help="Version; by default the live one.")] = None
) -> None:
    """Show the manifest of a version as JSON. Its files are verified first."""
    import json

    from pinnwx.jobs.models import show_model as job

    for line in json.dumps(job(run, name), indent=2).splitlines():
        typer.echo(printable(line))


@models.command("promote")
def models_promote(
    name: Annotated[str, typer.Argument(help="Version to make live, such as 0002.")],
    run: RunFolder,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar=_PATH, help="Analyses for the promotion check; may be repeated."),
    ] = None,
    start: Annotated[str | None, typer.Option(help="First initial time, ISO 8601 UTC.")] = None,
    end: Annotated[str | None, typer.Option(help="Last initial time; a bare date includes its whole day.")] = None,
    leads: Leads = None,
    json: Json = None,
    force: ForceJson = False,
) -> None:
    """Make a version live. With --data: only if it passes the promotion check (else exit 77)."""
    from pinnwx.jobs.models import promote as job

    job(run, name, data=data, start=start, end=end, leads=_numbers("--leads", leads), json=json, force=force)
    _say(f"Model {name} is live in {run}.")


@models.command("rollback")
def models_rollback(
    run: RunFolder,
    to: Annotated[str | None, typer.Option(help="Version to return to; by default the one before.")] = None,
) -> None:
    """Make an older version live again."""
    from pinnwx.jobs.models import rollback as job

    _say(f"Model {job(run, to)} is live in {run}.")


def _say(text: object, *, err: bool = False) -> None:
    """Prints a line; whatever stands in it, it is one line, and nothing in it is obeyed by a terminal."""
    typer.echo(printable(str(text), LONGEST_MESSAGE), err=err)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(option: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) > _MOST_NUMBERS:
        raise UsageError(f"{option}: {len(parts):,} numbers are more than {_MOST_NUMBERS:,}; give fewer")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise UsageError(f'{option} "{text[:100]}" is not a list of numbers such as 6,12,24')
    return numbers


class _OneLine(logging.Formatter):
    """As `_say` prints; a traceback, which `--debug` may ask for, is left as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record), LONGEST_MESSAGE)


@contextlib.contextmanager
def _notices_shown() -> Iterator[None]:
    """What pinnwx notices on the way (a grid averaged, a repeated step dropped) goes to stderr, a line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("pinnwx: %(message)s"))
    log = logging.getLogger("pinnwx")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    log.propagate = False  # a library that sets the root logger up would say everything twice
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = True


class _Printing(io.FileIO):
    """stdout or stderr, which never fails a verb: what can no longer be written is dropped.

    Its reader may have left (`| head`, a terminal that hung up), or the disk under a log file is full. The verb does
    what it was asked for all the same; `full` says at the end why something is missing.
    """

    full: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                self.full = error
            return memoryview(content).nbytes

    @classmethod
    def instead_of(cls, stream: Any) -> Any:
        """The same as `stream`, a standard one; itself where it is none of the system's, or closed."""
        try:
            raw = cls(stream.fileno(), "w", closefd=False)
        except (AttributeError, OSError, ValueError):
            return stream
        lines = stream.isatty() or raw.fileno() == 2
        return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=lines)


def main() -> None:
    """Runs a verb; an error that pinnwx raises on purpose is one line and its exit code."""
    sys.stdout, sys.stderr = _Printing.instead_of(sys.stdout), _Printing.instead_of(sys.stderr)
    code = _run()
    if sys.stdout is not None:
        sys.stdout.flush()
        full = getattr(getattr(getattr(sys.stdout, "buffer", None), "raw", None), "full", None)
        if code == 0 and full is not None:
            typer.echo(f"pinnwx: the output cannot be written: {full.strerror}; free space and start again", err=True)
            code = OutputError.exit_code
    sys.exit(code)


def _run() -> int:
    """The exit code of the verb that the command line asks for."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a letter that the terminal lacks ends no job
    try:
        with _notices_shown():
            app(standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except PinnwxError as error:
        if debug:
            raise
        _say(f"pinnwx: {error}", err=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if debug:
            raise
        _say(
            f"pinnwx: unexpected {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}; "
            "run again with --debug and report it",
            err=True,
        )
        return 1
    return 0
