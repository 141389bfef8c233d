"""Settings of training, retraining and compression."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from pinnwx.config.limits import Minutes, Updates
from pinnwx.settings import Settings, agreement

SHORTEST_BLOCK_DAYS = 3  # of cross-fitting, whose networks leave out a day on either side of a block besides
MINIMUM_PROMOTION_DAYS = 3  # the minimum for bounds: MINIMUM_BLOCKS of verification.significance, with a day each


class Stage(Settings):
    """One stage of the curriculum."""

    steps: Annotated[int, Field(ge=1, le=1000)]
    """Steps of the rollout."""
    fraction: PositiveFloat
    """Fraction of the updates, relative to the sum over the stages."""
    members: Annotated[int, Field(ge=1, le=16)] = 1
    """Members of an ensemble from each window. With 2 or more, the loss is their CRPS, and the networks learn what
    `model.noise` does. An update takes `members` times longer."""


class TrainingSettings(Settings):
    """The training of the weights."""

    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    """Windows in one update."""
    optimiser: Literal["adam", "muon"] = "adam"
    """`adam`, or `muon`, which suits trainings of a few hundred updates with a learning rate near 1e-2."""
    learning_rate: PositiveFloat = 1e-3
    """Maximum of the learning rate. It rises linearly and then falls along a cosine."""
    weight_decay: NonNegativeFloat = 1e-2
    """Decoupled weight decay."""
    clip_norm: PositiveFloat = 1.0
    """Maximum norm of a gradient. Longer gradients are scaled down."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Decay of the running average of the weights, which forecasts use. 0: no average."""
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Fraction of the updates in which the learning rate rises."""
    curriculum: Annotated[tuple[Stage, ...], Field(min_length=1)] = (Stage(steps=1, fraction=1.0),)
    """Stages, one after another. Each trains on rollouts of `steps` steps for a `fraction` of the updates.
    `[{ steps = 1, fraction = 0.5 }, { steps = 4, fraction = 0.5 }]` trains on 6 hours first, then on a day."""
    noise_alone: bool = False
    """Whether stages with `members` train only the layers of `model.noise`. Single forecasts then stay as the stages
    before have trained them."""
    updates: Updates | None = Field(default=None, examples=[2000])
    """Number of updates. Such a training is reproducible bit for bit. Without it, the minutes decide."""
    minutes: Minutes = 10.0
    """Wall-clock budget if neither `updates` nor `--minutes` is given."""
    field_weights: dict[str, PositiveFloat] = Field(default_factory=dict, examples=[{"z500": 2.0}])
    """Weight of a field in the loss. Without it, 1."""
    loss: Literal["square", "amplitude_adjusted"] = "square"
    """`square`: the mean square error. It is least for forecasts that are smooth where they are uncertain.
    `amplitude_adjusted`: a square error by total wavenumber that does not reward this. Stages with `members` have the
    CRPS instead."""
    precompute_transport: bool = False
    """Compute what transport makes of every analysis once, before training, for updates of one step. Then such updates
    cost no more than those of a network alone, whatever the equations. It needs the memory of another archive."""
    cross_fitting_days: Annotated[float, Field(ge=0, le=3660)] = 0.0
    """Each network leaves out its own blocks of so many days, in turn, and a day on either side of them. Its errors
    there are those of new weather. They are stored with the model for its ensembles. It needs 3 days or more, and two
    networks or more. 0: all networks train on all days."""
    perturbation_scale: NonNegativeFloat = 0.0
    """Size of the perturbations of training windows, relative to the change over six hours. Half of the windows are
    shifted by a zonal mean that decays in five days. The model then reduces large-scale errors in forecasts of weeks.
    Its skill at a day is slightly lower."""


class RetrainingSettings(Settings):
    """How `pinnwx retrain` continues the training of the live model with fresh analyses."""

    replay: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Fraction of older windows in a batch."""
    hold_out_days: Annotated[float, Field(ge=1, le=366)] = 4.0
    """Newest days, which no update uses. The candidate is compared with the live model on them. More days are held
    out if these contain fewer than 8 forecasts of the longest lead, or too few for its bounds."""
    leads: Annotated[tuple[Annotated[float, Field(gt=0, le=8784)], ...], Field(min_length=1, max_length=100)] = (6, 24)
    """Lead times of the comparison in hours. Leads that are not a multiple of the step are skipped."""
    learning_rate_factor: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Maximum of the learning rate, relative to that of `[training]`."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 4
    """Steps of the rollouts. If this key is absent, the steps of a day, but at most 4. With long rollouts, there are
    few fresh windows."""
    minutes: Minutes = 1.0
    """Wall-clock budget if neither `updates` nor `--minutes` is given."""
    updates: Updates | None = Field(default=None, examples=[200])
    """Number of updates. Without it, the minutes decide."""

    @agreement
    def _enough_days(self) -> Iterator[str]:
        needed = MINIMUM_PROMOTION_DAYS * math.ceil(max(self.leads) / 24) + max(self.leads) / 24
        if self.hold_out_days < needed:
            yield (
                f"hold_out_days = {self.hold_out_days:g} is too short for forecasts of {max(self.leads):g} h: "
                f"bounds need {MINIMUM_PROMOTION_DAYS} blocks of initial times, each as long as the lead, so at least "
                f"{needed:g} days"
            )


class CompressionSettings(Settings):
    """The compression of a model by `pinnwx compress`."""

    rounds: Annotated[int, Field(ge=1, le=16)] = 2
    """Pruning: number of rounds. Each scores the channels, removes some, and fine-tunes the rest."""
    widths: Literal["uniform", "global"] = "uniform"
    """Pruning: `uniform` keeps the same fraction of channels in every layer, which is fastest. `global` keeps the
    channels with the best score for their weights, over all layers, which has the smallest error for its size
    (criteria taylor and integrated)."""
    teacher_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Distillation: fraction of a batch that consists of forecasts of the teacher."""
    teacher_trajectories: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Distillation: number of forecasts of the teacher. Half of them start from perturbed analyses."""
    perturbation_scale: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Distillation: maximum of the factor on the difference of two analyses that perturbs an analysis."""
    minutes: Minutes = 5.0
    """Wall-clock budget if neither `--minutes` nor `--updates` is given."""
