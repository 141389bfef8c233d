"""Runs what `pinnwx export` wrote. It needs jax, NumPy and flatbuffers, and nothing else of pinnwx.

    python -m pinnwx.run_exported MODEL.npz ANALYSES.npy TIME STEPS FORECAST.npy

ANALYSES.npy holds (input, field, lat, lon) in SI units, the last at TIME (UTC), as `about` in MODEL.npz describes it.
FORECAST.npy receives (step, field, lat, lon). Where pinnwx is not installed, this file alone does the same:
`python run_exported.py ...`.
"""

import json
import sys

import jax.export
import numpy as np


def time_features(time):
    """Day of year and hour as sine and cosine, and the sun's declination: as in training (`data.calendar`)."""
    year, day, days = time.astype("M8[Y]"), time.astype("M8[D]"), lambda span: span / np.timedelta64(1, "D")
    season = 2 * np.pi * days(time - year.astype("M8[s]")) / days((year + 1).astype("M8[D]") - year.astype("M8[D]"))
    hour, n = 2 * np.pi * days(time - day), days(time - np.datetime64("2000-01-01T12", "s"))
    anomaly, obliquity = np.deg2rad(357.528 + 0.9856003 * n), np.deg2rad(23.439 - 4e-7 * n)
    sun = np.deg2rad(280.460 + 0.9856474 * n + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    declination = np.arcsin(np.sin(obliquity) * np.sin(sun))
    return np.array([np.sin(season), np.cos(season), np.sin(hour), np.cos(hour), declination], np.float32)


def run(model, analyses, time, steps):
    """Forecast (step, field, lat, lon) from analyses (input, field, lat, lon), the last of them at `time`.

    `model` is the open archive that `pinnwx export` wrote.
    """
    about, program = json.loads(model["about"].tobytes()), jax.export.deserialize(bytearray(model["program"]))
    names, step = iter(sorted(model.files)), np.timedelta64(round(3600 * about["step_hours"]), "s")  # digits come first
    parameters, forecast = [[model[next(names)] for _ in range(parts)] for parts in about["parts"]], []
    for number in range(steps):
        fields = np.asarray(program.call(parameters, analyses, time_features(time + number * step + step // 2)))
        analyses, forecast = np.concatenate([analyses[1:], fields[None]]), [*forecast, fields]
    return np.stack(forecast)


def main():
    """Reads the files that the command line names, runs the model and writes the forecast."""
    jax.config.update("jax_platforms", "cpu")  # for which the program was exported
    if len(sys.argv) != 6:
        sys.exit("usage: run_exported MODEL.npz ANALYSES.npy TIME STEPS FORECAST.npy")
    model, analyses, time = np.load(sys.argv[1]), np.load(sys.argv[2]), np.datetime64(sys.argv[3], "s")
    forecast, about = run(model, analyses, time, int(sys.argv[4])), json.loads(model["about"].tobytes())
    np.save(sys.argv[5], forecast)
    print(f"{about['name']}: {len(forecast)} steps of {', '.join(about['fields'])} in {sys.argv[5]}")


if __name__ == "__main__":
    main()
