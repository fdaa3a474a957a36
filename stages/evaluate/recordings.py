"""The recordings of a folder that a parameter of evaluate names."""

from pathlib import Path

from stages.lib.audio import open_audio
from stages.lib.core.errors import AudioError, DataError


def find_recordings(folder: Path, key: str) -> list[Path]:
    """The files of `folder` and its subfolders, sorted, without hidden ones and `README` files.

    `key` is the parameter that names the folder. Raises `DataError` where there is no such folder, or a file in it
    cannot be opened as audio.
    """
    if not folder.is_dir():
        raise DataError(f"{key}: {folder}: no such folder; name one, or data/{key.split('.')[1]} for none")
    found = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_left_out(path.relative_to(folder)))
    for path in found:
        try:
            with open_audio(path):
                pass
        except AudioError as error:
            raise DataError(f"{key}: {folder}: {error}; move what is no recording elsewhere") from None
    return found


def _is_left_out(path: Path) -> bool:
    return path.stem == "README" or any(part.startswith(".") for part in path.parts)
