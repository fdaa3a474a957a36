"""Check labels, folds, durations and audio; accept or reject every clip, with reasons.

in   raw/clips.csv      one row per clip, values as the dataset has them
     raw/dataset.json   the classes and folds that the dataset declares
     raw/audio/         the files
     params.yaml        section `validate`
out  accepted.csv       one row per clip that is used: clip, class, fold (a whole number), source (the clip itself where
                        it is unknown), salience (1, 2 or blank), start_s, end_s (s, blank if unknown), and as read from
                        the file duration_s, sample_rate_hz, n_channels, n_samples (per channel), subtype (container and
                        coding), peak, rms (1 is full scale)
     rejected.csv       the same columns with values as found, and `reasons`: "check: detail; check: detail"
                        Both in the order of clips.csv; together they hold each of its rows once.
     metrics.json       counts of clips, findings per check, hours per class
     plots/             findings.csv (every finding, warnings too), durations.png, classes_by_fold.png
     docs/              what was expected and found, as Great Expectations Data Docs; index.html is the first page

Where a check of severity `stop` fails, all is written but accepted.csv, and the stage ends with an error.
"""

import argparse
from pathlib import Path

import pandas as pd

from stages.lib.core.errors import DataError, run
from stages.lib.core.files import write_csv, write_json
from stages.lib.core.params import load_params
from stages.lib.core.progress import progress
from stages.lib.plotting import save_figure
from stages.validate.checks import ValidateParams
from stages.validate.columns import path_problem, read_clips, read_dataset
from stages.validate.expectations import Expectations
from stages.validate.plots import plot_classes_by_fold, plot_durations
from stages.validate.probe import Probe, list_files, probe_files
from stages.validate.verdicts import closing_lines, reason_to_stop, run_checks, summary


def main(argv: list[str] | None = None) -> None:
    """Probe every file, check every clip, and write accepted and rejected clips with what was found."""
    args = parse_args(argv)
    params = load_params(args.params, ValidateParams)
    dataset = read_dataset(args.raw / "dataset.json")
    clips = read_clips(args.raw / "clips.csv")
    probes = probe(clips, args.raw / "audio")
    expectations = Expectations(params, dataset)
    verdict = run_checks(clips, probes, list_files(args.raw / "audio"), dataset, params, expectations)

    lines = closing_lines(verdict, args.rejected)
    expectations.write_docs(args.docs, f"What validate expects of {dataset.title}, and what it found", lines)
    write_json(args.metrics, summary(verdict, dataset))
    write_csv(args.rejected, verdict.rejected)
    write_csv(args.plots / "findings.csv", verdict.findings)
    save_figure(args.plots / "durations.png", plot_durations(verdict.accepted, dataset))
    save_figure(args.plots / "classes_by_fold.png", plot_classes_by_fold(verdict.accepted, dataset))
    if stop := reason_to_stop(verdict):
        args.accepted.unlink(missing_ok=True)  # an older verdict must not pass for this one
        raise DataError(f"{args.raw}: {stop}; all findings are in {args.plots / 'findings.csv'}")
    write_csv(args.accepted, verdict.accepted)
    print("\n".join(f"validate: {line}" for line in lines))


def probe(clips: pd.DataFrame, audio: Path) -> pd.DataFrame:
    """The fields of `Probe` for each row; each file is read once, however many rows name it."""
    names = [name for name in clips["clip"].unique() if path_problem(name) is None]
    found = progress(probe_files([audio / name for name in names]), total=len(names), desc="validate", unit="clips")
    probes = dict(zip(names, found, strict=True))
    return pd.DataFrame([vars(probes.get(name, Probe())) for name in clips["clip"]], index=clips.index)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the paths, which dvc.yaml gives."""
    parser = argparse.ArgumentParser(prog="python -m stages.validate", description=__doc__.splitlines()[0])
    for option in ("params", "raw", "accepted", "rejected", "metrics", "plots", "docs"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
