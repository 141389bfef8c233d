"""All verbs, registered in the order in which `pinnwx --help` lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from pinnwx.commands import compress, config, models
from pinnwx.commands.calibrate import calibrate
from pinnwx.commands.check import check
from pinnwx.commands.compare import compare
from pinnwx.commands.demo import demo
from pinnwx.commands.doctor import doctor
from pinnwx.commands.evaluate import evaluate
from pinnwx.commands.explain import explain
from pinnwx.commands.export import export
from pinnwx.commands.fetch import fetch
from pinnwx.commands.forecast import forecast
from pinnwx.commands.forecast_series import forecast_series
from pinnwx.commands.plot import plot
from pinnwx.commands.point import point
from pinnwx.commands.printing import say
from pinnwx.commands.report import report
from pinnwx.commands.retrain import retrain
from pinnwx.commands.status import status
from pinnwx.commands.train import train
from pinnwx.commands.verify import verify
from pinnwx.version import __version__

_VERBS = (
    demo, check, train, evaluate, compare, forecast, forecast_series, fetch, explain, verify, plot, point, retrain,
    calibrate, export, report, status, doctor,
)  # fmt: skip
_GROUPS: dict[str, tuple[str, dict[str, Callable[..., None]]]] = {
    "compress": (
        "Make the live model smaller.",
        {"prune": compress.prune, "distill": compress.distill},
    ),
    "config": (
        "Show the keys of a configuration.",
        {"template": config.template, "schema": config.schema},
    ),
    "models": (
        "List, show, promote, roll back or remove versions.",
        {
            "list": models.list_models,
            "prune": models.prune_models,
            "show": models.show_model,
            "promote": models.promote,
            "rollback": models.rollback,
        },
    ),
}

app = typer.Typer(
    help="A physics-informed neural weather forecaster. Exit codes: 0 done, or done before; 2 usage; 65 bad data; "
    "66 no such file or run; 69 no data for the time asked; 70 unstable forecast; 73 cannot write; 75 locked, try "
    "again; 77 not promoted; 78 bad config; 129 hang-up, 130 interrupt, 131 quit, 143 terminate: saved before it ends.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,  # noqa: ARG001
) -> None:
    if version:
        say(f"pinnwx {__version__}")
        raise typer.Exit


for _verb in _VERBS:
    app.command(_verb.__name__.replace("_", "-"))(_verb)
for _name, (_help, _members) in _GROUPS.items():
    _group = typer.Typer(help=_help, no_args_is_help=True)
    for _member, _function in _members.items():
        _group.command(_member)(_function)
    app.add_typer(_group, name=_name)
