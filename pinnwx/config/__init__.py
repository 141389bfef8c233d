"""Settings of a training run: pydantic models read from TOML.

Unknown keys, wrong types and impossible combinations are reported all at once, each by its path, as one `ConfigError`.
The string below each key is its description: `pinnwx config template`, `pinnwx config schema` and the reference of the
documentation are generated from them.
"""

from pinnwx.config.data import DataSettings, Period, VariableSettings
from pinnwx.config.experiment import Config
from pinnwx.config.limits import MOST_MINUTES, MOST_UPDATES, MOST_WEIGHTS
from pinnwx.config.model import ClimateSettings, ClosureSettings, ModelSettings, NoiseSettings
from pinnwx.config.output import OutputSettings
from pinnwx.config.packaged import experiment_path, experiments
from pinnwx.config.physics import PhysicsSettings
from pinnwx.config.reading import ConfigLike, config_as_read, config_text, load_config, parse_config, read_text, text_of
from pinnwx.config.training import (
    MINIMUM_PROMOTION_DAYS,
    CompressionSettings,
    RetrainingSettings,
    Stage,
    TrainingSettings,
)
from pinnwx.config.transport import Transport

__all__ = [
    "MINIMUM_PROMOTION_DAYS",
    "MOST_MINUTES",
    "MOST_UPDATES",
    "MOST_WEIGHTS",
    "ClimateSettings",
    "ClosureSettings",
    "CompressionSettings",
    "Config",
    "ConfigLike",
    "DataSettings",
    "ModelSettings",
    "NoiseSettings",
    "OutputSettings",
    "Period",
    "PhysicsSettings",
    "RetrainingSettings",
    "Stage",
    "TrainingSettings",
    "Transport",
    "VariableSettings",
    "config_as_read",
    "config_text",
    "experiment_path",
    "experiments",
    "load_config",
    "parse_config",
    "read_text",
    "text_of",
]
