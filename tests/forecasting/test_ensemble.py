"""Ensembles: what tells members apart, what they have in common, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
from flax import nnx
from synthetic import config_text, randomise, smooth_noise, tiny_trained, wave_archive

from pinnwx.data.archive import Archive
from pinnwx.errors import UnavailableError, UsageError
from pinnwx.forecasting.ensemble import PERTURBATION_SCALE, Ensemble
from pinnwx.forecasting.predictor import Predictor
from pinnwx.model.deep_ensemble import networks_of


def analyses(names=("msl", "t850")) -> Archive:
    """Waves that are never twice the same."""
    archive = wave_archive(60, names=names)
    noise = smooth_noise(archive.grid, 60 * len(names)).reshape(archive.fields.shape)
    scale = archive.fields.std(axis=(0, 2, 3), keepdims=True)
    return replace(archive, fields=(archive.fields + 0.3 * scale * noise).astype(np.float32))


ARCHIVE = analyses()
WHEN = ARCHIVE.times[-1]
MIRRORED = "width = 16\nblocks = 1\nhemispheric_symmetry = true\npatch_size = 2"


@pytest.fixture(scope="module")
def trained():
    return tiny_trained()


def departures(members, trained):
    """From the mean of the members, in standard deviations of each field."""
    return (members - members.mean(axis=0)) / trained.normalisation.std[:, None, None]


def test_without_perturbation_members_of_one_view_are_the_plain_forecast():
    trained = tiny_trained(config_text(closure="width = 16\nblocks = 1\npatch_size = 1"))
    made = Ensemble(trained, [6, 24], 4, perturbation_scale=0).forecast(ARCHIVE, WHEN)
    plain = Predictor(trained, [6, 24]).from_archive(ARCHIVE, ARCHIVE.times[-1:])[0]
    assert made.shape == (4, 2, 2, 8, 16)
    both = np.stack([*made, plain])
    unit = (
        np.spacing(np.abs(both).max(axis=(0, 1, 3, 4))) / trained.normalisation.std
    )  # batches are rounded differently
    assert (np.abs(departures(both, trained)) <= np.maximum(1e-5, 2 * unit)[:, None, None]).all()


def test_every_member_has_a_disturbance_of_its_own(trained):
    started = Ensemble(trained, [6], 5).analyses(ARCHIVE, WHEN)
    assert started.shape == (5, 1, 2, 8, 16)
    scale = trained.normalisation.std[:, None, None]
    apart = (started - ARCHIVE.fields[-1]) / scale
    sizes = np.sqrt((apart**2).mean((1, 2, 3, 4)))
    assert ((sizes > 0.02) & (sizes < 0.5)).all()
    between = np.abs(apart[:, None] - apart[None]).max((2, 3, 4, 5))
    assert between[~np.eye(5, dtype=bool)].min() > 0.01
    twice = Ensemble(trained, [6], 5, perturbation_scale=2 * PERTURBATION_SCALE).analyses(ARCHIVE, WHEN)
    np.testing.assert_allclose((twice - ARCHIVE.fields[-1]) / scale, 2 * apart, atol=1e-4)


def test_the_same_data_and_time_give_the_same_members(trained):
    first, again = (Ensemble(trained, [6], 6).forecast(ARCHIVE, WHEN) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = Ensemble(trained, [6], 6).forecast(ARCHIVE, ARCHIVE.times[-5])
    assert np.abs(departures(first, trained) - departures(other, trained)).max() > 1e-3


def test_no_later_analysis_is_looked_at(trained):
    """Truth stays out of the members: changing the future changes nothing."""
    when = ARCHIVE.times[47]
    made = Ensemble(trained, [6], 6).forecast(ARCHIVE, when)
    known = ARCHIVE.select(None, str(when))
    np.testing.assert_array_equal(Ensemble(trained, [6], 6).forecast(known, when), made)


def test_every_network_and_view_has_its_turn():
    """Without perturbation the members are as many different forecasts as there are views."""
    text = config_text(model="networks = 2", closure=MIRRORED)
    trained = tiny_trained(text)
    for seed, network in enumerate(networks_of(trained.model)):
        randomise(network, seed, 0.1)
    made = Ensemble(trained, [6], 10, perturbation_scale=0).forecast(ARCHIVE, WHEN)
    scale = trained.normalisation.std[:, None, None]
    apart = np.abs((made[:, None] - made[None]) / scale).max((2, 3, 4, 5))
    views = 2 * 4  # networks, hemispheres x offsets
    view = np.arange(10) % views
    same = view[:, None] == view
    assert apart[same].max() < 1e-5
    assert apart[~same].min() > 1e-3


def test_a_member_sees_what_its_network_alone_would_say():
    trained = tiny_trained(config_text(model="networks = 2"))
    networks = networks_of(trained.model)
    for seed, network in enumerate(networks):
        randomise(network, seed, 0.1)
    made = Ensemble(trained, [12], 4, perturbation_scale=0).forecast(ARCHIVE, WHEN)
    predictor = Predictor(trained, [12])
    start = predictor.analyses(ARCHIVE, ARCHIVE.times[-1:])
    for index, network in enumerate(networks):
        alone = predictor.run(*nnx.split(network), start, ARCHIVE.times[-1:], network.views[0])[0]
        np.testing.assert_allclose((made[index] - alone) / trained.normalisation.std[:, None, None], 0, atol=1e-5)


def test_what_must_be_positive_stays_so():
    """Humidity is zero in places, and a perturbation would take it below."""
    archive = analyses(("msl", "q850"))
    archive.fields[:, 1] = np.maximum(1e-3 * (archive.fields[:, 1] - archive.fields[:, 1].mean()), 0)
    archive.fields[-1, 1, 0, 0] = -1e-9  # as spectral models have it in places
    trained = tiny_trained(config_text(("msl", "q850")), archive)
    started = Ensemble(trained, [6], 8, perturbation_scale=0.5).analyses(archive, archive.times[-1])
    assert started[:, :, 1].min() >= np.float32(-1e-9)
    assert (started[:, :, 1] == 0).any()
    assert np.ptp(started[:, :, 1], axis=0).max() > 0


def test_too_few_analyses_before_are_refused(trained):
    with pytest.raises(UnavailableError, match=r"hold 3 analyses .* up to 2026-01-03T12:00Z; .* at least 8"):
        Ensemble(trained, [6], 4).forecast(ARCHIVE, ARCHIVE.times[10])


@pytest.mark.parametrize("size", [1, 0, -3])
def test_one_member_is_no_ensemble(trained, size):
    with pytest.raises(UsageError, match="at least 2"):
        Ensemble(trained, [6], size)


def test_no_member_starts_from_less_than_nothing_of_a_variable_that_says_so():
    """Analyses may hold small negative values; perturbations make no more of them."""
    own = '[variables.dust]\nunits = "1"\nminimum = -1e-3\nmaximum = inf\nnonnegative = true\n'
    archive = analyses(("msl", "dust"))
    archive.fields[:, 1] = np.maximum(archive.fields[:, 1] - archive.fields[:, 1].mean(), 0)
    trained = tiny_trained(config_text(("msl", "dust"), extra=own), archive)
    started = Ensemble(trained, [6], 8).analyses(archive, archive.times[-1])[:, :, 1]
    assert started.min() == 0
    assert np.abs(started - archive.fields[-1, 1]).max() > 0.1
