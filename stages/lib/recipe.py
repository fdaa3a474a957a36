"""The training recipe: its parameters, apart from the code that needs Keras, since they say which backend to start."""

from typing import Annotated, Literal

from pydantic import Field

from stages.lib.params import section


@section("train")
class TrainParams:
    """What is trained and how.

    `learning_rate` is that of Adam at the start, `schedule` its course to the end, `seed` that of weights, order and
    dropout.
    """

    backend: Literal["tensorflow", "jax", "torch"]
    model: str
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "cosine"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
