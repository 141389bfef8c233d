"""Real storms are weather: analyses that a climatology has not seen, judged as if they were forecasts of ten days."""

from pathlib import Path

import numpy as np
import pytest

from pinnwx.config import load_config
from pinnwx.data.archive import Archive
from pinnwx.data.open import open_data
from pinnwx.forecasting.plausibility import implausibilities
from pinnwx.forecasting.trained_model import TrainedModel

pytestmark = pytest.mark.real_data
EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
ARCHIVES = {"era5": ("era5_hybrid", "era5_global"), "europe": ("europe_hybrid", "erainterim_europe")}


@pytest.mark.parametrize("key", ARCHIVES)
def test_ten_days_of_unseen_analyses_pass(real_data, key):
    experiment, folder = ARCHIVES[key]
    path = EXPERIMENTS / f"{experiment}.toml"
    config = load_config(path)
    dataset = open_data(real_data / folder, config.data.fields, grid=config.data.grid)
    archive = Archive.from_dataset(dataset, config.data.fields)
    training = archive.select(config.data.train.start, config.data.train.end)
    trained = TrainedModel.initialise(config, training, path.read_text())
    step = config.model.step_hours
    leads = [step * k for k in range(1, round(240 / step) + 1)]
    starts = range(len(training), len(archive) - len(leads), max(1, round(72 / step)))
    assert len(starts) > 1
    for start in starts:
        ahead = archive.fields[start + 1 : start + 1 + len(leads)]
        assert not list(implausibilities(ahead, leads, trained, archive.times[start], archive.fields[start])), start
    rough = ahead.copy()
    rough[0] += 2 * np.std(ahead, axis=(0, 2, 3))[:, None, None] * (1 - 2 * (np.indices(rough.shape[-2:])[1] % 2))
    assert list(implausibilities(rough, leads, trained, archive.times[start], archive.fields[start]))
