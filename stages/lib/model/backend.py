"""The backend of Keras must be chosen before Keras is imported: call `start_backend` first, import keras after it."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from stages.lib.core.errors import ModelError


def start_backend(name: str) -> None:
    """Choose the backend of Keras, "tensorflow", "jax" or "torch".

    TensorFlow is set to give the same numbers every time, and settings of Keras that a user's own configuration may
    have changed to those that the networks here are written for. Raises `ModelError` where the library is not
    installed, or another one was started in this process.
    """
    os.environ["KERAS_BACKEND"] = name
    os.environ["TF_DETERMINISTIC_OPS"] = "1"  # read when TensorFlow starts; what cannot comply is an error
    # Its faster kernels, a quarter less time for a step of training; by default it has them on some processors only.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # Without the log of its C++ side: what fails is an exception anyway.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _quiet_unless_failing():
            import keras
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{error.name} is not installed; install it, since Keras is to compute with {name} (train.backend; export "
            "always needs tensorflow)"
        ) from None
    if keras.backend.backend() != name:
        raise ModelError(
            f"train.backend is {name}, but Keras runs on {keras.backend.backend()} in this process already"
        )
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)


def all_devices() -> AbstractContextManager:
    """A scope to build and compile a model in, so that each batch is shared among the accelerators that are visible.

    Which are is said by the environment, such as `CUDA_VISIBLE_DEVICES`. On one device it does nothing, and with
    PyTorch too, for which Keras cannot do it.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow

        if len(tensorflow.config.list_logical_devices("GPU")) > 1:
            return tensorflow.distribute.MirroredStrategy().scope()
    if keras.backend.backend() == "jax" and len(keras.distribution.list_devices()) > 1:
        return keras.distribution.DataParallel(auto_shard_dataset=False).scope()
    return nullcontext()


@contextmanager
def _quiet_unless_failing() -> Iterator[None]:
    """Hold back what libraries write to standard error while they load: TensorFlow has lines that no setting stops."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
