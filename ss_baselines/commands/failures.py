"""Errors told to somebody at a terminal: one line that says what is wrong and what to do."""

from __future__ import annotations

import errno

# Packages that come with an extra: the missing import on the left, the extra on the right.
_EXTRAS = {
    "torch": "train",
    "transformers": "train",
    "peft": "train",
    "accelerate": "train",
    "safetensors": "train",
    "tensorboard": "train",
    "tokenizers": "train",
    "fastapi": "serve",
    "starlette": "serve",
    "uvicorn": "serve",
    "prometheus_client": "serve",
    "websockets": "serve",
}
# What to do about an error that the operating system reports.
_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "name a file, not a folder",
    errno.EEXIST: "choose another name",
    errno.EACCES: "choose a place that you may use, or ask for the right to",
    errno.EPERM: "choose a place that you may use, or ask for the right to",
    errno.EROFS: "choose a place that can be written to",
    errno.ENOSPC: "free some space, or choose another place",
}


def one_line(error: BaseException) -> str:
    """The error in one line, with what to do about it.

    Args:
        error: what was raised. Errors of the command line (unknown options and so on) name the
            help to look at; a missing package names the extra to install; anything that is not
            the user's doing names its type and points to ``--debug``.
    """
    message = " ".join(str(error).split())
    describe = getattr(error, "format_message", None)
    if describe is not None:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "stateset-agents"
        return f"{' '.join(describe().split())} (see '{path} --help')"
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra:
            return f"this needs the package '{error.name}': pip install 'stateset-gym[{extra}]'"
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        place = f"'{error.filename}': " if error.filename is not None else ""
        return f"{place}{error.strerror.lower()}; {_REMEDIES.get(error.errno, 'add --debug to see where')}"
    if isinstance(error, (ValueError, OSError, ImportError)) or _is_told_by_a_library(error):
        return message or type(error).__name__
    return f"unexpected {type(error).__name__}: {message or 'no message'}; add --debug to see where"


def _is_told_by_a_library(error: BaseException) -> bool:
    """Whether it is an error class of ours or of Gymnasium, whose messages are written for users."""
    return type(error).__module__.partition(".")[0] in {"ss_gym", "ss_trainers", "ss_baselines", "gymnasium"}
