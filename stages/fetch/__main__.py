"""Fetch: bring one dataset into one layout - audio and a table with one row per clip - with its licence and citation.

in   fetch.source (of the parameters)
                a file of data/sources/ (rendered or downloaded), or an archive or folder in the layout of the dataset
     --sources  the folder of the files that say what is known about each dataset
out  --raw      audio/<clip>   the recordings, unchanged byte for byte, or what rows with a start and an end cut out
                clips.csv      one row per clip: clip, class, class_id, fold, source, salience, start_s, end_s (in the
                               original recording); the values as the dataset has them, tidied only where that is
                               certain (validate checks them), '' where unknown
                recordings/<recording>, recordings.csv
                               where rows with a start and an end cut recordings into clips: those recordings whole, as
                               far as all of their rows have both, and one row per event in them: recording, start_s,
                               end_s, class, clip (that was cut out). Neither is there without such recordings
                dataset.json   name, title, synthetic, licence, citation, address; classes in the order of their ids,
                               class_ids, folds: as declared; sources: where they come from; unused_columns,
                               n_files_without_row
                LICENCE.txt    licence and citation, where known

Downloads are kept in `EAR_CACHE` or the user's cache folder, so that a rerun downloads nothing. A run that is stopped
leaves no `--raw`.
"""

import argparse
from pathlib import Path

from stages.fetch.layouts import list_clips
from stages.fetch.obtain import choose_source, obtain, place_audio
from stages.fetch.report import class_lines, closing_lines, licence_text, write_listing
from stages.fetch.sources import FetchParams
from stages.fetch.spans import cut_spans
from stages.lib.core.errors import run
from stages.lib.core.files import atomic_directory
from stages.lib.core.params import load_params


def main(argv: list[str] | None = None) -> None:
    """Choose the source, obtain it, list its clips, and write audio, tables and licence."""
    args = parse_args(argv)
    params = load_params(args.params, FetchParams)
    # Not an option: a name with quotes, $ or backticks would not survive the shell of the command in dvc.yaml.
    path = Path(params.source)
    source = choose_source(path, args.sources, args.raw, params.dataset)
    print(licence_text(source), flush=True)
    with atomic_directory(args.raw) as raw, obtain(path, source, raw / "unpacked") as place:
        listing = list_clips(place, source, params)
        failed, notes = cut_spans(listing.spans, raw / "audio")
        is_unpacked = raw in place.parents
        failed += place_audio(listing.files, raw / "audio", move=is_unpacked)
        failed += place_audio(listing.recordings, raw / "recordings", move=is_unpacked)
        write_listing(raw, source, listing, params.esc10)
    print("\n".join(class_lines(listing, args.raw / "audio")))
    print("\n".join(closing_lines(source, listing, failed, args.raw / "audio", notes)))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """The options of the stage, as dvc.yaml gives them."""
    parser = argparse.ArgumentParser(prog="python -m stages.fetch", description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--raw", type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
