"""Distillation: how small a student is, what its teacher forecasts for it, and that it learns from that."""

import dataclasses

import numpy as np
import pytest
from flax import nnx
from synthetic import config_text, tiny_trained, transport, wave_archive

from pinnwx.compression.distill import student_of, teacher_trajectories
from pinnwx.errors import StabilityError, UnavailableError, UsageError
from pinnwx.forecasting.predictor import Predictor
from pinnwx.model.weights import count_weights, named_weights, set_weights
from pinnwx.training.fit import curriculum_batches, fit
from pinnwx.training.update import device_archives

ARCHIVE = wave_archive(60)
CURRICULUM = "curriculum = [{ steps = 1, fraction = 0.7 }, { steps = 3, fraction = 0.3 }]"
SETTINGS = f"batch_size = 8\n{CURRICULUM}\n[compression]\nteacher_trajectories = 24"


def teacher_of(model="networks = 4\ninput_times = 2", training=SETTINGS):
    return tiny_trained(config_text(closure="width = 32\nblocks = 1", model=model, training=training))


@pytest.mark.parametrize(
    ("members", "size", "expected", "full"),
    [(4, 0.5, 2, True), (4, 0.25, 1, True), (4, 0.3, 1, True), (4, 0.2, 1, False), (1, 0.5, 1, False)],
)
def test_a_student_has_at_most_its_share_first_of_members_then_of_channels(members, size, expected, full):
    teacher = teacher_of(f"networks = {members}")
    student = student_of(teacher, size)
    assert student.config.model.networks == expected
    assert (student.config.model.closure.width == 32) == full
    most = size * count_weights(teacher.model)
    assert count_weights(student.model) <= most
    if not full:
        closure = student.config.model.closure
        wider = student.config.with_model(closure=closure.model_copy(update={"width": closure.width + 1}))
        assert count_weights(teacher.with_config(wider).model) > most, "the largest that fits"
    assert student.normalisation is teacher.normalisation


@pytest.mark.parametrize("size", [0.0, 1.0, 2.0, 1e-6])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(UsageError, match=f"--size {size:g}"):
        student_of(teacher_of("networks = 1"), size)


def test_a_teacher_forecasts_from_analyses_and_from_such_as_never_were():
    teacher = teacher_of()
    made = teacher_trajectories(teacher, ARCHIVE)
    assert len(made) == 24
    predictor, plain = Predictor(teacher, [6, 12, 18]), []
    for one in made:
        assert len(one) == 2 + 3
        assert (np.diff(one.times) == np.timedelta64(6, "h")).all()
        row = int(np.flatnonzero(one.times[0] == ARCHIVE.times)[0])
        differs = np.abs(one.fields[:2] - ARCHIVE.fields[row : row + 2]).max((0, 2, 3))
        plain.append(bool((differs == 0).all()))
        expected = predictor(one.fields[None, :2], one.times[1:2])[0]
        np.testing.assert_allclose(one.fields[2:], expected, rtol=1e-4)
    assert all(plain[:12])
    assert sum(plain[12:]) < 8, "but where two analyses are alike, for these waves come back"
    starts = [one.times[0] for one in made]
    assert len(set(starts)) == 24, "each once before any again"
    again = teacher_trajectories(teacher, ARCHIVE)
    assert [one.digest() for one in made] == [one.digest() for one in again]


def test_disturbances_stay_within_their_bound_and_none_is_none():
    bounded = teacher_trajectories(teacher_of(training=SETTINGS + "\nperturbation_scale = 0.1"), ARCHIVE)
    spread = ARCHIVE.fields.max(0) - ARCHIVE.fields.min(0)
    sizes = []
    for one in bounded:
        row = int(np.flatnonzero(one.times[0] == ARCHIVE.times)[0])
        difference = np.abs(one.fields[:2] - ARCHIVE.fields[row : row + 2])
        assert (difference <= 0.1 * spread * (1 + 1e-3) + 1e-2).all()
        sizes.append(difference.max())
    assert max(sizes) > 0
    for one in teacher_trajectories(teacher_of(training=SETTINGS + "\nperturbation_scale = 0.0"), ARCHIVE):
        row = int(np.flatnonzero(one.times[0] == ARCHIVE.times)[0])
        np.testing.assert_array_equal(one.fields[:2], ARCHIVE.fields[row : row + 2])


def test_half_of_every_batch_is_the_teachers():
    teacher = teacher_of()
    trajectories = teacher_trajectories(teacher, ARCHIVE)
    archives, student = [ARCHIVE, *trajectories], student_of(teacher, 0.25, 16)
    for stage in curriculum_batches(archives, student.config):
        for number in range(5):
            rows = stage.batch(number)
            assert (rows[:, 0] >= len(ARCHIVE)).sum() == 4
            own = rows[rows[:, 0] >= len(ARCHIVE)] - len(ARCHIVE)
            assert (own // 5 == own[:, :1] // 5).all(), "no window spans two trajectories"
    fields = np.asarray(device_archives(archives, 6.0).fields)
    np.testing.assert_array_equal(fields[len(ARCHIVE) : len(ARCHIVE) + 5], trajectories[0].fields)


def test_a_student_comes_nearer_to_its_teacher_than_one_that_saw_only_the_weather():
    teacher = teacher_of(training=SETTINGS.replace("batch_size = 8", "batch_size = 8\nlearning_rate = 3e-3"))
    scale = teacher.normalisation.increment_std[:, None, None]
    trajectories, forecasts = teacher_trajectories(teacher, ARCHIVE), []
    for windows in (trajectories, []):
        student = student_of(teacher, 0.25, 160)
        result = fit(student.model, ARCHIVE, student.config, scale, teacher_trajectories=windows)
        nnx.update(student.model, *result.parameters)
        forecasts.append(Predictor(student, [6]).from_archive(ARCHIVE, ARCHIVE.times[[10, 30, 50]]))
    wanted = Predictor(teacher, [6]).from_archive(ARCHIVE, ARCHIVE.times[[10, 30, 50]])
    near, far = (np.sqrt((((made - wanted) / scale) ** 2).mean()) for made in forecasts)
    assert near < far


def test_a_model_without_a_network_has_no_student():
    physics = transport("t850", wind="none")
    teacher = tiny_trained(config_text(closure="enabled = false", physics=physics))
    with pytest.raises(UsageError, match="nothing to distil"):
        student_of(teacher, 0.5)


def test_too_little_to_forecast_from_is_refused():
    teacher = teacher_of()
    with pytest.raises(UnavailableError, match="as long as the longest rollout"):
        teacher_trajectories(teacher, wave_archive(4))
    with pytest.raises(UnavailableError, match="of one time of day"):
        teacher_trajectories(teacher, wave_archive(7))


def test_a_teacher_that_blows_up_is_refused():
    teacher = teacher_of()
    broken = {name: np.full_like(values, 1e3) for name, values in named_weights(teacher.model).items()}
    set_weights(teacher.model, broken)
    with pytest.raises(StabilityError, match="24 of 24 forecasts of the teacher blew up"):
        teacher_trajectories(dataclasses.replace(teacher), ARCHIVE)
