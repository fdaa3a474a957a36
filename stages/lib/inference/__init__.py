"""From a model to events, for programs of one's own: `open_model`, then `detect` or `StreamDetector`.

Nothing heavy is imported before a model is opened.

Examples
--------
A recording, by a model that `python -m stages.commands.export` wrote:

>>> from pathlib import Path
>>> from stages.lib.inference import StreamDetector, detect, open_model
>>> model = open_model(Path("exports/fold_10.onnx"))  # doctest: +SKIP
>>> detect(Path("street.wav"), model)  # doctest: +SKIP
[Event(start_s=3.5, end_s=6.5, label='car_horn', confidence=0.76, is_unsure=False)]

Samples as they come, float32 of shape (n_samples, n_channels), from a microphone at 44,100 Hz:

>>> detector = StreamDetector(model, 44100, batch_size=1, looks_ahead=False)  # doctest: +SKIP
>>> for block in microphone:  # doctest: +SKIP
...     print(detector.push(block), detector.ongoing)
>>> print(detector.finish())  # doctest: +SKIP
"""

# The function takes the name of its module here, so it is imported with the package: by whichever path comes first.
from stages.lib.inference.detect import StreamDetector, detect
from stages.lib.inference.events import Event, EventSettings
from stages.lib.inference.runtime import Model, open_model

__all__ = ["Event", "EventSettings", "Model", "StreamDetector", "detect", "open_model"]
