"""Transport that is computed before training: the same losses and weights, and no transport in the update."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from pydantic import ValidationError
from synthetic import config, transport, wave_archive

from pinnwx.errors import ConfigError
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.training.trainer import Trainer
from pinnwx.training.update import device_archive, initial_state, make_loss, make_update, with_transport

ARCHIVE = wave_archive(60)
PHYSICS = 'backpropagate = false\nwind_updates = 2\nwind_time = "midpoint"\n' + transport(
    "t850", wind="geostrophic:msl"
)
ERROR = 'equation_error = "transported"\n' + PHYSICS
TRACER = transport("t850", wind="geostrophic:msl", form="flux", scheme="limited", conserved=True)


def settings(physics: str = PHYSICS, precompute: bool = True, **options):
    text = f"batch_size = 8\nprecompute_transport = {str(precompute).lower()}\n" + options.pop("training", "")
    return config(physics=physics, training=text, model="input_times = 3" if physics == ERROR else "", **options)


def updated(physics: str, steps: int, precompute: bool):
    """The losses and the weights after three updates of so many steps."""
    trained = TrainedModel.initialise(settings(physics), ARCHIVE)
    scale = trained.normalisation.increment_std[:, None, None]
    update = make_update(trained.model, ARCHIVE.grid, scale, trained.config.training)
    state, source = initial_state(trained.model, trained.config.training), device_archive(ARCHIVE, 6.0)
    if precompute:
        source = with_transport(source, trained.model)
    losses = []
    for first in (0, 20, 40):
        times = np.arange(trained.model.input_times + steps)
        windows = jnp.asarray(np.arange(first, first + 8)[:, None] + times, jnp.int32)
        state, metrics = update(state, windows, source, 100)
        losses.append(float(metrics.loss))
    return losses, jax.tree.leaves(state.parameters)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("physics", [PHYSICS, "backpropagate = false\n" + TRACER, ERROR])
def test_losses_and_weights_are_the_same(physics, steps):
    losses, weights = updated(physics, steps, precompute=True)
    expected, others = updated(physics, steps, precompute=False)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("steps", [1, 2])
def test_updates_of_one_step_use_it_and_no_others(steps):
    """The loss of one step changes with the stored transport."""
    trained = TrainedModel.initialise(settings(), ARCHIVE)
    loss = make_loss(trained.model, ARCHIVE.grid, trained.normalisation.increment_std[:, None, None])
    source = with_transport(device_archive(ARCHIVE, 6.0), trained.model)
    other = source._replace(transported=jax.tree.map(lambda values: 2 * values, source.transported))
    windows = jnp.asarray(np.arange(8)[:, None] + np.arange(steps + 1), jnp.int32)
    first, second = (float(loss(nnx.state(trained.model, nnx.Param), windows, one)) for one in (source, other))
    assert (first != second) == (steps == 1)


def test_each_analysis_has_its_own_transport():
    trained = TrainedModel.initialise(settings(), ARCHIVE)
    source = with_transport(device_archive(ARCHIVE, 6.0), trained.model)
    assert len(source.transported.change) == len(ARCHIVE)
    for row in (0, 40, len(ARCHIVE) - 1):
        alone = jax.jit(trained.model.transport_of)(
            source.fields[row : row + 1], source.time.select(slice(row, row + 1))
        )
        for part, expected in zip(source.transported, alone, strict=True):
            np.testing.assert_allclose(part[row], expected[0], rtol=1e-4, atol=1e-5)
    assert np.abs(source.transported.change[0] - source.transported.change[40]).max() > 0.01


def test_a_training_uses_it_where_it_is_asked_to(monkeypatch):
    calls = []
    monkeypatch.setattr("pinnwx.training.trainer.with_transport", lambda source, _: calls.append(1) or source)
    several = "curriculum = [{ steps = 2, fraction = 1 }]"
    for precompute, training in ((False, ""), (True, several), (True, "")):
        one = settings(precompute=precompute, training=training)
        trained = TrainedModel.initialise(one, ARCHIVE)
        Trainer(trained.model, [ARCHIVE], one, trained.normalisation.increment_std[:, None, None], [], None)
    assert len(calls) == 1, "and where an update has one step"


@pytest.mark.parametrize(
    ("options", "needs"),
    [
        ({"physics": ""}, "a [[model.physics.transport]] table"),
        ({"physics": PHYSICS.replace("false", "true")}, "model.physics.backpropagate = false"),
        ({"physics": "coupling_steps = 2\n" + PHYSICS}, "model.physics.coupling_steps = 1"),
        ({"training": "perturbation_scale = 1.0"}, "training.perturbation_scale = 0"),
    ],
)
def test_transport_that_changes_is_not_computed_before(options, needs):
    with pytest.raises((ConfigError, ValidationError)) as error:
        settings(**options)
    assert f"training.precompute_transport = true needs {needs}" in str(error.value)
