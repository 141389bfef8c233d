"""Runs what `pinnwx export` wrote, with jax, NumPy and flatbuffers alone:

python run_exported.py MODEL.npz ANALYSES.npy TIME STEPS FORECAST.npy

ANALYSES.npy holds (input, field, lat, lon) in SI units, the last at TIME (UTC), as `about` in MODEL.npz describes it.
"""

import json
import sys

import jax.export
import numpy as np


def time_features(time):
    """Day of year, hour and the sun's declination, as the model was shown them."""
    year, day, days = time.astype("M8[Y]"), time.astype("M8[D]"), lambda span: span / np.timedelta64(1, "D")
    season = 2 * np.pi * days(time - year.astype("M8[s]")) / days((year + 1).astype("M8[D]") - year.astype("M8[D]"))
    hour, n = 2 * np.pi * days(time - day), days(time - np.datetime64("2000-01-01T12", "s"))
    anomaly, obliquity = np.deg2rad(357.528 + 0.9856003 * n), np.deg2rad(23.439 - 4e-7 * n)
    sun = np.deg2rad(280.460 + 0.9856474 * n + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    declination = np.arcsin(np.sin(obliquity) * np.sin(sun))
    return np.array([np.sin(season), np.cos(season), np.sin(hour), np.cos(hour), declination], np.float32)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")  # for which the program was written
    model, analyses, time = np.load(sys.argv[1]), np.load(sys.argv[2]), np.datetime64(sys.argv[3], "s")
    about, program = json.loads(model["about"].tobytes()), jax.export.deserialize(bytearray(model["program"]))
    names, step = iter(sorted(model.files)), np.timedelta64(round(3600 * about["step_hours"]), "s")  # digits come first
    parameters, forecast = [[model[next(names)] for _ in range(parts)] for parts in about["parts"]], []
    for number in range(int(sys.argv[4])):
        now = np.asarray(program.call(parameters, analyses, time_features(time + number * step + step // 2)))
        analyses, forecast = np.concatenate([analyses[1:], now[None]]), [*forecast, now]
    np.save(sys.argv[5], np.stack(forecast))
    print(f"{about['name']}: {len(forecast)} steps of {', '.join(about['fields'])} in {sys.argv[5]}")
