"""Finding recordings in a folder: which files are audio, and what is skipped."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import soundfile

from stages.fetch.clutter import is_system_file, is_system_folder
from stages.fetch.messages import count, some
from stages.lib.audio import open_audio
from stages.lib.core.errors import AudioError, SourceError

# libsndfile tells a format by the file's content and lists no extensions, so these are listed here. Left out: RAW,
# which has no header that states its rate, and MAT4 and MAT5, which mostly hold other data than sound.
SOUNDFILE_EXTENSIONS = {
    "AIFF": (".aif", ".aiff", ".aifc"),
    "AU": (".au", ".snd"),
    "AVR": (".avr",),
    "CAF": (".caf",),
    "FLAC": (".flac",),
    "HTK": (".htk",),
    "IRCAM": (".sf", ".ircam"),
    "MP3": (".mp3",),
    "MPC2K": (".mpc2k",),
    "NIST": (".nist", ".sph"),
    "OGG": (".ogg", ".oga", ".opus"),
    "PAF": (".paf",),
    "PVF": (".pvf",),
    "RF64": (".rf64",),
    "SD2": (".sd2",),
    "SDS": (".sds",),
    "SVX": (".svx", ".8svx", ".iff"),
    "VOC": (".voc",),
    "W64": (".w64",),
    "WAV": (".wav", ".wave"),
    "WVE": (".wve",),
    "XI": (".xi",),
}
# What phones, cameras and browsers write and libsndfile does not read. A recording of this kind is a clip like any
# other: validate decodes it with FFmpeg, or rejects it with the reason.
OTHER_EXTENSIONS = (
    *(".3g2", ".3gp", ".aac", ".ac3", ".adts", ".alac", ".amr", ".ape", ".avi", ".awb", ".dff", ".dsf", ".dts"),
    *(".eac3", ".f4a", ".flv", ".m2ts", ".m4a", ".m4b", ".m4r", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp4"),
    *(".mpc", ".mpeg", ".mpg", ".mpga", ".mts", ".ogv", ".opus", ".qcp", ".ra", ".rm", ".spx", ".tta", ".webm"),
    *(".weba", ".wma", ".wmv", ".wv"),
)
TABLE_EXTENSIONS = (".csv", ".json", ".jsonl", ".ods", ".parquet", ".tsv", ".xls", ".xlsx")

_AUDIO = {
    *OTHER_EXTENSIONS,
    *(
        extension
        for name, extensions in SOUNDFILE_EXTENSIONS.items()
        if name in soundfile.available_formats()
        for extension in extensions
    ),
}


def find_files(top: Path) -> tuple[dict[str, Path], list[str]]:
    """Every file below `top` that is not skipped, by its path relative to `top`, sorted; and notes on what is skipped.

    Skipped are system files, hidden and system folders, and links to folders: DVC does not follow those, so it would
    miss a change behind one, and they may form a cycle. Links to files count as files. A folder with the name of a
    recording counts as a file, which validate then rejects.
    """
    names, links, system_folders, system_files = [], [], [], []
    for folder, subfolders, files in os.walk(top, onerror=_refuse):
        here = Path(folder)

        def from_top(name: str, here: Path = here) -> str:
            return (here / name).relative_to(top).as_posix()

        files += [name for name in subfolders if here != top and is_audio(name) and not is_system_folder(name)]
        system_folders += [from_top(name) for name in subfolders if is_system_folder(name)]
        subfolders[:] = [name for name in subfolders if name not in files and not is_system_folder(name)]
        links += [from_top(name) for name in subfolders if (here / name).is_symlink()]
        system_files += [from_top(name) for name in files if is_system_file(name)]
        names += [from_top(name) for name in files if not is_system_file(name)]
    notes = [
        f"{what} skipped{why}: {some(sorted(found))}"
        for what, why, found in (
            (count(len(links), "link to a folder", "links to folders"), ", which DVC does not follow", links),
            (count(len(system_folders), "hidden or system folder"), "", system_folders),
            (count(len(system_files), "system file"), "", system_files),
        )
        if found
    ]
    return {name: top / name for name in sorted(names)}, notes


def is_audio(name: str) -> bool:
    """Whether the file of this name or path is a recording by its extension."""
    return PurePosixPath(name).suffix.lower() in _AUDIO


def unused_files(names: Iterable[str]) -> list[str]:
    """A note on tables and one on other files that are not used, by kind with counts; empty where there are none."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    tables = []
    for name in sorted(names):
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in TABLE_EXTENSIONS:
            tables.append(name)
        else:
            by_kind[suffix or "without extension"].append(name)
    notes = [f"{count(len(tables), 'table')} not used: {some(tables)}"] if tables else []
    if by_kind:
        kinds = sorted(by_kind.items(), key=lambda item: (-len(item[1]), item[0]))
        shown = [f"{len(found):,} {kind} (such as {some(found[:1])})" for kind, found in kinds]
        n_files = sum(map(len, by_kind.values()))
        notes.append(f"{count(n_files, 'file')} not used, not audio by extension: {some(shown, 8)}")
    return notes


def header_seconds(path: Path) -> float | None:
    """How long the header of the file `path` says that it lasts, in seconds; None where it says nothing."""
    if not path.is_file():  # a pipe can be read only once
        return None
    try:
        with open_audio(path) as recording:
            return None if recording.n_expected is None else recording.n_expected / recording.sr
    except AudioError:
        return None


def _refuse(error: OSError) -> None:
    raise SourceError(f"{error.filename}: cannot be listed ({error.strerror}); make it readable")
