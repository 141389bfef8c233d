"""The baselines that are fitted on the training time of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pinnwx.data.archive import Archive
from pinnwx.data.calendar import format_time
from pinnwx.verification.baselines import Baseline, ClimatologyLike
from pinnwx.verification.damped_persistence import DampedPersistence
from pinnwx.verification.linear_inverse import LinearInverseModel


def fit_baselines(
    training: Archive | None, climatology: ClimatologyLike | None, lead_hours: Sequence[float]
) -> dict[str, Baseline]:
    """Damped persistence and the linear inverse model for these leads, as far as the training time allows them.

    Args:
        training: the analyses of the training time and no others; `None` if the data do not contain it.
        climatology: the climatology of the training time.
        lead_hours: the leads that are scored.
    """
    if training is None or climatology is None:
        return {}
    damped = DampedPersistence.fit(training, climatology, lead_hours)
    inverse = LinearInverseModel.fit(training, climatology, lead_hours)
    fitted: dict[str, Baseline] = {} if inverse is None else {"linear_inverse": inverse}
    return {"damped_persistence": damped, **fitted}


def describe_fit(training: Archive | None, baselines: Mapping[str, Baseline]) -> dict | None:
    """What the baselines were fitted on, for the record of scores; `None` without any."""
    if training is None or not baselines:
        return None
    fitted = {"fitted_on": [format_time(training.times[0]), format_time(training.times[-1])]}
    inverse = baselines.get("linear_inverse")
    return fitted | (
        {"linear_inverse_eofs": len(inverse.propagator)} if isinstance(inverse, LinearInverseModel) else {}
    )
