"""Models in GGUF files, which are made into safetensors once."""

from __future__ import annotations

import hashlib
import os
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ss_trainers.checkpoint import replaced_folder


def gguf_in(source: Path) -> Path:
    """The GGUF file in a folder that has no weights in another form; else what was given.

    Raises:
        ValueError: if there are several.
    """
    if not source.is_dir() or any(source.glob("*.safetensors")):
        return source
    found = sorted(source.glob("*.gguf"))
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise ValueError(f"'{source}' holds several GGUF files, give the path of one of them: {names}")
    return found[0] if found else source


def converted(file: Path) -> Path:
    """The folder of safetensors made from a GGUF file, which takes a while the first time.

    Raises:
        ImportError: if the package that reads such files is not installed.
        ValueError: if transformers can't read it.
        CheckpointError: if the folder can't be written.
    """
    stamp = hashlib.sha256(f"{file.resolve()} {file.stat().st_size} {file.stat().st_mtime_ns}".encode()).hexdigest()
    folder = cache_folder() / "models" / f"{file.stem}-{stamp[:12]}"
    if not folder.is_dir():
        if find_spec("gguf") is None:
            raise ImportError(f"'{file}' is a GGUF file, and the package that reads these is missing: pip install gguf")
        try:
            model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        except Exception as error:  # What reads bytes that are none runs into anything.
            raise ValueError(f"'{file}' is no GGUF file that transformers can read ({error!r:.300})") from error
        # The weights are float32 by now, but the model still says that it is quantized.
        del model.hf_quantizer
        del model.config.quantization_config
        with replaced_folder(folder) as partial:
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
    return folder


def cache_folder() -> Path:
    """Where converted models are kept: ``STATESET_GYM_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("STATESET_GYM_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stateset-gym"
