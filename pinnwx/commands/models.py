"""`pinnwx models`: the versions of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from pinnwx.commands.lists import numbers
from pinnwx.commands.options import PATH, ForceJson, Json, Leads, OptionalEnd, OptionalStart, RunFolder
from pinnwx.commands.printing import say
from pinnwx.text import printable


def list_models(run: RunFolder) -> None:
    """List the versions of a run, each verified."""
    from pinnwx.jobs.models import list_models as job
    from pinnwx.terminal.runs import version_table

    version_table(job(run))


def prune_models(
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


def show_model(
    run: RunFolder, name: Annotated[str | None, typer.Argument(help="Version; by default the live one.")] = None
) -> None:
    """Show the manifest of a version as JSON. Its files are verified first."""
    import json

    from pinnwx.jobs.models import show_model as job

    for line in json.dumps(job(run, name), indent=2).splitlines():
        typer.echo(printable(line))


def promote(
    name: Annotated[str, typer.Argument(help="Version to make live, such as 0002.")],
    run: RunFolder,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar=PATH, help="Analyses for the promotion check; may be repeated."),
    ] = None,
    start: OptionalStart = None,
    end: OptionalEnd = None,
    leads: Leads = None,
    json: Json = None,
    force: ForceJson = False,
) -> None:
    """Make a version live. With --data: only if it passes the promotion check (else exit 77)."""
    from pinnwx.jobs.promote import promote as job

    job(run, name, data=data, start=start, end=end, leads=numbers("--leads", leads), json=json, force=force)
    say(f"Model {name} is live in {run}.")


def rollback(
    run: RunFolder,
    to: Annotated[str | None, typer.Option(help="Version to return to; by default the one before.")] = None,
) -> None:
    """Make an older version live again."""
    from pinnwx.jobs.promote import rollback as job

    say(f"Model {job(run, to)} is live in {run}.")
