"""Random weights in the place of those of YAMNet, which a test cannot download."""

import hashlib

import numpy as np
import yaml


def use_random_yamnet(workspace, folder):
    """Let `data/weights/yamnet.yaml` of a workspace name random weights, which are written to `folder`, and commit."""
    from stages.train.networks import YAMNET_BLOCKS
    from stages.train.weights import write_layers

    rng, layers, n_in = np.random.default_rng(0), [[np.zeros(1, np.float32)]], 32  # before first_layer
    shapes = [(3, 3, 1, 32)]
    for n_out, _ in YAMNET_BLOCKS:
        shapes += [(3, 3, n_in, 1), (1, 1, n_in, n_out)]
        n_in = n_out
    for shape in shapes:
        n_inputs = shape[0] * shape[1] * (shape[2] if shape[3] != 1 else 1)
        kernel = rng.normal(0, np.sqrt(2 / n_inputs), shape).astype(np.float32)
        layers.append([kernel, np.zeros(shape[2] if shape[3] == 1 else shape[3], np.float32)])
    write_layers(folder / "random.npz", layers)
    about = yaml.safe_load((workspace.root / "data/weights/yamnet.yaml").read_text()) | {
        "address": str(folder / "random.npz"),
        "sha256": hashlib.sha256((folder / "random.npz").read_bytes()).hexdigest(),
        "size_bytes": (folder / "random.npz").stat().st_size,
    }
    (workspace.root / "data/weights/yamnet.yaml").write_text(yaml.safe_dump(about))
    workspace.commit()
