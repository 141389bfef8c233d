"""One code path: physics alone, network alone, both, and the second-order model are settings of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exact.sphere import integral
from flax import nnx
from synthetic import (
    TRACER,
    advanced,
    begun,
    config,
    explained,
    fields_of,
    forecaster,
    forecasts,
    randomise,
    states,
    step_features,
    transport,
)

from pinnwx.errors import ConfigError
from pinnwx.grid import Grid
from pinnwx.model.forecaster import TransportForecaster
from pinnwx.model.interface import Forecaster
from pinnwx.model.rollout import rollout
from pinnwx.model.second_order import SecondOrderForecaster
from pinnwx.model.step_context import StepContext

NAMES = ("msl", "vo850", "u850", "v850")
WINDS = transport("vo850", wind="rotational:vo850", absolute_vorticity=True) + transport("msl", wind="prognostic:850")
OFF = "enabled = false"
SETTINGS = {
    "physics alone": {"physics": WINDS, "closure": OFF},
    "network alone": {},
    "hybrid": {"physics": WINDS},
    "hybrid of two times": {"physics": WINDS, "model": "input_times = 2"},
    "deep ensemble of four times": {"physics": WINDS, "model": "input_times = 4\nnetworks = 2"},
    "hybrid with equation error": {"physics": 'equation_error = "transported"\n' + WINDS, "model": "input_times = 2"},
    "second order": {"model": 'kind = "second_order"\ninput_times = 2', "substeps": 1},
}
STEPS = 2


def model_of(kind: str) -> Forecaster:
    return forecaster(config(NAMES, **SETTINGS[kind]))


@partial(jax.jit, static_argnames="count")
def _analyses(fields, count: int):
    return jnp.stack([jnp.roll(fields, -back, axis=-1) for back in range(count)][::-1], axis=1)


def analyses(model: Forecaster, fields):
    """What the model starts from: these fields, and before them the same a column further west."""
    return _analyses(fields, model.input_times)


@pytest.mark.parametrize("kind", [*SETTINGS, "semi-Lagrangian"])
def test_models_of_the_same_settings_share_what_is_compiled(kind):
    """Their graphs are equal, whatever the weights: a version of a run that is read again compiles nothing."""
    settings = SETTINGS.get(kind, {"physics": f'method = "semi_lagrangian"\n{WINDS}'})
    first, second = (forecaster(config(NAMES, extra=f"seed = {seed}", **settings)) for seed in (1, 2))
    assert nnx.split(first)[0] == nnx.split(second)[0]


def test_models_of_other_equations_do_not_share_what_is_compiled():
    first, second = (forecaster(config(NAMES, physics=WINDS, substeps=substeps)) for substeps in (2, 3))
    assert nnx.split(first)[0] != nnx.split(second)[0]


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_perturbation_is_added_at_the_end_of_a_step(kind):
    """Once, whatever the model and however many networks it has."""
    model = model_of(kind)
    randomise(model, 1, 0.02)
    grid, time = Grid.parse("22.5deg"), step_features(1, 2).select(0)
    first, second = (jnp.asarray(states(NAMES, grid, seed=seed)) for seed in (0, 1))
    perturbation = 0.01 * (second - first)

    @nnx.jit
    def advanced(model, added):
        context = StepContext(time, perturbation=added)
        carry = model.advance(model.start(analyses(model, first), context), context)
        if isinstance(model, SecondOrderForecaster):  # its fields have a learned emission besides
            return carry.fields * 8 * model.inputs.std[...]
        return model.to_fields(carry, context)

    added = (advanced(model, perturbation) - advanced(model, None)) / model.inputs.std[...]
    np.testing.assert_allclose(added, perturbation / model.inputs.std[...], atol=1e-4)


@dataclass
class Compiled:
    """A model with its compiled rollout: `forecast` and `gradient` take parameters and fields."""

    kind: str
    model: Forecaster
    forecast: Callable
    gradient: Callable
    first: nnx.State  # parameters before any training
    drawn: nnx.State  # and at random


@pytest.fixture(scope="module")
def fields():
    return jnp.asarray(states(NAMES, Grid.parse("22.5deg")))


@pytest.fixture(scope="module", params=SETTINGS)
def compiled(request, fields):
    model = model_of(request.param)
    graph, first, rest = nnx.split(model, nnx.Param, ...)
    times = step_features(STEPS, 2)

    @jax.jit
    def run(parameters, initial):
        def loss(parameters):
            made = rollout(nnx.merge(graph, parameters, rest), analyses(model, initial), times)
            return jnp.mean(((made - fields) / fields.std()) ** 2), made

        (_, made), gradient = jax.value_and_grad(loss, has_aux=True)(parameters)
        return made, gradient

    first = jax.tree.map(np.array, first)
    randomise(model, 1, 0.1)
    drawn = nnx.state(model, nnx.Param)
    return Compiled(request.param, model, lambda *given: run(*given)[0], lambda *given: run(*given)[1], first, drawn)


def in_deviations(difference, fields) -> np.ndarray:
    return np.asarray(difference / np.std(fields, axis=(0, 2, 3), keepdims=True))


@pytest.mark.slow
def test_each_setting_forecasts(compiled, fields):
    for parameters in (compiled.first, compiled.drawn):
        made = compiled.forecast(parameters, fields)
        assert made.shape == (STEPS, 2, len(NAMES), 8, 16)
        assert made.dtype == jnp.float32
        assert np.isfinite(made).all()


@pytest.mark.slow
def test_each_setting_has_gradients_that_reach_every_weight(compiled, fields):
    """At random weights: at the first ones the last layers are zero and hide the rest."""
    leaves = jax.tree.leaves_with_path(compiled.gradient(compiled.drawn, fields))
    assert leaves
    for path, leaf in leaves:
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


@pytest.mark.slow
def test_an_untrained_model_is_persistence_and_physics(compiled, fields):
    moved = np.abs(in_deviations(compiled.forecast(compiled.first, fields) - fields, fields)).max(axis=(0, 1, 3, 4))
    carried = 2 if "physics" in SETTINGS[compiled.kind] else 0
    assert (moved[:carried] > 0.01).all(), "what the wind carries"
    assert (moved[carried:] < 1e-3).all(), "and nothing else"
    if compiled.kind != "second order":
        assert (moved[carried:] == 0).all()
    if compiled.kind == "hybrid":
        alone = forecasts(model_of("physics alone"), fields[:, None], step_features(1, 2))
        together = compiled.forecast(compiled.first, fields)
        ulps = 4 * np.spacing(np.float32(1e5)) / 1e3  # pressure is rounded to 1e-5 of its deviation, some times over
        np.testing.assert_allclose(in_deviations(together[:1] - alone, fields), 0, atol=ulps)


@pytest.mark.slow
def test_an_increment_may_be_added_or_shown_alone(fields):
    """Shown, it changes no field but through the weights of the closure. Added, the closure has no feature of it."""
    models = {use: forecaster(config(NAMES, physics=f'increment_use = "{use}"\n{WINDS}')) for use in ("added", "shown")}
    both, alone = model_of("hybrid"), model_of("network alone")
    features = {name: model.closure.features for name, model in {"both": both, "alone": alone, **models}.items()}
    assert features["shown"] == features["both"] != features["alone"] == features["added"]
    time = step_features(1, 2)
    forecast = {use: forecasts(model, fields[:, None], time) for use, model in models.items()}
    np.testing.assert_array_equal(forecast["added"], forecasts(both, fields[:, None], time))
    np.testing.assert_array_equal(forecast["shown"], forecasts(alone, fields[:, None], time))
    for model in models.values():
        randomise(model, 0, 0.1)
    terms = {use: explained(model, analyses(model, fields), time.select(0)).terms for use, model in models.items()}
    assert not np.asarray(terms["shown"]["advection_by_physical_wind"]).any()
    assert np.asarray(terms["added"]["advection_by_physical_wind"]).any()
    with pytest.raises(ConfigError, match="needs a network that sees the increments"):
        config(NAMES, physics=f'increment_use = "shown"\n{WINDS}', closure=OFF)
    with pytest.raises(ConfigError, match='increment_use = "shown" adds no increment; it excludes conserved'):
        config(NAMES, physics='increment_use = "shown"\n' + transport("msl", wind="prognostic:850", gated=False))


@pytest.mark.slow
def test_a_forecast_does_not_depend_on_its_neighbours_in_the_batch(compiled, fields):
    together = compiled.forecast(compiled.drawn, fields)
    swapped = compiled.forecast(compiled.drawn, fields[::-1])[:, ::-1]
    np.testing.assert_allclose(in_deviations(together - swapped, fields), 0, atol=1e-4)


@pytest.mark.slow
def test_a_compiled_rollout_is_its_steps(compiled, fields):
    nnx.update(compiled.model, compiled.drawn)
    times = step_features(STEPS, 2)
    carry, expected = begun(compiled.model, analyses(compiled.model, fields), times.select(0)), []
    for step in range(STEPS):
        time = times.select(step)
        carry = advanced(compiled.model, carry, time)
        expected.append(fields_of(compiled.model, carry, time))
    found = compiled.forecast(compiled.drawn, fields)
    np.testing.assert_allclose(in_deviations(found - jnp.stack(expected), fields), 0, atol=1e-4)


def test_a_solver_of_diffrax_makes_the_same_forecast(fields):
    """Its Heun method is the one written by hand, but for rounding."""
    ours, theirs = (
        forecaster(config(NAMES, physics=f'solver = "{solver}"\n' + WINDS, closure=OFF))
        for solver in ("heun", "diffrax:Heun")
    )
    times = step_features(STEPS, 2)
    made, same = (forecasts(model, analyses(model, fields), times) for model in (ours, theirs))
    np.testing.assert_allclose(in_deviations(made - same, fields), 0, atol=1e-4)
    assert np.abs(in_deviations(made - fields, fields)).max() > 0.1


def test_one_code_path():
    kinds = {kind: model_of(kind) for kind in SETTINGS}
    assert all(isinstance(model, Forecaster) for model in kinds.values())
    assert {type(kinds[kind]) for kind in ("physics alone", "network alone", "hybrid")} == {TransportForecaster}
    assert isinstance(kinds["second order"], SecondOrderForecaster)


def test_the_learned_wind_is_bounded(fields):
    settings = config(
        NAMES, physics=transport("msl", learned_wind=True), closure="width = 16\nmaximum_learned_wind = 12.5"
    )
    model = forecaster(settings)
    randomise(model, 0, 10.0)
    learned = explained(model, fields[:, None], step_features(1, 2).select(0)).learned
    winds = [learned[f"msl_learned_{name}_wind"] for name in ("eastward", "northward")]
    assert 12.0 < np.abs(winds).max() <= 12.5


def test_diffusivity_is_never_negative():
    settings = config(NAMES, physics="learned_diffusivity = true\n" + transport("msl") + transport("vo850"))
    model = forecaster(settings)
    for seed in range(5):
        randomise(model, seed, 30.0)
        assert (model.diffusivity() >= 0).all()


@pytest.mark.slow
def test_the_second_order_model_conserves_its_scaled_fields():
    """Its transport is in flux form, so at any weights no field gains or loses; the emission is only read off."""
    grid = Grid.parse("22.5deg+poles")
    closure = "width = 16\nblocks = 1\npatch_size = 1"
    made = config(NAMES, model='kind = "second_order"', closure=closure, grid="22.5deg+poles", substeps=1)
    model = forecaster(made, grid)
    fields = jnp.asarray(states(NAMES, grid))
    time = step_features(1, 2).select(0)
    for seed in range(3):
        randomise(model, seed, 0.3)
        start = carry = begun(model, analyses(model, fields), time)
        for _ in range(3):
            carry = advanced(model, carry, time)
        change = np.abs(carry.fields - start.fields).max(axis=(0, 2, 3))
        assert (change > 1e-3).all()
        np.testing.assert_allclose(integral(carry.fields, grid), integral(start.fields, grid), rtol=1e-6)


def test_a_second_order_model_needs_its_networks():
    with pytest.raises(ConfigError, match=r"model\.closure\.enabled = true"):
        forecaster(config(NAMES, model='kind = "second_order"', closure=OFF))


def test_promises_that_cannot_be_kept_are_refused():
    carried = {"form": "flux", "scheme": "limited", "conserved": True}
    regional = Grid(tuple(np.arange(30.0, 50.0, 2.5).tolist()), tuple(np.arange(0.0, 20.0, 2.5).tolist()))
    closure = "width = 16\nblocks = 1\npatch_size = 1"
    with pytest.raises(ConfigError, match="conserved = true needs a global grid"):
        forecaster(config(("tracer",), extra=TRACER, physics=transport("tracer", **carried), closure=closure), regional)
    with pytest.raises(ConfigError, match=r"diffusivity 1e\+07 m2 s-1 exceeds the .* that 2 sub-steps allow"):
        forecaster(config(NAMES, physics=transport("msl", diffusivity=1e7)))
    with pytest.raises(ConfigError, match=r'"second_order" makes its own wind; remove model\.physics\.transport'):
        forecaster(config(NAMES, model='kind = "second_order"', physics=transport("msl", wind="prognostic:850")))


def test_the_same_seed_gives_the_same_weights():
    first, again = (nnx.state(forecaster(config(NAMES, extra="seed = 3")), nnx.Param) for _ in range(2))
    other = nnx.state(forecaster(config(NAMES, extra="seed = 4")), nnx.Param)
    pairs = list(zip(*map(jax.tree.leaves, (first, again, other)), strict=True))
    assert all(np.array_equal(a, b) for a, b, _ in pairs)
    assert not all(np.array_equal(a, c) for a, _, c in pairs)


def forecast_and_gradient(model, fields, times):
    """A forecast, and the gradient of the mean square of its last fields by the parameters; compiled."""
    graph, parameters, rest = nnx.split(model, nnx.Param, ...)

    @jax.jit
    def forecast(parameters):
        return rollout(nnx.merge(graph, parameters, rest), fields[:, None], times)

    @jax.jit
    @jax.grad
    def gradient(parameters):
        return jnp.mean((forecast(parameters)[-1] / fields.std(axis=(0, 2, 3), keepdims=True)) ** 2)

    return forecast(parameters), gradient(parameters)


@pytest.mark.parametrize("steps", [1, 3])
def test_without_gradients_through_the_equations_a_forecast_is_the_same(steps, fields):
    """And of one step the gradient too: what a step starts from depends on no weight."""
    forecasts, gradients = [], []
    for backpropagate in ("true", "false"):
        model = forecaster(config(NAMES, physics=f"backpropagate = {backpropagate}\n{WINDS}"))
        randomise(model, 1, 0.1)
        forecast, gradient = forecast_and_gradient(model, fields, step_features(steps, 2))
        forecasts.append(forecast)
        gradients.append(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)]))
    np.testing.assert_array_equal(*forecasts)
    apart = np.linalg.norm(gradients[0] - gradients[1]) / np.linalg.norm(gradients[0])
    assert apart < 1e-5 if steps == 1 else 1e-4 < apart < 1


def test_what_is_learned_in_the_equations_needs_gradients():
    for learned in ("learned_diffusivity = true", transport("msl", wind="none", learned_wind=True)):
        with pytest.raises(ConfigError, match="need gradients"):
            config(NAMES, physics=f"backpropagate = false\n{learned}")
