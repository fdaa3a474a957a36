"""Write a model for programs without Keras: `python -m stages.commands.export`, as ONNX or LiteRT.

The file takes samples and holds all that prediction needs, see `stages.commands.export.converters`. The predict command
runs an ONNX file without TensorFlow. An ONNX file is compared with the network before it is written. The default place
is a folder of its own, since DVC would take a new file in `data/models` for a change of that model.
"""

import argparse
import tempfile
from pathlib import Path

from stages.commands.models import MODELS, obtain_model
from stages.lib.core.errors import ModelError, run
from stages.lib.core.files import atomic_write
from stages.lib.inference.runtime import Model
from stages.lib.inference.streaming import make_featurizer
from stages.lib.model.archive import load_model, read_metadata
from stages.lib.model.backend import start_backend

EXPORTS = Path("exports")  # not tracked


def main(argv: list[str] | None = None) -> None:
    """Find the model, convert it, write it."""
    args = parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        path = obtain_model(args.model, args.rev, Path(scratch))
        export(path, args.out or EXPORTS / f"{args.rev or path.stem}.onnx", described=args.rev or str(path))


def export(path: Path, out: Path, *, described: str) -> None:
    """Write the model file `path`, of which a line tells as `described`, to `out`. Raises `ModelError`."""
    if out.suffix not in (".onnx", ".tflite"):
        raise ModelError(f"{out}: expected a name that ends in .onnx (ONNX) or .tflite (LiteRT)")
    metadata = read_metadata(path)
    start_backend("tensorflow")  # which converts; a model of another backend loads in it too
    from stages.commands.export.agreement import check_agreement
    from stages.commands.export.converters import takes_samples, to_litert, to_onnx

    model = load_model(path)
    length, n_features = model.input_shape[1:]
    featurizer = make_featurizer(Model(path, metadata, length, n_features, model.predict_on_batch))
    if out.suffix == ".onnx":
        content = to_onnx(model, metadata, featurizer)
        check_agreement(content, model, metadata, featurizer)
    else:
        content = to_litert(model, metadata, featurizer)
    with atomic_write(out) as tmp_path:
        tmp_path.write_bytes(content)
    print(f"export: {described} as {out}, {len(content) / 1e6:.1f} MB")
    if not takes_samples(featurizer.params):
        print("export: it takes features, not samples: PCEN looks back to before a segment, see docs/export.md")


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read which model, and where to."""
    parser = argparse.ArgumentParser(prog="python -m stages.commands.export", description=__doc__.splitlines()[0])
    parser.add_argument("--model", help=f"a .keras file, or a name in {MODELS}, such as fold_10")
    parser.add_argument("--rev", help="take the model of a commit, branch, tag or experiment instead of the workspace")
    parser.add_argument("--out", type=Path, help=f"FILE.onnx or FILE.tflite; by default {EXPORTS}/<name>.onnx")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
