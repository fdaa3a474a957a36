"""The optimizer of a training: its kind, the schedule of its learning rate, and what it treats differently."""

from collections.abc import Sequence
from typing import Any

import keras

from stages.train.recipe import TrainParams

ONE_CYCLE_RISE, ONE_CYCLE_START = 0.3, 25  # share of the steps that rise, from this part of the greatest learning rate
PLATEAU_EPOCHS = 5  # without a smaller training loss, after which the learning rate is halved


def make_optimizer(
    params: TrainParams, n_steps: int, pretrained: Sequence[keras.Variable]
) -> keras.optimizers.Optimizer:
    """The optimizer with its schedule over `n_steps` steps.

    The variables `pretrained` get `params.pretrained_rate` of the learning rate. Weight decay leaves them alone, which
    it would draw away from what they have learnt, and offsets and normalisation too.
    """
    learning_rate: Any = params.learning_rate
    if params.schedule == "cosine":
        learning_rate = keras.optimizers.schedules.CosineDecay(params.learning_rate, n_steps)
    if params.schedule == "one_cycle":
        n_rising = round(ONE_CYCLE_RISE * n_steps)
        learning_rate = keras.optimizers.schedules.CosineDecay(
            params.learning_rate / ONE_CYCLE_START,
            n_steps - n_rising,
            warmup_target=params.learning_rate,
            warmup_steps=n_rising,
        )
    options: dict[str, Any] = {"use_ema": True, "ema_momentum": params.average} if params.average else {}
    if params.optimizer == "adamw":
        options["weight_decay"] = params.weight_decay
    optimizers = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "adamax": keras.optimizers.Adamax,
    }
    kind = optimizers[params.optimizer]
    if pretrained and params.pretrained_rate != 1:
        kind = slowed(kind, pretrained, params.pretrained_rate)
    optimizer = kind(learning_rate, **options)
    if params.optimizer == "adamw":
        optimizer.exclude_from_weight_decay(var_list=list(pretrained), var_names=["bias", "gamma", "beta"])
    return optimizer


def slowed(
    kind: type[keras.optimizers.Optimizer], variables: Sequence[keras.Variable], share: float
) -> type[keras.optimizers.Optimizer]:
    """The same kind of optimizer, but with only a `share` of the learning rate for some of its variables."""
    paths = {variable.path for variable in variables}

    class Slowed(kind):
        def build(self, variables: list[keras.Variable]) -> None:
            super().build(variables)
            self._slow = [variable.path in paths for variable in variables]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            if self._slow[self._get_variable_index(variable)]:
                learning_rate = learning_rate * share
            super().update_step(gradient, variable, learning_rate)

    return Slowed
