"""A trained model and its files.

A version folder holds `weights.safetensors`, `normalisation.nc`, `climatology.nc`, `static.nc`, `config.toml` and their
manifest, which is written last (`pinnwx.manifest`). It may hold `optimiser.safetensors`, the state from which
retraining continues, and for ensembles `model_errors.nc`, a sample of model errors, and `calibration.nc`. Single
forecasts need none of them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from pinnwx.config import Config, config_text, parse_config
from pinnwx.data.archive import Archive
from pinnwx.data.fitting import fit_climatology, fit_normalisation
from pinnwx.data.statistics_files import (
    read_climatology,
    read_normalisation,
    write_climatology,
    write_normalisation,
)
from pinnwx.data.storage import read_netcdf, write_netcdf
from pinnwx.errors import CheckpointError, ConfigError, GridError, UsageError
from pinnwx.files import replacing, write_text
from pinnwx.forecasting.calibration import Calibration
from pinnwx.forecasting.model_errors import ModelErrors
from pinnwx.grid import Grid
from pinnwx.manifest import RESTORE, TRAINING_CHECK, read_files, write_manifest
from pinnwx.model.architecture import architecture, differences
from pinnwx.model.build import build_forecaster
from pinnwx.model.inputs import Inputs
from pinnwx.model.interface import Forecaster
from pinnwx.model.weights import named_weights, set_weights
from pinnwx.runlayout import LIVE, VERSIONS
from pinnwx.statistics import Climatology, Normalisation
from pinnwx.training.substeps import with_number, with_substeps
from pinnwx.version import __version__

if TYPE_CHECKING:
    from jax import Array

    from pinnwx.data.find import Paths
    from pinnwx.data.inputs import Data
    from pinnwx.forecasting.state import State, Trajectory

_log = logging.getLogger(__name__)
WEIGHTS, NORMALISATION, CLIMATOLOGY, STATIC = "weights.safetensors", "normalisation.nc", "climatology.nc", "static.nc"
CONFIG, OPTIMISER, MODEL_ERRORS = "config.toml", "optimiser.safetensors", "model_errors.nc"
CALIBRATION_FILE = "calibration.nc"
PARTS = (WEIGHTS, NORMALISATION, CLIMATOLOGY, STATIC, CONFIG)
_OF_ENSEMBLES = (MODEL_ERRORS, CALIBRATION_FILE)
_SUBSTEPS = "substeps"  # of transport, in the manifest
_OF_A_VERSION = ("files", "model", _SUBSTEPS, "versions", "device", "pinnwx", "format")  # keys of one version
_PACKAGES = ("jax", "flax", "optax", "diffrax", "numpy", "xarray", "netCDF4")


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A forecaster with everything that forecasts and scores need. `manifest` records its origin.

    `config_text` is the user's. `config` differs from it in automatic sub-steps: it holds the number that was chosen.
    """

    config: Config
    config_text: str
    grid: Grid
    model: Forecaster
    normalisation: Normalisation
    climatology: Climatology
    static: Mapping[str, np.ndarray]
    manifest: Mapping[str, Any]
    optimiser: Mapping[str, np.ndarray] | None = None  # after a training in this process; retraining continues from it
    model_errors: ModelErrors | None = None  # of a cross-fitted model
    calibration: Calibration | None = None  # of its ensembles

    @property
    def names(self) -> tuple[str, ...]:
        """The forecast fields, in the order of the arrays."""
        return self.config.data.fields

    @property
    def notes(self) -> dict[str, Any]:
        """What the manifest of another version with the same weights says too."""
        return {key: value for key, value in self.manifest.items() if key not in _OF_A_VERSION}

    @classmethod
    def initialise(cls, config: Config, archive: Archive, text: str | None = None) -> TrainedModel:
        """Returns a forecaster with new random weights. Its normalisation and climatology are fitted on `archive`.

        Automatic sub-steps are chosen from the winds of `archive` (`pinnwx.training.substeps`). `archive` holds the
        training time and nothing else. `text` is the user's TOML text of `config`. By default it is written from
        `config`.
        """
        normalisation = fit_normalisation(archive, config.model.step_hours)
        static = {name: np.asarray(values) for name, values in archive.static.items()}
        climatology = fit_climatology(archive)
        text = config_text(config) if text is None else text
        config = config.model_copy(update={"model": with_substeps(config.model, archive)})
        model = _assemble(config, archive.grid, normalisation, climatology, static)
        return cls(config, text, archive.grid, model, normalisation, climatology, static, {})

    @classmethod
    def load(cls, folder: str | Path) -> TrainedModel:
        """Reads a version folder, or the live version of a run folder. Every file is verified against the manifest.

        Each file is read once; the verified bytes are the bytes that are used.

        Raises:
            CheckpointError: the manifest is missing, a file is damaged or a link, this package lacks the kind of model,
                or the weights do not fit the config.
        """
        folder = Path(folder)
        if (folder / LIVE).exists() or (folder / VERSIONS).is_dir():
            from pinnwx.forecasting.runs import Run

            return Run.open(folder).load()
        manifest, contents = read_files(folder, (*PARTS, *_OF_ENSEMBLES), required=PARTS)
        _require_known(manifest, folder)
        config, text = _own_config(contents[CONFIG], folder, manifest)
        config = _with_known_substeps(config, manifest.get(_SUBSTEPS))
        normalisation = read_normalisation(folder / NORMALISATION, contents[NORMALISATION])
        grid, static = _read_static(folder / STATIC, contents[STATIC])
        climatology = read_climatology(folder / CLIMATOLOGY, contents[CLIMATOLOGY])
        _require_fitting(config, grid, normalisation, climatology, static, folder)
        try:
            model = _assemble(config, grid, normalisation, climatology, static)
        except ConfigError as error:
            raise CheckpointError(f"{folder / CONFIG}: {error}; {RESTORE}") from None
        _require_same_parts(model, config, manifest, folder)
        _set_weights(model, _tensors(contents[WEIGHTS], folder / WEIGHTS), folder / WEIGHTS)
        names, shape = config.data.fields, grid.shape
        errors, fit = (contents.get(name) for name in _OF_ENSEMBLES)
        return cls(
            config, text, grid, model, normalisation, climatology, static, manifest,
            model_errors=None if errors is None else ModelErrors.read(folder / MODEL_ERRORS, names, shape, errors),
            calibration=None if fit is None else Calibration.read(folder / CALIBRATION_FILE, names, shape, fit),
        )  # fmt: skip

    def with_config(self, config: Config) -> TrainedModel:
        """Returns a model of other settings with new random weights and the same normalisation and climatology.

        It has no model errors and no calibration. Automatic sub-steps are those of this model.
        """
        config = _with_known_substeps(config, _substeps(self.config))
        model = _assemble(config, self.grid, self.normalisation, self.climatology, self.static)
        return replace(
            self, config=config, config_text=config_text(config), model=model, manifest={}, model_errors=None,
            calibration=None,
        )  # fmt: skip

    def state(self, data: Data, time: str | np.datetime64) -> State:
        """The state at a time, from files, a dataset or an archive: see `pinnwx.forecasting.state`."""
        from pinnwx.forecasting.state import state_of

        return state_of(self, data, time)

    def rollout(
        self, state: State, steps: int, lateral_boundary: Array | None = None, *, remember: bool = True
    ) -> Trajectory:
        """The forecast from a state, which JAX can differentiate: see `pinnwx.forecasting.state.roll_out`."""
        from pinnwx.forecasting.state import roll_out

        return roll_out(self, state, steps, lateral_boundary, remember=remember)

    def forecast(
        self,
        data: Data,
        *,
        init: str | np.datetime64 = "latest",
        hours: float = 120,
        members: int | None = None,
        calibrated: bool = False,
        lateral_boundary: Paths | xr.Dataset | None = None,
    ) -> xr.Dataset:
        """A forecast as a CF dataset, from one analysis of the data: see `pinnwx.forecasting.forecasts`."""
        from pinnwx.forecasting.forecasts import forecast

        return forecast(
            self, data, init=init, hours=hours, members=members, calibrated=calibrated,
            lateral_boundary=lateral_boundary,
        )  # fmt: skip

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Writes a run folder in which this model is live. `load` and every command of `pinnwx` can read it.

        `force` adds the model to an existing run as a further version. A model that did not pass its training check
        also becomes live, with a warning. Its manifest records the result of the check and that the user saved the
        model.

        Raises:
            OutputError: the folder is not empty, or it cannot be written.
            LockedError: a job is running in it.
        """
        from pinnwx.forecasting.runs import new_run

        run = new_run(folder, force=force, remedy="force=True to add a version to it")
        notes = self.notes
        if TRAINING_CHECK in notes:
            notes[TRAINING_CHECK] = notes[TRAINING_CHECK] | {"saved_by_user": True}
        with run.lock():
            write_text(run.folder / CONFIG, self.config_text)
            name = run.publish(self, notes, self.optimiser)
        if objections := notes.get(TRAINING_CHECK, {}).get("objections"):
            _log.warning(
                "warning: model %s in %s is live because it was saved, though it did not pass its training check: %s",
                name, run.folder, objections[0],
            )  # fmt: skip

    def save_version(
        self, folder: Path, notes: Mapping[str, Any], optimiser: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Writes a version into a new or empty folder.

        The manifest gets `notes` (seed, data hash, plan ...), and the package versions and the device of this process.
        `optimiser` is the state of the optimiser after training, by name.

        Raises:
            OutputError: the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / WEIGHTS) as temporary:
            temporary.write_bytes(save_tensors(named_weights(self.model)))
        write_normalisation(self.normalisation, folder / NORMALISATION)
        write_climatology(self.climatology, folder / CLIMATOLOGY)
        write_netcdf(_static_dataset(self), folder / STATIC)
        write_text(folder / CONFIG, self.config_text)
        versions = {"pinnwx": __version__} | {name: metadata.version(name) for name in _PACKAGES}
        parts = PARTS
        if optimiser is not None:
            with replacing(folder / OPTIMISER) as temporary:
                temporary.write_bytes(save_tensors(dict(optimiser)))
            parts += (OPTIMISER,)
        if self.model_errors is not None:
            self.model_errors.write(folder / MODEL_ERRORS)
            parts += (MODEL_ERRORS,)
        if self.calibration is not None:
            self.calibration.write(folder / CALIBRATION_FILE)
            parts += (CALIBRATION_FILE,)
        parts_of_model = architecture(self.model, self.config.model)
        device = jax.devices()[0].device_kind
        own = {"model": parts_of_model, "versions": versions, "device": device}
        if (substeps := _substeps(self.config)) is not None:
            own[_SUBSTEPS] = substeps
        write_manifest(folder, parts, {**notes, **own})


def _assemble(
    config: Config,
    grid: Grid,
    normalisation: Normalisation,
    climatology: Climatology,
    static: Mapping[str, np.ndarray],
) -> Forecaster:
    gradients = config.model.closure.gradients
    inputs = Inputs(grid, normalisation, static, config.variable_table(), gradients=gradients)
    return build_forecaster(inputs, config.model, config.seed, climatology, static)


def _substeps(config: Config) -> int | None:
    """The number of sub-steps; None for a model that has no use for one."""
    substeps = config.model.physics.substeps
    return None if substeps == "auto" else substeps


def _with_known_substeps(config: Config, substeps: int | None) -> Config:
    """The settings with this number instead of automatic sub-steps."""
    if substeps is None or config.model.physics.substeps != "auto":
        return config
    return config.model_copy(update={"model": with_number(config.model, substeps)})


def load_optimiser(folder: Path) -> dict[str, np.ndarray] | None:
    """Returns the verified state of the optimiser of a version, or None if the version has none.

    Raises:
        CheckpointError: see `TrainedModel.load`.
    """
    _, contents = read_files(folder, (OPTIMISER,))
    return _tensors(contents[OPTIMISER], folder / OPTIMISER) if OPTIMISER in contents else None


def _require_known(manifest: Mapping[str, Any], folder: Path) -> None:
    """Raises:
    CheckpointError: the version has a file that this package does not know.
    """
    unknown = sorted(manifest["files"].keys() - {*PARTS, OPTIMISER, *_OF_ENSEMBLES})
    if unknown:
        raise CheckpointError(
            f"{folder} holds {', '.join(unknown)}, which pinnwx {__version__} does not know; {_made_by(manifest)}"
        )


def _require_same_parts(model: Forecaster, config: Config, manifest: Mapping[str, Any], folder: Path) -> None:
    """Raises:
    CheckpointError: the manifest lists other parts of the model than this package builds from the config. Manifests of
        early versions list no parts; for them every part has only one possible kind.
    """
    if "model" not in manifest:
        return
    if mismatches := differences(manifest["model"], architecture(model, config.model)):
        raise CheckpointError(
            f"{folder} is not the model that pinnwx {__version__} builds from its config.toml: {mismatches[0]}; "
            f"{_made_by(manifest)}"
        )


def _made_by(manifest: Mapping[str, Any]) -> str:
    return f"use the version of pinnwx that wrote it ({manifest.get('pinnwx') or 'unknown'}), or train again"


def _own_config(content: bytes, folder: Path, manifest: Mapping[str, Any]) -> tuple[Config, str]:
    """The settings of a version, and their text. A config that this package refuses was written by another version."""
    try:
        text = content.decode("utf-8")
        return parse_config(text, str(folder / CONFIG)), text
    except (ConfigError, UsageError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{error}; {_made_by(manifest)}") from None


def _require_fitting(
    config: Config,
    grid: Grid,
    normalisation: Normalisation,
    climatology: Climatology,
    static: Mapping[str, np.ndarray],
    folder: Path,
) -> None:
    """Raises:
    CheckpointError: the files of a version do not belong to the same model.
    """
    names, shape = config.data.fields, grid.shape
    arrays = {
        f"{NORMALISATION}: mean": (normalisation.mean, (len(names),)),
        f"{NORMALISATION}: std": (normalisation.std, (len(names),)),
        f"{NORMALISATION}: increment_std": (normalisation.increment_std, (len(names),)),
        f"{NORMALISATION}: mean_map": (normalisation.mean_map, (len(names), *shape)),
        f"{CLIMATOLOGY}: coefficients": (climatology.coefficients, (len(climatology.coefficients), len(names), *shape)),
        f"{CLIMATOLOGY}: minimum": (climatology.minimum, (len(names), *shape)),
        f"{CLIMATOLOGY}: maximum": (climatology.maximum, (len(names), *shape)),
        **{f"{STATIC}: {name}": (values, shape) for name, values in static.items()},
    }
    for name, (values, expected) in arrays.items():
        if values.shape != expected:
            raise CheckpointError(f"{folder}/{name} has the shape {values.shape}, not {expected}; {RESTORE}")
    for part, held in ((NORMALISATION, normalisation.names), (CLIMATOLOGY, climatology.names)):
        if held != names:
            raise CheckpointError(f"{folder / part} holds {', '.join(held)}, not {', '.join(names)}; {RESTORE}")
    if set(static) != set(config.data.static):
        raise CheckpointError(
            f"{folder / STATIC} holds {', '.join(static) or 'nothing'}, but the config names "
            f"{', '.join(config.data.static) or 'nothing'}; {RESTORE}"
        )
    if not ((normalisation.std > 0).all() and (normalisation.increment_std > 0).all()):
        raise CheckpointError(f"{folder / NORMALISATION} holds a scale that is not positive; {RESTORE}")
    if not all(np.isfinite(values).all() for values in static.values()):
        raise CheckpointError(f"{folder / STATIC} holds values that are not finite; {RESTORE}")


def _static_dataset(trained: TrainedModel) -> xr.Dataset:
    coordinates = {"latitude": list(trained.grid.latitude), "longitude": list(trained.grid.longitude)}
    fields = {name: (("latitude", "longitude"), values) for name, values in trained.static.items()}
    return xr.Dataset(fields, coords=coordinates)


def _read_static(path: Path, content: bytes) -> tuple[Grid, dict[str, np.ndarray]]:
    dataset = read_netcdf(path, content)
    coordinates = [dataset[name] for name in ("latitude", "longitude") if name in dataset.variables]
    if [each.dims for each in coordinates] != [("latitude",), ("longitude",)]:
        raise CheckpointError(f"{path} holds no grid; {RESTORE}")
    if not all(np.issubdtype(values.dtype, np.number) for values in dataset.variables.values()):
        raise CheckpointError(f"{path} holds a variable that is not numeric; {RESTORE}")
    try:
        grid = Grid.from_coordinates(*(each.values for each in coordinates))
    except GridError as error:
        raise CheckpointError(f"{path} holds no grid ({error}); {RESTORE}") from None
    return grid, {str(name): values.values for name, values in dataset.data_vars.items()}


def _tensors(content: bytes, path: Path) -> dict[str, np.ndarray]:
    try:
        return load_tensors(content)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from None


def _set_weights(model: Forecaster, stored: Mapping[str, np.ndarray], path: Path) -> None:
    expected = {name: (leaf.shape, leaf.dtype) for name, leaf in named_weights(model).items()}
    actual = {name: (values.shape, values.dtype) for name, values in stored.items()}
    if expected != actual:
        name = sorted(set(expected.items()) ^ set(actual.items()), key=str)[0][0]
        raise CheckpointError(f"{path}: {name} is {actual.get(name, 'missing')}, not {expected.get(name, 'unused')}")
    broken = sorted(name for name, values in stored.items() if not np.isfinite(values).all())
    if broken:
        raise CheckpointError(f"{path}: {broken[0]} is not finite; {RESTORE}")
    set_weights(model, stored)


def error_scale(trained: TrainedModel) -> np.ndarray:
    """The unit of each field's error in the loss, (field, 1, 1): the typical change in a step, divided by the square
    root of the weight."""
    weights = np.array([trained.config.training.field_weights.get(name, 1.0) for name in trained.names])
    return (trained.normalisation.increment_std / np.sqrt(weights))[:, None, None]
