"""`pinnwx calibrate`: the ensembles of the live model, fitted on its training time."""

from __future__ import annotations

from pinnwx.commands.options import Data, RunFolder
from pinnwx.commands.printing import say


def calibrate(run: RunFolder, data: Data) -> None:
    """Fit the ensembles of a cross-fitted model.

    Fitted on its training time are the scales of what makes members differ, and a calibration of the members for
    --calibrated. The result is a new live version with the same weights.
    """
    from pinnwx.jobs.calibrate import calibrate as job

    done = job(run, data)
    fit = done.calibration
    low, high = fit.factor.min(), fit.factor.max()
    say(f"Model {done.version} is live in {run}: the weights of the version before, calibrated.")
    say(f"Fitted on {fit.forecasts} ensembles of the training time.")
    say(f"Analyses perturbed by {fit.perturbation_scale:g}, model errors times {fit.model_error_scale:g}.")
    say(
        f"Spread times {low:.2f} to {high:.2f} by field, place and lead, from {fit.lead_hours[0]:g} to "
        f"{fit.lead_hours[-1]:g} h."
    )
