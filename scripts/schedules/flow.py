"""The same two jobs as a Prefect flow: an example, no dependency of pinnwx (`pip install prefect`).

    python flow.py        serves both schedules until it is stopped

A refusal of pinnwx is a state of the flow with its reason. What another job is doing already is tried again later.
"""

from __future__ import annotations

import os

from prefect import flow, serve, task
from prefect.client.schemas.schedules import CronSchedule

import pinnwx
from pinnwx.errors import LockedError, NotPromotedError, UnavailableError

RUN, ANALYSES, FORECASTS = (os.environ[name] for name in ("RUN", "ANALYSES", "FORECASTS"))


def _another_is_at_work(_task, _run, state) -> bool:
    return isinstance(state.result(raise_on_failure=False), LockedError)


@task(retries=3, retry_delay_seconds=300, retry_condition_fn=_another_is_at_work)
def forecasts() -> None:
    options = {"hours": 240, "max_age": 12, "plots": True, "score": True, "keep_days": 30}
    pinnwx.forecast_series(RUN, ANALYSES, FORECASTS, init="P3D/latest", **options).require_all()


@task(retries=3, retry_delay_seconds=300, retry_condition_fn=_another_is_at_work)
def retraining() -> str:
    try:
        return f"version {pinnwx.retrain(RUN, ANALYSES).version} is live"
    except (NotPromotedError, UnavailableError) as reason:
        return str(reason)


@flow(name="pinnwx forecast")
def forecast_flow() -> None:
    forecasts()
    for warning in pinnwx.status(RUN, forecasts=FORECASTS).warnings:
        print(f"warning: {warning}")


@flow(name="pinnwx retrain")
def retrain_flow() -> str:
    return retraining()


if __name__ == "__main__":
    serve(
        forecast_flow.to_deployment("forecasts", schedules=[CronSchedule(cron="40 1,7,13,19 * * *", timezone="UTC")]),
        retrain_flow.to_deployment("weekly", schedules=[CronSchedule(cron="20 3 * * 1", timezone="UTC")]),
    )
