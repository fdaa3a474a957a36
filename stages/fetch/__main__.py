"""Fetch: bring one dataset into one layout - audio and a table with a row a clip - with its licence and citation.

in   fetch.source (of the parameters)
                a file of data/sources/ (rendered or downloaded), or an archive or folder in the layout of the dataset
     --sources  the folder of the files that say what is known about each dataset
out  --raw      audio/<clip>   the recordings as they came, byte for byte
                clips.csv      a row a clip: clip, class, class_id, fold, source, salience, start_s, end_s; the values
                               exactly as the dataset has them (validate judges), '' where unknown
                dataset.json   name, title, synthetic, licence, citation, address; classes in the order of their ids,
                               class_ids, folds: as declared; n_files_without_row
                LICENCE.txt    licence and citation, where known

Downloads are kept in `EAR_CACHE` or the user's cache folder, so that a rerun downloads nothing. A run that is stopped
leaves no `--raw`.
"""

import argparse
import errno
import os
import shutil
from pathlib import Path
from typing import Any

from stages.fetch.archives import check_archive, is_archive, unpack
from stages.fetch.layouts import FetchParams, Listing, Source, list_clips, read_source, some
from stages.fetch.synthetic.dataset import render_sample
from stages.lib.core.errors import SourceError, run
from stages.lib.core.files import atomic_directory, check_space, write_csv, write_json
from stages.lib.core.params import load_params
from stages.lib.core.progress import progress
from stages.lib.download import cache_folder, download


def main(argv: list[str] | None = None) -> None:
    """Run the stage."""
    args = parse_args(argv)
    params = load_params(args.params, FetchParams)
    # Not an option: a name with quotes, $ or backticks would not come through the shell of the command in dvc.yaml.
    path = Path(params.source)
    source = choose_source(path, args.sources, args.raw, params.dataset)
    print(licence_text(source), flush=True)
    with atomic_directory(args.raw) as raw:
        place = obtain(path, source, raw / "unpacked")
        listing = list_clips(place, source, params)
        notes = listing.notes + place_audio(listing.files, raw / "audio", move=raw in place.parents)
        shutil.rmtree(raw / "unpacked", ignore_errors=True)
        write_csv(raw / "clips.csv", listing.clips)
        write_json(raw / "dataset.json", facts(source, listing, params.esc10))
        if source.licence:
            (raw / "LICENCE.txt").write_text(licence_text(source) + "\n", encoding="utf-8", newline="\n")
    if listing.files_without_row:
        notes.append(
            f"{len(listing.files_without_row)} recordings that no row names: {some(listing.files_without_row)}"
        )
    for note in notes:
        print(f"note: {note}")
    print(closing_line(source, listing, args.raw / "audio"))


def choose_source(path: Path, sources: Path, raw: Path, dataset: str) -> Source:
    """What is known about the dataset at `path`; raises `SourceError` where that is not what `dataset` says."""
    if path.suffix in (".yaml", ".yml"):
        source = read_source(path)
        if source.name != dataset:
            raise SourceError(
                f"fetch.source: {path} describes {source.name}, but fetch.dataset is {dataset}; set fetch.dataset to "
                f"{source.name}, or fetch.source to {own_source(sources, dataset)}"
            )
        if source.address is None and source.render is None:
            raise SourceError(
                f"fetch.source: {path} has no address; set fetch.source to {own_source(sources, dataset)}"
            )
        return source
    if not path.exists():
        elsewhere = "" if path.is_absolute() else "; with dvc exp run --temp or --queue give an absolute path"
        raise SourceError(
            f"fetch.source: {path}: no such file or folder; set it to {own_source(sources, dataset)}{elsewhere}"
        )
    if dataset == "sample":
        raise SourceError(
            f"fetch.source: {path}, but fetch.dataset is sample, which is rendered; set fetch.dataset to urbansound8k, "
            f"esc50 or folder, or fetch.source to {own_source(sources, dataset)}"
        )
    inner, outer = path.resolve(), raw.resolve()
    if path.is_dir() and (inner.is_relative_to(outer) or outer.is_relative_to(inner)):
        raise SourceError(
            f"fetch.source: {path} holds {raw}, or lies in it, and that is written anew; move the recordings"
        )
    return read_source(sources / f"{dataset}.yaml")


