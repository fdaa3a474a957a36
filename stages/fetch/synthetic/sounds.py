"""The ten sounds of `sample`, each from a simple physical model.

A class is a dataclass. `draw(rng)` draws the parameters of one instance (this dog, that siren), which all clips of a
source share; `render(n_samples, rng)` renders one clip of it, with what varies from clip to clip drawn from `rng`. The
scale of the result is arbitrary: levels are set when a clip is mixed. Every rendered clip of half a second or more
holds the sound, so that no label is wrong.
"""

from typing import Protocol, Self

import numpy as np

from stages.fetch.synthetic.machines import AirConditioner, CarHorn, Drilling, EngineIdling, GunShot, Jackhammer, Siren
from stages.fetch.synthetic.voices import ChildrenPlaying, DogBark, StreetMusic


class Sound(Protocol):
    """The interface of every class of sound."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One random instance."""

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """One clip of the instance, float32 of shape (n_samples,) at `SR` Hz."""


SOUNDS: dict[str, type[Sound]] = {
    "air_conditioner": AirConditioner,
    "car_horn": CarHorn,
    "children_playing": ChildrenPlaying,
    "dog_bark": DogBark,
    "drilling": Drilling,
    "engine_idling": EngineIdling,
    "gun_shot": GunShot,
    "jackhammer": Jackhammer,
    "siren": Siren,
    "street_music": StreetMusic,
}
"""The classes in the order of their ids, as in UrbanSound8K."""
