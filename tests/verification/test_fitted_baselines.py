"""Damped persistence and the linear inverse model recover known systems, and are fitted on training time only."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import ConstantClimatology

from pinnwx.data.archive import Archive
from pinnwx.grid import Grid
from pinnwx.verification.damped_persistence import DampedPersistence
from pinnwx.verification.evaluate import score_hindcasts
from pinnwx.verification.fitted_baselines import fit_baselines
from pinnwx.verification.linear_inverse import LinearInverseModel

GRID = Grid.parse("22.5deg")
NAMES = ("msl", "t850")


STEP = np.timedelta64(6, "h")
LEADS = (6.0, 12.0, 24.0)


def archive_of(fields: np.ndarray) -> Archive:
    times = np.datetime64("2026-01-01", "ns") + STEP * np.arange(len(fields))
    return Archive(times, fields.astype(np.float32), NAMES, GRID)


NOTHING = ConstantClimatology(np.zeros((2, *GRID.shape)))


def first_order(factors, n_times: int) -> np.ndarray:
    """White noise in space with a memory of its own in each field: x(t + 1) = a x(t) + noise, of unit variance."""
    factor = np.asarray(factors)[:, None, None]
    noise = np.random.default_rng(0).standard_normal((n_times, 2, *GRID.shape))
    fields = noise.copy()
    for step in range(1, n_times):
        fields[step] = factor * fields[step - 1] + np.sqrt(1 - factor**2) * noise[step]
    return fields


def test_the_factor_is_the_lagged_correlation():
    """Of a stationary system the factor at n steps is a^n; 128 cells and 100 independent times allow 0.01 each."""
    factors = (0.9, 0.5)
    damped = DampedPersistence.fit(archive_of(first_order(factors, 1000)), NOTHING, LEADS)
    for lead in LEADS:
        np.testing.assert_allclose(damped.factors[lead], np.array(factors) ** (lead / 6), atol=0.03)


def test_the_factor_is_the_regression_coefficient_over_all_pairs():
    archive = archive_of(first_order((0.9, 0.5), 60))
    climatology = ConstantClimatology(np.full((2, *GRID.shape), 0.1))
    weights = np.broadcast_to(GRID.area_weights, GRID.shape)
    x = archive.fields[:, 0] - 0.1
    slope = (weights * x[:-2] * x[2:]).sum() / (weights * x[:-2] ** 2).sum()
    damped = DampedPersistence.fit(archive, climatology, LEADS)
    assert damped.factors[12.0][0] == pytest.approx(slope, rel=1e-5)
    forecast = damped(x[:3, None].repeat(2, axis=1), np.full((3, 2, *GRID.shape), 0.1), 12.0)
    np.testing.assert_allclose(forecast[:, 0], 0.1 + slope * x[:3], rtol=1e-5)


def rotating_system(n_times: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fields of five orthogonal maps whose coefficients follow p(t + 1) = G p(t) + noise: fields, maps, G."""
    generator = np.random.default_rng(1)
    turn, decay = 0.5, 0.93
    g = np.diag([0.0, 0.0, 0.0, 0.0, 0.8])
    for first, angle in ((0, turn), (2, 2 * turn)):
        block = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        g[first : first + 2, first : first + 2] = decay * np.array(block)
    coefficients = np.zeros((n_times, 5))
    for step in range(1, n_times):
        coefficients[step] = g @ coefficients[step - 1] + generator.standard_normal(5) * [1.0, 0.9, 0.8, 0.7, 0.6]
    maps = np.linalg.qr(generator.standard_normal((2 * GRID.shape[0] * GRID.shape[1], 5)))[0].T
    maps = maps.reshape(5, 2, *GRID.shape) * [[[1000.0]], [[3.0]]]
    return np.tensordot(coefficients, maps, axes=1), maps, g


def test_the_linear_inverse_model_recovers_a_linear_system():
    """Eigenvalues of G, whatever the basis of EOFs, within the sampling error 1 / sqrt(2000); forecasts by G^n."""
    fields, maps, g = rotating_system(2000)
    model = LinearInverseModel.fit(archive_of(fields), NOTHING, LEADS)
    assert len(model.propagator) == 5
    recovered, true = (np.sort_complex(np.linalg.eigvals(each)) for each in (model.propagator, g))
    np.testing.assert_allclose(recovered, true, atol=3 / np.sqrt(2000))
    coefficients = np.random.default_rng(2).standard_normal((4, 5))
    start, expected = (np.tensordot(each, maps, axes=1) for each in (coefficients, coefficients @ (g @ g).T))
    forecast = model(start.astype(np.float32), np.zeros_like(start), 12.0)
    scale = np.abs(expected).max(axis=(0, 2, 3), keepdims=True)
    np.testing.assert_allclose(forecast / scale, expected / scale, atol=0.08)


def test_the_linear_inverse_model_beats_damped_persistence_where_the_system_rotates():
    fields, _, _ = rotating_system(1200)
    training, later = archive_of(fields[:1000]), archive_of(fields)
    scores = score_hindcasts(
        later,
        lambda indices: np.repeat(later.fields[indices][:, None], len(LEADS), axis=1),
        NOTHING,
        later.times[1000:],
        LEADS,
        training=training,
    )
    for entry in scores.scores:
        assert entry["linear_inverse_rmse"] < 0.9 * entry["damped_persistence_rmse"]
        assert entry["damped_persistence_rmse"] < entry["persistence_rmse"]
        assert entry["damped_persistence_rmse"] <= 1.02 * entry["climatology_rmse"]
        assert entry["damped_persistence_rmse_low"] < entry["damped_persistence_rmse"]
    assert scores.settings["baselines"] == {
        "fitted_on": ["2026-01-01T00:00Z", "2026-09-07T18:00Z"],
        "linear_inverse_eofs": 5,
    }
    assert len(scores.scores) == len(NAMES) * len(LEADS)


def test_nothing_is_fitted_outside_the_training_time(archive):
    """Other analyses after the training time change no number of a baseline."""
    training = replace(archive, times=archive.times[:60], fields=archive.fields[:60])
    climatology = ConstantClimatology(training.fields.mean(axis=0, dtype=np.float64))

    def scores(later: Archive):
        model = lambda indices: later.fields[indices][:, None]  # noqa: E731
        return score_hindcasts(later, model, climatology, later.times[60:], [6], training=training)

    fits = fit_baselines(training, climatology, [6])
    changed = archive.fields.copy()
    changed[60:] = 2 * changed[60:]
    first, second = scores(archive), scores(replace(archive, fields=changed))
    assert first.settings["baselines"] == second.settings["baselines"]
    start = archive.fields[70:71] - climatology.mean
    expected = fits["damped_persistence"](start, climatology.mean[None], 6)
    factor = fits["damped_persistence"].factors[6.0]
    np.testing.assert_allclose(expected, climatology.mean + factor[:, None, None] * start, rtol=1e-6)


def test_without_the_training_time_the_scores_of_fitted_baselines_are_undefined(archive, climatology):
    model = lambda indices: archive.fields[indices][:, None]  # noqa: E731
    for training in (None, replace(archive, times=archive.times[:10], fields=archive.fields[:10])):
        scores = score_hindcasts(archive, model, climatology, archive.times, [6], training=training)
        for entry in scores.scores:
            assert entry["damped_persistence_rmse"] is entry["linear_inverse_ratio"] is None
            assert entry["linear_inverse_ratio_p_adjusted"] is None
            assert entry["persistence_rmse"] > 0
