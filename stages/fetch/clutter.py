"""What operating systems and tools leave among recordings, and what fetch therefore skips."""

from pathlib import PurePosixPath

SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")
# Lower case; folders whose names start with a dot are skipped too, such as .git, .ipynb_checkpoints and .Trash-1000.
SYSTEM_FOLDERS = (
    "$recycle.bin",
    "#recycle",
    "#snapshot",
    "@eadir",
    "@recycle",
    "@tmp",
    "__macosx",
    "__pycache__",
    "lost+found",
    "system volume information",
)


def is_system_file(name: str) -> bool:
    """Whether a file of this name holds notes of an operating system; '.5 Hz hum.wav' is a recording."""
    return name.startswith("._") or name in SYSTEM_FILES


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name is hidden, or one that an operating system or a tool made."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def is_clutter(path: str) -> bool:
    """Whether the file at `path`, relative to its dataset, is a system file or lies in a system folder."""
    *folders, name = PurePosixPath(path).parts or ("",)
    return is_system_file(name) or any(map(is_system_folder, folders))
