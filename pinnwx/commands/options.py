"""Options that several verbs share, each named and described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PATH = "<path>"
_START = typer.Option(help="First initial time, ISO 8601 UTC.")
_END = typer.Option(help="Last initial time; a bare date includes its whole day.")

Data = Annotated[
    list[str],
    typer.Option("--data", metavar=PATH, help="File, glob, folder or zarr store of analyses; may be repeated."),
]
RunFolder = Annotated[Path, typer.Option("--run", help="Run folder of a training.")]
NewRun = Annotated[Path, typer.Option("--out", help="Run folder to make.")]
NetcdfFile = Annotated[Path, typer.Option("--out", help="NetCDF file to write.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the result to this JSON file.")]

Start = Annotated[str, _START]
End = Annotated[str, _END]
OptionalStart = Annotated[str | None, _START]
OptionalEnd = Annotated[str | None, _END]
Init = Annotated[str, typer.Option(help='Initial time, ISO 8601 UTC, or "latest".')]
Hours = Annotated[float, typer.Option(help="Length of the forecast in hours.")]
Members = Annotated[int | None, typer.Option(help="Make an ensemble of this many forecasts.")]
Quantiles = Annotated[
    str | None, typer.Option(help="Quantiles of the members to write too, with mean and spread, such as 0.1,0.5,0.9.")
]
CalibratedMembers = Annotated[
    bool, typer.Option("--calibrated", help="Calibrate the members; the model has to be calibrated (pinnwx calibrate).")
]
ScoredMembers = Annotated[int | None, typer.Option(help="Score ensembles of this many members.")]
Thresholds = Annotated[
    list[str] | None,
    typer.Option(metavar="EVENT", help="An event whose probability counts, in SI units: t2m<273.15. Repeat it."),
]
MaxAge = Annotated[float | None, typer.Option(help="Refuse an analysis older than this many hours (exit 69).")]
Leads = Annotated[
    str | None, typer.Option(help="Lead times in hours, such as 6,12,24; by default those that suit the model's step.")
]

LateralBoundary = Annotated[
    list[str] | None,
    typer.Option(metavar=PATH, help="Forecast of a larger area, for a model with a lateral boundary; may be repeated."),
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
InitFrom = Annotated[
    Path | None,
    typer.Option("--init-from", metavar=PATH, help="Run folder: begin with the weights of its live model."),
]
NoiseLike = Annotated[
    list[str] | None,
    typer.Option(
        metavar=PATH,
        help="Analyses. --data, a simulation, gets noise until it is as irregular in time. May be repeated.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue after an interruption.")]
PromoteAnyway = Annotated[
    bool, typer.Option("--promote-anyway", help="Make the model live even if the training check refuses it.")
]
Details = Annotated[bool, typer.Option("--details", help="Show scores by region, percentiles and variance too.")]

Remake = Annotated[bool, typer.Option("--remake", help="Make a forecast again if its analyses have changed since.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
ForceJson = Annotated[bool, typer.Option("--force", help="Replace an existing file of --json.")]
ForceRun = Annotated[bool, typer.Option("--force", help="Start again in a run folder; its versions stay.")]
