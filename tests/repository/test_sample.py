"""What takes long and changes seldom: the sample over seeds."""

import numpy as np
import pytest

from helpers.workspace import Workspace
from stages.lib.core.files import read_json

pytestmark = pytest.mark.weekly


def test_the_sample_is_hard_enough_to_learn_from(tmp_path):
    """The default model lands between 70 and 95 %, and ten bands are not enough: means of three seeds."""
    workspace = Workspace.create(tmp_path)
    accuracies: dict[int, list[float]] = {150: [], 10: []}
    for n_mels, found in accuracies.items():
        for seed in (1, 2, 3):
            workspace.set_params(featurize={"n_mels": n_mels}, train={"seed": seed})
            workspace.repro()
            found.append(read_json(tmp_path / "metrics/evaluate.json")["accuracy"])
    print(f"accuracy on fold 10 of the sample (synthetic) by bands: {accuracies}")
    means = {n_mels: np.mean(found) for n_mels, found in accuracies.items()}
    assert 0.70 <= means[150] <= 0.95
    assert means[10] <= means[150] - 0.05
