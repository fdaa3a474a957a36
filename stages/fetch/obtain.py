"""Obtaining a dataset: from a folder, an archive, a download or the renderer, and placing its recordings."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.fetch.archives import check_archive, is_archive, unpack
from stages.fetch.sources import Source, read_source
from stages.fetch.synthetic.dataset import render_sample
from stages.lib.core.errors import SourceError
from stages.lib.core.files import cache_folder, check_space
from stages.lib.core.progress import progress
from stages.lib.download import download


def choose_source(path: Path, sources: Path, raw: Path, dataset: str) -> Source:
    """What is known about the dataset at `path`; raises `SourceError` where that is not what `dataset` says."""
    known = sorted(file.stem for file in sources.glob("*.yaml"))
    if dataset not in known:
        raise SourceError(
            f"fetch.dataset: expected one of {', '.join(known)}, found {dataset!r}; correct it, or describe it in "
            f"{sources / dataset}.yaml"
        )
    if path.suffix in (".yaml", ".yml"):
        source = read_source(path)
        if source.name != dataset:
            raise SourceError(
                f"fetch.source: {path} describes {source.name}, but fetch.dataset is {dataset}; set fetch.dataset to "
                f"{source.name}, or fetch.source to {own_source(sources, dataset)}"
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
            f"fetch.source: {path} contains {raw} or lies in it, which fetch replaces; move the recordings"
        )
    return read_source(sources / f"{dataset}.yaml")


def own_source(sources: Path, dataset: str) -> str:
    """What `fetch.source` may be for `dataset`, for messages."""
    kinds = {
        "sample": f"{sources / 'sample.yaml'}",
        "folder": "your folder, archive or CSV of recordings",
    }
    return kinds.get(dataset, f"{sources / dataset}.yaml (downloads it) or an archive or folder in its layout")


@contextmanager
def obtain(path: Path, source: Source, unpacked: Path) -> Iterator[Path]:
    """Yield the folder (or CSV) of the dataset: `path` itself, or a folder below `unpacked`, which is removed after."""
    if path.is_dir() or (path.suffix.lower() in (".csv", ".tsv") and source.layout == "folder"):
        yield path
        return
    place = unpacked / path.name
    place.mkdir(parents=True)
    if path.suffix not in (".yaml", ".yml"):
        _unpack(path, place, source)
    elif source.render is not None:
        render_sample(place, source.render)
    elif source.address is not None:
        archive = download(
            source.address,
            cache_folder(),
            known_hash=source.md5 and f"md5:{source.md5}",
            check=check_archive,
            otherwise="get the archive by other means and set fetch.source to it",
            size_bytes=source.size_bytes,
        )
        _unpack(archive, place, source)
    else:
        raise SourceError(
            f"fetch.source: {path} has no address; set fetch.source to {own_source(path.parent, source.name)}"
        )
    yield place
    shutil.rmtree(unpacked)


def _unpack(archive: Path, place: Path, source: Source) -> None:
    if not is_archive(archive):
        raise SourceError(
            f"fetch.source: {archive}: expected a tar, a zip or a folder, found another kind of file, or a damaged one"
        )
    for note in unpack(archive, place, source.limits):
        print(f"note: {note}")


def place_audio(files: dict[str, Path], audio: Path, move: bool) -> list[str]:
    """Move or copy each recording to `audio`/<clip>; returns those that failed, each with the reason.

    Copied, never linked: DVC write-protects what it caches, and that must not be the user's own file. Without `files`
    there is no folder either.
    """
    if not files:
        return []
    audio.mkdir(exist_ok=True)
    if not move:
        n_bytes = sum(os.path.getsize(path) for path in files.values() if os.path.isfile(path))
        check_space(audio, n_bytes, "copying the recordings")
    failed = []
    for clip, path in progress(files.items(), total=len(files), desc="moving" if move else "copying", unit="files"):
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
                raise SourceError(f"{audio}: the disk is full; free some space and run again") from None
            if os.path.isfile(target):
                target.unlink()
            failed.append(f"{clip} ({error.strerror})")
    return failed
