"""Where results are written: whether they can be, before the work that makes them, and the writing itself."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ss_gym.whole_file import whole_file


def existing_part(folder: Path) -> Path:
    """The folder, or the nearest above it that exists: what is missing below it can be made there."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def obstacle(folder: Path) -> str:
    """Why nothing can be written in a folder that may still have to be made; empty if it can.

    Nothing is left behind. It is tried out, because permissions do not tell of full or special
    file systems, nor what an administrator may do.
    """
    place = existing_part(folder)
    if not place.is_dir():
        return f"'{place}' is a file, not a folder"
    try:
        with tempfile.TemporaryFile(dir=place):
            return ""
    except OSError as error:
        return f"'{place}' cannot be written to ({error.strerror})"


def check_folder(folder: Path) -> None:
    """Makes sure that files can be written in a folder, which need not exist yet.

    Raises:
        ValueError: if they can't.
    """
    reason = obstacle(folder)
    if reason:
        raise ValueError(f"nothing can be saved in '{folder}': {reason}; choose another folder")


def check_file(file: Path) -> None:
    """Makes sure that a file can be written, without making it.

    Raises:
        ValueError: if it can't.
    """
    if file.is_dir():
        raise ValueError(f"'{file}' is a folder: name a file in it, such as {file / 'result.json'}")
    if _stays_in_place(file):
        reason = "" if os.access(file, os.W_OK) or not file.exists() else "you may not write to it"
    else:
        reason = obstacle(file.parent)
    if reason:
        raise ValueError(f"'{file}' cannot be written: {reason}; choose another file")


def write_whole(file: Path, text: str) -> None:
    """Writes a file so that it is there complete or not at all; missing folders above it are made.

    Raises:
        OSError: if it can't be written; what was there before is as it was.
    """
    if _stays_in_place(file):
        file.write_text(text, encoding="utf-8")
        return
    with whole_file(file) as stream:
        stream.write(text.encode("utf-8"))


def _stays_in_place(file: Path) -> bool:
    """Whether a new file must not take the place of this one: a link, or a device such as ``/dev/stdout``."""
    return file.is_symlink() or (file.exists() and not file.is_file())
