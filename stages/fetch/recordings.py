"""Finding recordings in a folder: which files are audio, and which are left out."""

import os
from pathlib import Path

import soundfile

from stages.fetch.archives import is_clutter
from stages.fetch.messages import some
from stages.lib.core.errors import SourceError

# libsndfile tells a format by the file's content and lists no extensions, so these are listed here. Left out: RAW,
# which has no header that states its rate, and MAT4 and MAT5, which mostly hold other data than sound.
EXTENSIONS = {
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


_READABLE = {
    extension
    for name, extensions in EXTENSIONS.items()
    if name in soundfile.available_formats()
    for extension in extensions
}


def find_files(top: Path) -> tuple[dict[str, Path], list[str]]:
    """Every file below `top` except clutter, by its path relative to `top`, sorted; and a line on what was left out.

    Links to files count as files. Links to folders are left out: DVC does not follow them, so it would miss a change
    behind one, and they may form a cycle. A folder with the name of a recording counts as a file, which validate then
    rejects.
    """
    names, linked = [], []
    for folder, subfolders, files in os.walk(top, onerror=_refuse):
        here = Path(folder)
        files += [name for name in subfolders if here != top and is_audio(Path(name))]
        subfolders[:] = [name for name in subfolders if name not in files and not is_clutter(name)]
        linked += [(here / name).relative_to(top).as_posix() for name in subfolders if (here / name).is_symlink()]
        names += [(here / name).relative_to(top).as_posix() for name in files if not is_clutter(name)]
    notes = [f"{len(linked)} left out, links to folders, which DVC does not follow: {some(sorted(linked))}"]
    return {name: top / name for name in sorted(names)}, notes if linked else []


def is_audio(path: Path) -> bool:
    """Whether the file is a recording by its extension."""
    return path.suffix.lower() in _READABLE


def _refuse(error: OSError) -> None:
    raise SourceError(f"{error.filename}: cannot be listed ({error.strerror}); make it readable")
