"""Parameters and features of a small dataset of tones (see the fixtures of conftest.py)."""

from pathlib import Path

import yaml

PLAIN = {  # the section augment without any change
    "crop": "grid",
    "gain_db": 0.0,
    "filter_db": 0.0,
    "mask_frames": 0,
    "mask_bands": 0,
    "mix": "none",
    "mix_alpha": 1.0,
}
TONES_HZ = {"low": 300.0, "middle": 900.0, "high": 2700.0}


def write_params(path: Path, params: dict) -> Path:
    path.write_text(yaml.safe_dump(params))
    return path


def run_featurize(tones: Path, out: Path, params: dict) -> Path:
    """Run featurize on a folder of tones; returns the features."""
    from stages.featurize import __main__ as featurize

    options = [f"--params={write_params(out / 'featurize.yaml', params)}", f"--raw={tones / 'raw'}"]
    options += [f"--accepted={tones / 'accepted.csv'}", f"--plots={out / 'plots'}"]
    featurize.main([*options, f"--features={out / 'features'}"])
    return out / "features"
