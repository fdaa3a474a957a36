"""Facts of a pull request, and the tables of a report as GitHub's own parser reads them."""

import html
import re

import cmarkgfm

from stages.commands.pull_request.facts import Change, ClassChange, ClipChange, Facts, Metric, Picture, Stage

BASE, HEAD = "a" * 40, "b" * 40
FACTS = Facts(
    base=BASE,
    base_name="origin/main",
    head=HEAD,
    uncommitted=True,
    libraries=False,
    only_machine=False,
    stale=[],
    params=[Change("params.yaml", "featurize.n_mels", "150", "64")],
    stages=[
        Stage("fetch", "unchanged", "unchanged", []),
        Stage("featurize", "ran", "ran", ["featurize.n_mels"]),
        Stage("train", "cached", "ran", ["data/features"]),
    ],
    metrics=[
        Metric("metrics/evaluate.json", "accuracy", 0.926, 0.815, -0.241, -0.012, 0.0332),
        Metric("metrics/evaluate.json", "log_loss", 0.455, 0.276, -0.391, 0.008, 0.0931),
        Metric("metrics/evaluate.json", "accuracy_low", 0.84, 0.69),
        Metric("metrics/evaluate.json", "n_clips", 80, 81),
        Metric("metrics/evaluate.json", "calibration_error", None, 0.1),
        Metric("metrics/evaluate.json", "roc_auc", 0.99, None),
    ],
    n_unchanged=12,
    not_compared="",
    n_clips=81,
    n_sources=36,
    folds=[10],
    n_gained=3,
    n_lost=12,
    clips=[
        ClipChange("fold10/a.wav", "siren", "siren", "dog_bark"),
        ClipChange("fold10/b.wav", "dog_bark", "siren", "dog_bark", has_sound=True),
    ],
    classes=[ClassChange("siren", 9, 1.0, 0.5, 0.02), ClassChange("dog_bark", 9, 0.5, 0.5, 1.0)],
    pictures=[Picture("metrics/evaluate/confusion.png", True, True, True, False)],
)


def cells(text):
    """The rows of all tables, as GitHub's parser reads them, each cell as the text that a reader sees."""
    page = cmarkgfm.github_flavored_markdown_to_html(text)
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in re.findall(r"(?s)<tr>(.*?)</tr>", page)]
    return [[html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in row] for row in rows]


def row_of(text, name):
    return next(row for row in cells(text) if row[0] == name)
