"""Scores of a model, and of two models beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pinnwx.terminal.table import Console, print_table
from pinnwx.variables import VARIABLES, Variable
from pinnwx.verification.significance import is_significant

if TYPE_CHECKING:
    from pinnwx.verification.comparison import Comparison
    from pinnwx.verification.results import Scores


def score_table(scores: Scores, variables: Mapping[str, Variable] = VARIABLES, *, details: bool = False) -> None:
    """The scores, one row per variable and lead, and the skipped pairs; with `details`, by region and scale too."""
    headings = ("variable", "lead", "n", "RMSE", "95 % bounds", "persist.", "climat.", "ratio", "ACC")
    console = Console()
    print_table(console, headings, scores.table(variables))
    console.print("RMSE beside that of persistence and climatology; ratio: RMSE over persistence.", style="dim")
    if significance := scores.significance:
        console.print(significance, style="dim", highlight=False)
    if rows := scores.baseline_table():
        from pinnwx.verification.results import BASELINE_COLUMNS

        console.print()
        print_table(console, BASELINE_COLUMNS, rows)
        console.print("RMSE over that of each baseline; the last two are fitted on the training time.", style="dim")
    if details:
        from pinnwx.verification.results import DETAIL_COLUMNS

        console.print()
        print_table(console, DETAIL_COLUMNS, scores.details_table(variables))
        console.print("RMSE by region, the tropics within 20 degrees; the error that is not exceeded in", style="dim")
        console.print("this percentage of the area; variance of the forecasts over that of the truth.", style="dim")
    if rows := scores.ensemble_table(variables):
        from pinnwx.verification.results import ENSEMBLE_COLUMNS

        console.print()
        print_table(console, ENSEMBLE_COLUMNS, rows)
        console.print("CRPS and spread of the members; spread / RMSE is 1 for a reliable ensemble.", style="dim")
    if rows := scores.probability_table():
        from pinnwx.verification.results import PROBABILITY_COLUMNS

        console.print()
        print_table(console, PROBABILITY_COLUMNS, rows)
        console.print("CRPS over that of climatology and of the dressed single forecast.", style="dim")
    if details and (rows := scores.rank_table(variables)):
        from pinnwx.verification.results import EVENT_COLUMNS, RANK_COLUMNS

        console.print()
        print_table(console, RANK_COLUMNS, rows)
        console.print("Outer ranks: 1 if the truth is outside the members as often as it should be;", style="dim")
        console.print("variance of the members over that of the truth; scores of whole fields.", style="dim")
        if rows := scores.event_table():
            console.print()
            print_table(console, EVENT_COLUMNS, rows)
            console.print("Slope of the frequency of an event against its probability: 1 if reliable.", style="dim")
    if source := scores.settings.get("lateral_boundary"):
        console.print(f"Lateral boundary of the hindcasts: {source}.", style="dim")
    if trained_on := scores.settings.get("trained_on"):
        console.print(
            f"The model was trained on a part of this time, {trained_on[0]} to {trained_on[-1]}.", style="red"
        )
    skipped = {name: count for name, count in scores.skipped.items() if count}
    if skipped:
        console.print("Skipped: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in skipped.items()))


def comparison_table(comparison: Comparison) -> None:
    """The ratio of the errors of two runs, one row per variable and lead."""
    console = Console()
    headings = ("variable", "lead", "n", "days", "ratio", "95 % bounds", "verdict")
    console.print(f"RMSE of {comparison.first} over RMSE of {comparison.second}", highlight=False, soft_wrap=True)
    print_table(console, headings, [_comparison_row(entry) for entry in comparison.ratios])
    console.print(comparison.summary, style="dim", highlight=False)
    console.print("Bounds are over days, not over seeds; a verdict uses the adjusted p-value.", style="dim")
    missing = {entry["bounds_missing"] for entry in comparison.ratios if entry["bounds_missing"]}
    for reason in sorted(missing):
        console.print(f"No bounds: {reason}.", style="dim")


def _comparison_row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    ratio, low, high = entry["ratio"], entry["ratio_low"], entry["ratio_high"]
    bounds = verdict = "-"
    if low is not None and high is not None:
        bounds = f"{low:.3f} to {high:.3f}"
        better = "first better" if ratio < 1 else "second better"
        verdict = better if is_significant(entry["p_adjusted"]) else "undecided"
    return (
        entry["variable"], f"{entry['lead_hours']:g} h", str(entry["n"]), str(entry["n_days"]),
        "-" if ratio is None else f"{ratio:.3f}", bounds, verdict,
    )  # fmt: skip