def own_source(sources: Path, dataset: str) -> str:
    """What `fetch.source` may be for `dataset`, for messages."""
    kinds = {
        "sample": f"{sources / 'sample.yaml'}",
        "folder": "your folder, archive or CSV of recordings",
    }
    return kinds.get(dataset, f"{sources / dataset}.yaml (downloads it) or an archive or folder in its layout")


def obtain(path: Path, source: Source, unpacked: Path) -> Path:
    """The folder (or CSV) that holds the dataset: `path` itself, or one below `unpacked` to which it was brought."""
    if path.is_dir() or (path.suffix.lower() == ".csv" and source.layout == "folder"):
        return path
    place = unpacked / path.name
    place.mkdir(parents=True)
    if path.suffix not in (".yaml", ".yml"):
        archive = path
    elif source.render is not None:
        render_sample(place, source.render)
        return place
    else:
        addresses = [source.address, *source.mirrors]
        archive = download(
            addresses,
            cache_folder(),
            known_hash=source.md5 and f"md5:{source.md5}",
            check=check_archive,
            otherwise="get the archive by other means and set fetch.source to it",
            size_bytes=source.size_bytes,
        )
    if not is_archive(archive):
        raise SourceError(
            f"fetch.source: {path}: expected a tar, a zip or a folder, found another kind of file, or a damaged one"
        )
    left_out = unpack(archive, place, source.limits)
    if left_out:
        print(f"note: {len(left_out)} left out of {archive.name}: {some(left_out)}")
    return place


def place_audio(files: dict[str, Path], audio: Path, move: bool) -> list[str]:
    """Move or copy each recording to `audio`/<clip>; returns notes on what could not be, which validate will miss.

    Copied, never linked: DVC takes the right to write from what it caches, and that must not be the user's own file.
    """
    audio.mkdir()
    if not move:
        n_bytes = sum(os.path.getsize(path) for path in files.values() if os.path.isfile(path))
        check_space(audio, n_bytes, "copying the recordings")
    failed = []
    for clip, path in progress(files.items(), total=len(files), desc="moving" if move else "copying", unit="clips"):
        target = audio / clip
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not os.path.isfile(path):
                failed.append(f"{clip} ({'a folder' if path.is_dir() else 'a broken link or a special file'})")
            elif move:
                os.replace(path, target)
            else:
                shutil.copyfile(path, target)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SourceError(f"{audio}: the disk is full; make room and run again") from None
            if os.path.isfile(target):
                target.unlink()
            failed.append(f"{clip} ({error.strerror})")
    return [f"{len(failed)} not brought, so validate will find them missing: {some(failed)}"] if failed else []


def facts(source: Source, listing: Listing, esc10: bool) -> dict[str, Any]:
    """What later stages and the model's card need to know about the dataset."""
    return {
        "name": source.name,
        "title": full_title(source, esc10),
        "synthetic": source.synthetic,
        "licence": source.licence,
        "citation": source.citation,
        "address": source.address,
        "classes": listing.classes,
        "class_ids": listing.class_ids,
        "folds": listing.folds,
        "n_files_without_row": len(listing.files_without_row),
    }


def full_title(source: Source, esc10: bool = False) -> str:
    """The title that every picture and report of the dataset carries: what is synthetic says so wherever it appears."""
    return f"{source.title}{', the ESC-10 subset' if esc10 else ''}{' (synthetic)' if source.synthetic else ''}"


def licence_text(source: Source) -> str:
    """Title, licence and citation, a line each."""
    return "\n".join(
        [
            f"dataset: {full_title(source)}",
            f"licence: {source.licence or 'not stated'}",
            f"cite: {source.citation or 'not stated'}",
        ]
    )


def closing_line(source: Source, listing: Listing, audio: Path) -> str:
    """What was fetched, in numbers."""
    clips = listing.clips
    n_missing = sum(not os.path.isfile(audio / clip) for clip in clips["clip"])
    folds = sorted(clips["fold"].unique(), key=lambda fold: (len(fold), fold))
    return (
        f"fetched {'synthetic ' if source.synthetic else ''}{source.name}: {len(clips):,} clips of "
        f"{clips['class'].nunique()} classes and {clips['source'].nunique():,} sources in folds {', '.join(folds)}; "
        f"{n_missing:,} without a file, {len(listing.files_without_row):,} files without a row"
    )


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """The options of the stage, as dvc.yaml gives them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--params", type=Path, required=True)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--raw", type=Path, required=True)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
