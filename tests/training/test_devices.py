"""Training on several devices gives the losses of training on one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

UPDATES = 10

# The losses of the first updates of a hybrid, as JSON: argv holds the process's number, how many there are, their port.
LOSSES = f"""
import json, sys
import jax
from synthetic import config, wave_archive
from pinnwx.data.windows import window_indices
from pinnwx.errors import ConfigError
from pinnwx.forecasting.trained_model import TrainedModel
from pinnwx.training.devices import Devices
from pinnwx.training.update import device_archive, initial_state, make_update

number, processes, port = map(int, sys.argv[1:])
if processes > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{{port}}", processes, number)
devices = Devices()
physics = '[[model.physics.transport]]\\nfield = "t850"\\nwind = "geostrophic:msl"'
settings = config(training='batch_size = 8\\noptimiser = "muon"\\nlearning_rate = 5e-3', physics=physics)
archive = wave_archive(60)
trained = TrainedModel.initialise(settings, archive)
devices.require_even_shares(8)
refused = ""
try:
    devices.require_even_shares(9)
except ConfigError as error:
    refused = str(error)
update = make_update(
    trained.model, archive.grid, trained.normalisation.increment_std[:, None, None], settings.training, devices
)
state = devices.on_all(initial_state(trained.model, settings.training))
source = devices.on_all(device_archive(archive, 6.0))
windows, losses = window_indices(archive.times, 6.0, 2), []
for first in range({UPDATES}):
    state, progress = update(state, devices.shared_out(windows[4 * first : 4 * first + 8]), source, 100)
    losses.append(float(progress.loss))
print(json.dumps([len(jax.devices()), losses, refused]))
"""


def start(virtual_devices: int, number: int = 0, processes: int = 1, port: int = 0) -> subprocess.Popen:
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={virtual_devices}",
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "PINNWX_CACHE": "",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "0",  # without them, rounding differs more between layouts of devices
    }
    command = [sys.executable, "-c", LOSSES, *map(str, (number, processes, port))]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def losses(process: subprocess.Popen, devices: int) -> np.ndarray:
    try:
        printed, _ = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0
    found, values, refused = json.loads(printed.splitlines()[-1])
    assert found == devices
    assert ("9 cannot be shared by" in refused) == (devices > 1)
    return np.array(values)


@pytest.fixture(scope="module")
def on_one() -> np.ndarray:
    values = losses(start(1), 1)
    assert len(values) == UPDATES
    assert values[-1] < 0.9 * values[0]
    return values


@pytest.mark.slow
def test_eight_devices_of_one_process(on_one):
    np.testing.assert_allclose(losses(start(8), 8), on_one, rtol=1e-5)


@pytest.mark.slow
def test_two_processes(on_one):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    both = [start(2, number, 2, port) for number in range(2)]
    for process in both:
        np.testing.assert_allclose(losses(process, 4), on_one, rtol=1e-5)
