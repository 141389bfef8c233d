"""Noise: its distribution, what it changes, and the loss that trains it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scoringrules
from flax import nnx
from synthetic import (
    TRACER,
    config,
    config_text,
    forecaster,
    randomise,
    smooth_noise,
    states,
    step_features,
    times,
    transport,
    wave_archive,
)

from pinnwx.config import parse_config
from pinnwx.constants import EARTH_RADIUS
from pinnwx.data.archive import Archive
from pinnwx.errors import ConfigError
from pinnwx.forecasting.ensemble import Ensemble
from pinnwx.forecasting.trained_model import TrainedModel, error_scale
from pinnwx.grid import Grid
from pinnwx.model import scores
from pinnwx.model.deep_ensemble import give_weights
from pinnwx.model.noise import Noise, is_learned
from pinnwx.model.rollout import rollout
from pinnwx.model.step_context import StepContext
from pinnwx.training.fit import fit
from pinnwx.training.update import CompiledUpdate, UpdateMetrics, device_archive, initial_state, make_update

GRID = Grid.parse("11.25deg+poles")
LENGTH = 2e6
KEYS = jax.random.split(jax.random.key(0), 2000)
NOISE = "[model.noise]\nnumbers = 2\nfields = 1\nlength_km = 3000\n"
TWO_MEMBERS = "batch_size = 8\nupdates = 8\ncurriculum = [{ steps = 1, fraction = 1, members = 2 }]"


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """(draw, lat, lon, channel): two numbers, then a field."""
    return np.asarray(jax.jit(Noise(GRID, 2, 1, LENGTH).__call__)(KEYS))


def test_it_has_mean_zero_and_variance_one_everywhere(drawn):
    error = 1 / np.sqrt(len(KEYS))
    assert np.abs(drawn.mean(axis=0)).max() < 4.5 * error
    np.testing.assert_allclose(drawn.var(axis=0), 1, atol=4.5 * np.sqrt(2) * error)


def test_numbers_are_the_same_everywhere_and_independent(drawn):
    assert (drawn[..., :2] == drawn[:, :1, :1, :2]).all()
    assert np.abs(np.corrcoef(drawn[:, 0, 0].T) - np.eye(3)).max() < 0.1


def test_fields_are_as_smooth_as_their_length_also_over_a_pole_and_the_date_line(drawn):
    latitude, longitude = np.meshgrid(GRID.latitude_radians, GRID.longitude_radians, indexing="ij")
    place = np.stack([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)])
    for row, column in ((8, 0), (1, 5)):  # the equator at the edge of the array; beside a pole
        chord = EARTH_RADIUS * np.linalg.norm(place - place[:, row, column, None, None], axis=0)
        correlation = (drawn[..., 2] * drawn[:, row, column, None, None, 2]).mean(axis=0)
        np.testing.assert_allclose(correlation, np.exp(-(chord**2) / (2 * LENGTH**2)), atol=0.12)
    assert (drawn[:, 0, :, 2] - drawn[:, 0, :1, 2]).max() < 1e-4, "a pole is one point"


def closure_text(kind: str) -> str:
    experts = "experts = 2\npatch_size = 2" if kind == "experts" else f'kind = "{kind}"'
    options = "\n[model.closure.options]\nchannels = 8\ngroups = 2" if kind == "latent_transport" else ""
    return f"width = 16\nblocks = 1\n{experts}{options}"


def noisy_model(kind: str = "residual", **options):
    """With random weights; those of the noise are small."""
    settings = config(closure=closure_text(kind), training=TWO_MEMBERS + "\n" + NOISE, **options)
    model = forecaster(settings)
    randomise(model, 0, 0.1)
    return model


@nnx.jit
def members(model, analyses, time, keys):
    return rollout(model, analyses, time, noise=keys)


@pytest.mark.parametrize("kind", ["residual", "experts", "latent_transport"])
def test_members_differ_by_their_keys(kind):
    model = noisy_model(kind)
    analyses = np.repeat(states(("msl", "t850"), Grid.parse("22.5deg"), 1)[:, None], 3, axis=0)
    keys = jax.random.split(jax.random.key(1), 2)
    made = np.asarray(members(model, analyses, step_features(2, 3), keys[jnp.array([0, 1, 0])]))
    assert (made[:, 0] == made[:, 2]).all()
    unit = np.array([1e3, 15.0])[:, None, None]
    apart = np.abs(made[:, 0] - made[:, 1]) / unit
    assert (apart.max(axis=(2, 3)) > 1e-3).all()
    single = np.asarray(nnx.jit(rollout)(model, analyses, step_features(2, 3)))
    assert (np.abs(single[:, 0] - made[:, 0]) / unit).max() > 1e-3


@pytest.mark.parametrize("kind", ["residual", "experts", "latent_transport"])
def test_before_training_noise_does_nothing_and_has_a_gradient(kind):
    model = noisy_model(kind)
    parts = [path for path, _ in nnx.to_flat_state(nnx.state(model, nnx.Param)) if "modulation" in map(str, path)]
    assert len(parts) == (2 if kind == "latent_transport" else 1)
    state = nnx.to_flat_state(nnx.state(model, nnx.Param))
    for path, variable in state:
        if path in parts:
            variable[...] = jnp.zeros_like(variable[...])
    analyses = jnp.asarray(states(("msl", "t850"), Grid.parse("22.5deg"), 2)[:, None])
    keys = jax.random.split(jax.random.key(1), 2)
    made = members(model, analyses, step_features(1, 2), keys)
    np.testing.assert_array_equal(made, nnx.jit(rollout)(model, analyses, step_features(1, 2)))

    time = jax.tree.map(jnp.asarray, step_features(1, 2))

    def loss(one):
        return jnp.mean((rollout(one, analyses, time, noise=keys)[..., 0, :, :] / 1e3) ** 2)

    slopes = dict(nnx.to_flat_state(nnx.jit(nnx.grad(loss))(model)))
    assert all(np.abs(np.asarray(slopes[path][...])).max() > 0 for path in parts)


def test_noise_leaves_a_conserved_field_alone():
    names = ("vo850", "tracer")
    carried = {"wind": "rotational:vo850", "form": "flux", "scheme": "limited", "conserved": True}
    physics = transport("vo850", wind="rotational:vo850", absolute_vorticity=True) + transport("tracer", **carried)
    training = TWO_MEMBERS + "\n" + NOISE
    model = forecaster(
        config(names, extra=TRACER, physics=physics, closure=closure_text("residual"), training=training)
    )
    randomise(model, 0, 0.1)
    analyses = np.repeat(states(names, Grid.parse("22.5deg"), 1)[:, None], 2, axis=0)
    made = np.asarray(members(model, analyses, step_features(1, 2), jax.random.split(jax.random.key(1), 2)))
    np.testing.assert_array_equal(made[0, 0, 1], made[0, 1, 1])
    assert np.abs(made[0, 0, 0] - made[0, 1, 0]).max() > 1e-8


@pytest.mark.parametrize("size", [2, 5])
def test_the_crps_is_nearly_that_of_an_independent_package(size):
    """It is a mean of the fair and of the plain estimate."""
    generator = np.random.default_rng(0)
    forecasts = generator.standard_normal((3, size, 2, *GRID.shape)).astype(np.float32)
    truth = generator.standard_normal((3, 2, *GRID.shape)).astype(np.float32)
    scale = np.array([2.0, 0.5], np.float32)[:, None, None]
    arrays = map(jnp.asarray, (forecasts, truth, scale, GRID.area_weights.astype(np.float32)))
    own = jax.jit(scores.almost_fair_crps)(*arrays)
    each = {
        name: scoringrules.crps_ensemble(truth, forecasts, m_axis=1, estimator=name) / scale for name in ("fair", "nrg")
    }
    mixed = scores.FAIRNESS * each["fair"] + (1 - scores.FAIRNESS) * each["nrg"]
    np.testing.assert_allclose(own, (GRID.area_weights * mixed).mean(axis=(-2, -1)), rtol=2e-5)


def unpredictable(count: int) -> Archive:
    """x(t + 1) = 0.8 x(t) + 0.6 n: the next state has a known distribution about what can be forecast."""
    grid = Grid.parse("22.5deg")
    shocks = smooth_noise(grid, 2 * count, seed=3, waves=2).reshape(count, 2, *grid.shape)
    shocks /= shocks.std(axis=(0, 2, 3), keepdims=True)
    fields = [shocks[0]]
    for shock in shocks[1:]:
        fields.append(0.8 * fields[-1] + 0.6 * shock)
    scale = np.array([1e3, 15.0])[:, None, None]
    fields = np.array([1e5, 280.0])[:, None, None] + scale * np.stack(fields)
    return Archive(times(count), fields.astype(np.float32), ("msl", "t850"), grid)


def test_training_gives_members_the_spread_of_their_error():
    """With the same updates on the square error of single forecasts, they would not differ at all."""
    archive = unpredictable(1500)
    training = (
        "batch_size = 16\nupdates = 400\nlearning_rate = 5e-3\n"
        "curriculum = [{ steps = 1, fraction = 0.5 }, { steps = 1, fraction = 0.5, members = 2 }]\n"
        "[model.noise]\nnumbers = 4\nfields = 8\nlength_km = 3000"
    )
    text = config_text(closure="width = 32\nblocks = 1\npatch_size = 1", training=training)
    trained = TrainedModel.initialise(parse_config(text), archive, text)
    result = fit(trained.model, archive.select(None, "2026-12-01"), trained.config, error_scale(trained))
    give_weights(trained.model, result.parameters)
    spread, error = [], []
    ensemble = Ensemble(trained, [6], 20)
    assert ensemble.settings == {"members": 20, "perturbation_scale": 0.0, "model_error_scale": 0.0, "noise": True}
    for row in range(1400, 1460):
        made = ensemble.forecast(archive, archive.times[row])[:, 0]
        spread.append(made.var(axis=0, ddof=1).mean(axis=(1, 2)))
        error.append(((made.mean(axis=0) - archive.fields[row + 1]) ** 2).mean(axis=(1, 2)))
    ratio = np.sqrt(np.mean(spread, axis=0) / np.mean(error, axis=0) * 21 / 20)
    assert ((ratio > 0.7) & (ratio < 1.2)).all()
    single = Ensemble(trained, [6], 2, 0, 0, noise=False).forecast(archive, archive.times[1400])
    np.testing.assert_array_equal(single[0], single[1])


def updates(settings: str, counts: dict[int, int]):
    """The state after so many updates of each number of members, one after another."""
    text = config_text(closure=closure_text("residual"), training=settings + "\n" + NOISE)
    trained = TrainedModel.initialise(parse_config(text), wave_archive(60), text)
    update = make_update(trained.model, trained.grid, error_scale(trained), trained.config.training)
    state, source = initial_state(trained.model, trained.config.training), device_archive(wave_archive(60), 6.0)
    windows = jnp.asarray(np.arange(8)[:, None] + np.arange(2), jnp.int32)
    begun = 0
    for size, count in counts.items():
        for _ in range(count):
            state, _ = update(state, windows, source, 40, size, begun)
        begun += count
    return state


def distance(state) -> float:
    """Of the average from the weights, over the size of the weights, of the modulation."""
    parts = [
        [np.asarray(value[...]) for path, value in nnx.to_flat_state(each) if "modulation" in map(str, path)]
        for each in (state.average, state.parameters)
    ]
    (average,), (weights,) = parts
    return float(np.abs(average - weights).max() / np.abs(weights).max())


def test_the_average_forgets_the_weights_from_before_the_members():
    """A slow average would hold the modulation near zero, where it was before."""
    training = TWO_MEMBERS + "\nema_decay = 0.999"
    assert distance(updates(training, {1: 30, 2: 10})) < 0.5
    state = updates(training, {1: 30})
    assert not any(
        np.asarray(value[...]).any()
        for path, value in nnx.to_flat_state(state.parameters)
        if "modulation" in map(str, path)
    ), "single forecasts do not train it"


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_noise_alone_leaves_all_other_weights_at_their_average(optimiser):
    """And learns as fast; without it, other weights learn too."""
    stages = "curriculum = [{ steps = 1, fraction = 1 }, { steps = 1, fraction = 1, members = 2 }]"
    training = f'batch_size = 8\nupdates = 8\n{stages}\nema_decay = 0.9\nweight_decay = 0.1\noptimiser = "{optimiser}"'
    training += "\nnoise_alone = "
    before = updates(training + "true", {1: 30})
    after, others = (updates(training + each, {1: 30, 2: 10}) for each in ("true", "false"))

    def parts(tree, of_noise):
        return [
            np.asarray(value[...])
            for path, value in nnx.to_flat_state(tree)
            if ("modulation" in map(str, path)) == of_noise
        ]

    for held, average, weights in zip(
        parts(before.average, False), parts(after.average, False), parts(after.parameters, False), strict=True
    ):
        np.testing.assert_array_equal(average, held)
        np.testing.assert_array_equal(weights, held)
    assert all(np.abs(each).max() > 0 for each in parts(after.parameters, True))
    assert distance(after) < 0.9
    moved = [
        np.abs(a - b).max() for a, b in zip(parts(others.average, False), parts(before.average, False), strict=True)
    ]
    assert np.mean(np.array(moved) > 0) > 0.9


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_single_forecasts_leave_the_noise_as_it_is(optimiser):
    """Its layers have no gradient there, and the momentum of members before must not move them."""
    training = TWO_MEMBERS + f'\nweight_decay = 0.1\noptimiser = "{optimiser}"'
    kernels = [
        [
            np.asarray(value[...])
            for tree in (state.parameters, state.average)
            for path, value in nnx.to_flat_state(tree)
            if "modulation" in map(str, path)
        ]
        for state in (updates(training, {2: 20}), updates(training, {2: 20, 1: 10}))
    ]
    for before, after in zip(*kernels, strict=True):
        assert np.abs(before).max() > 0
        np.testing.assert_array_equal(after, before)


def test_a_stage_begins_the_average_where_its_members_begin(monkeypatch):
    asked = []

    def record(_, state, windows, source, total, members, begun):
        asked.append((windows.shape[1], members, begun))
        return state._replace(update=state.update + 1), UpdateMetrics(*np.zeros(3))

    monkeypatch.setattr(CompiledUpdate, "__call__", record)
    stages = [(1, 1), (2, 1), (1, 2), (2, 2)]
    curriculum = ", ".join(f"{{ steps = {steps}, fraction = 1, members = {size} }}" for steps, size in stages)
    text = config_text(
        closure=closure_text("residual"), model="networks = 2",
        training=f"batch_size = 8\nupdates = 32\ncurriculum = [{curriculum}]\n{NOISE}",
    )  # fmt: skip
    trained = TrainedModel.initialise(parse_config(text), wave_archive(60), text)
    fit(trained.model, wave_archive(60), trained.config, error_scale(trained))
    assert sorted(set(asked)) == [(2, 1, 0), (2, 2, 8), (3, 1, 0), (3, 2, 8)], "of each network"
    assert len(asked) == 32


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ("batch_size = 8\n" + NOISE, "model.noise needs a stage of training.curriculum with members = 2"),
        (TWO_MEMBERS, "members = 2 needs model.noise, or all members would be equal"),
        ("batch_size = 8\nnoise_alone = true", "training.noise_alone needs model.noise"),
        (TWO_MEMBERS + "\nnoise_alone = true\n" + NOISE, "training.noise_alone needs a first stage of .* members = 1"),
    ],
    ids=["noise that nothing trains", "members that are equal", "nothing to train alone", "random weights"],
)
def test_noise_and_members_need_each_other(training, message):
    with pytest.raises(ConfigError, match=message):
        config(training=training)


def test_noise_needs_a_network():
    with pytest.raises(ConfigError, match="noise needs a network that sees it"):
        config(
            closure="enabled = false",
            physics=transport("t850", wind="geostrophic:msl"),
            training=TWO_MEMBERS + "\n" + NOISE,
        )


LEARNED_WIND = transport("t850", wind="geostrophic:msl", learned_wind=True)
TRACER_WIND = transport(
    "tracer", wind="rotational:vo850", learned_wind=True, form="flux", scheme="limited", conserved=True
)


def acting_on(*parts: str, names=("msl", "t850"), physics: str = LEARNED_WIND, **options):
    """A model whose noise acts on these parts."""
    listed = ", ".join(f'"{part}"' for part in parts)
    training = f"{TWO_MEMBERS}\n{NOISE}acts_on = [{listed}]\n"
    return forecaster(config(names, closure=closure_text("residual"), physics=physics, training=training, **options))


@nnx.jit
def explained_with(model, analyses, time, noise):
    """A step with its parts."""
    context = StepContext(time, noise=noise)
    return model.explain(model.start(analyses, context), context)


@pytest.mark.parametrize("part", ["network", "gates", "winds"])
def test_noise_acts_on_the_part_that_it_is_to_act_on(part):
    """And on no other; before its layers have learned, members are the single forecast."""
    model = acting_on(part)
    assert not is_learned(model)
    analyses, time = jnp.asarray(states(("msl", "t850"), model.inputs.grid, 1)[:, None]), step_features(1, 1)
    time = jax.tree.map(lambda value: jnp.asarray(value)[0], time)
    drawn = model.noise(jax.random.split(jax.random.key(0), 1))
    none = model.noise.absent(1)
    untrained = [explained_with(model, analyses, time, noise).carry.analyses for noise in (none, drawn)]
    np.testing.assert_array_equal(*untrained)
    randomise(model, 0, 0.05)
    assert is_learned(model)
    single, member = (explained_with(model, analyses, time, noise) for noise in (none, drawn))
    assert np.abs(np.asarray(member.carry.analyses - single.carry.analyses)).max() > 0
    changed = {
        name: bool(np.abs(np.asarray(member.learned[name] - values)).max() > 1e-4 * np.abs(values).max())
        for name, values in single.learned.items()
    }
    winds, gates = ([name for name in changed if end in name] for end in ("_learned_", "_gate"))
    assert winds
    assert gates
    assert all(changed[name] == (part == "winds") for name in winds)
    if part == "gates":
        assert any(changed[name] for name in gates)
        np.testing.assert_array_equal(member.terms["network"], single.terms["network"])


def test_noise_in_the_winds_keeps_what_is_conserved():
    """The tracers of two members differ, and their integral is that of the analysis."""
    names = ("vo850", "tracer")
    model = acting_on("winds", names=names, physics=TRACER_WIND, extra=TRACER)
    randomise(model, 0, 0.3)
    grid = model.inputs.grid
    analyses = np.repeat(states(names, grid, 1)[:, None], 2, axis=0)
    made = np.asarray(members(model, analyses, step_features(3, 2), jax.random.split(jax.random.key(1), 2)))[-1, :, 1]
    mass = (grid.area_weights * analyses[0, 0, 1].astype(np.float64)).mean()
    np.testing.assert_allclose((grid.area_weights * made).mean(axis=(-2, -1)), mass, rtol=1e-5)
    assert made.min() >= 0
    assert np.abs(made[0] - made[1]).max() > 1e-4


@pytest.mark.parametrize(
    ("part", "physics", "message"),
    [
        ("winds", transport("t850", wind="geostrophic:msl"), "needs a field with learned_wind = true"),
        ("gates", "", "needs equations whose increments are added with a gate"),
        ("gates", 'increment_use = "shown"\n' + LEARNED_WIND, "needs equations whose increments are added with a gate"),
    ],
    ids=["no learned wind", "no equations", "increments that are only shown"],
)
def test_noise_needs_what_it_acts_on(part, physics, message):
    with pytest.raises(ConfigError, match=message):
        acting_on(part, physics=physics)
