"""The ten sounds of `sample`, each from a simple model of what makes it.

A class is a dataclass. `draw(rng)` makes one instance of the thing (this dog, that siren), whose traits all clips of a
source share; `render(n_samples, rng)` lets it sound, with what differs from clip to clip drawn anew. The scale of the
result is arbitrary: levels are set where a clip is mixed. The thing sounds inside every rendered clip of half a second
or more, so that no label is wrong.
"""

from typing import Protocol, Self

import numpy as np

from stages.fetch.synthetic.machines import AirConditioner, CarHorn, Drilling, EngineIdling, GunShot, Jackhammer, Siren
from stages.fetch.synthetic.voices import ChildrenPlaying, DogBark, StreetMusic


class Sound(Protocol):
    """What every class of sound offers."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One instance with traits of its own."""

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """The instance sounding, float32 of shape (n_samples,)."""


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
