from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from stages.fetch.listing import Listing
from stages.fetch.report import class_lines
from stages.fetch.tables import CLIP_COLUMNS


def test_each_class_with_clips_sources_and_hours(tmp_path: Path) -> None:
    for name, duration_s in (("1.wav", 3600), ("2.flac", 1800)):
        soundfile.write(tmp_path / name, np.zeros(duration_s * 10), 10)
    (tmp_path / "3.m4a").write_bytes(b"no header that libsndfile reads")
    rows = [
        ("1.wav", "dog", "a"),
        ("2.flac", "dog", "a"),
        ("2.flac", "dog", "a"),  # counts once
        ("3.m4a", "dog", "b"),
        ("gone.wav", "car\thorn", "c"),
        ("1.wav", "", "d"),
        ("2.flac", "owl", "a"),  # a second class: validate rejects the row, but it is there
    ]
    clips = pd.DataFrame(rows, columns=["clip", "class", "source"]).reindex(columns=CLIP_COLUMNS, fill_value="")
    listing = Listing(clips, {}, ["cat", "dog"], None, [1], [], "one per file", [], [])

    assert class_lines(listing, tmp_path) == [
        "class           clips   sources     hours",
        "(blank)             1         1     1.000",
        "'car\\thorn'         1         1     0.000",
        "cat                 0         0     0.000",
        "dog                 3         2     1.500",
        "owl                 1         1     0.500",
        "hours are without 2 clips whose length no header says; validate decodes each",
    ]


def test_a_class_without_a_name_is_shown(tmp_path: Path) -> None:
    clips = pd.DataFrame([("1.wav", "", "a")], columns=["clip", "class", "source"]).reindex(columns=CLIP_COLUMNS)
    listing = Listing(clips, {}, [], None, [1], [], "one per file", [], [])
    assert class_lines(listing, tmp_path)[1] == "(blank)         1         1     0.000"
