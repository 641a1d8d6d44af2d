"""The card of a checkpoint: what a reader has to know of it, in the form that model hubs show."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import PurePath
from typing import Any

import yaml

from ss_gym.agents.config import AgentConfig

_ADAPTER, _TRAINER, _CRITIC = "adapter_model.safetensors", "trainer.safetensors", "offline.safetensors"
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
# Settings of the training that are told, where the provenance has them; the manifest has all.
_TOLD = ("learning_rate", "epochs", "temperature", "max_new_tokens", "precision", "seed")
_HERE = """\
import asyncio

from ss_gym import load_agent_from_checkpoint


async def main():
    agent = await load_agent_from_checkpoint("FOLDER")
    print(await agent.generate_response([{"role": "user", "content": "Hello!"}]))


asyncio.run(main())"""
_TRANSFORMERS = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")"""
_PEFT = """\
from peft import AutoPeftModelForCausalLM

model = AutoPeftModelForCausalLM.from_pretrained("FOLDER")"""
_REWARD = """\
from ss_gym import NeuralReward

reward = NeuralReward("reward_model://FOLDER")"""
_LIMITS = (
    "how it does with other tasks, languages and people. A language model may say what is false, and call "
    "tools that it should not: whatever lets it act has to check what it does."
)


def model_card(agent: AgentConfig, provenance: Mapping[str, Any], weights: Collection[str]) -> str:
    """The card of a checkpoint in Markdown, with the front matter that hubs read.

    It tells what the provenance has; of what that lacks, that it is not known.

    Args:
        agent: how the model is used.
        provenance: how it came to be, as trainers write it: ``algorithm``, ``base_model``, ``iteration``,
            ``training`` and ``metrics``, or ``reward_model``; each may be missing.
        weights: names of the files that hold weights; none for an agent whose model is elsewhere.
    """
    front = yaml.safe_dump(_front_matter(provenance, weights), sort_keys=False, allow_unicode=True)
    about = (
        f"{_kind(agent, provenance, weights)} Saved by StateSet Gym {version('stateset-gym')}; `agent.json` has every "
        "setting, and the SHA-256 sum of every file."
    )
    sections = {
        "Training": _training(provenance, weights),
        "Figures": _figures(provenance),
        "Use": _use(agent, provenance, weights),
        "Limits": f"{_measured(provenance)} {_LIMITS}",
    }
    told = [f"---\n{front}---", f"# {_title(agent, provenance, weights)}", about]
    return "\n\n".join([*told, *(f"## {heading}\n\n{text}" for heading, text in sections.items())]) + "\n"


def _front_matter(provenance: Mapping[str, Any], weights: Collection[str]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if weights and "reward_model" not in provenance:
        told = {"library_name": "peft" if _ADAPTER in weights else "transformers", "pipeline_tag": "text-generation"}
    if _HUB_ID.fullmatch(_base(provenance)):
        told["base_model"] = _base(provenance)
    tags = ["stateset-gym"]
    if provenance.get("algorithm"):
        tags += ["reinforcement-learning", str(provenance["algorithm"])]
    if _ADAPTER in weights:
        tags.append("lora")
    return {**told, "tags": [*tags, "reward-model"] if "reward_model" in provenance else tags}


def _title(agent: AgentConfig, provenance: Mapping[str, Any], weights: Collection[str]) -> str:
    if "reward_model" in provenance:
        return "A reward model"
    name = _shown((_base(provenance) if weights else "") or agent.model_name)
    if not provenance.get("algorithm"):
        return f"{name}, as an agent"
    environment = _settings(provenance).get("env")
    return f"{name} after {provenance['algorithm']}" + (f" in {environment}" if environment else "")


def _kind(agent: AgentConfig, provenance: Mapping[str, Any], weights: Collection[str]) -> str:
    if "reward_model" in provenance:
        return "A language model with a head that reads a conversation and tells one number: what it is worth."
    if not weights:
        return f"An agent whose answers come from `{agent.model_name}`: no weights are here."
    if _ADAPTER in weights:
        return f"An agent for conversations: LoRA adapters for {_named(_base(provenance))}, and the tokenizer."
    return "An agent for conversations: a causal language model and its tokenizer."


def _training(provenance: Mapping[str, Any], weights: Collection[str]) -> str:
    if provenance.get("algorithm"):
        return _table(("setting", "value"), _trained(provenance))
    if "reward_model" in provenance or not weights:
        return "How it was trained is not known here."
    if _ADAPTER in weights:
        return "What the adapters were trained on is not known here."
    if provenance.get("weights_changed"):
        return f"It began as {_named(_base(provenance))}; how its weights were changed since is not known here."
    return f"Its weights are those of {_named(_base(provenance))}; what they were trained on is not known here."


def _trained(provenance: Mapping[str, Any]) -> dict[str, Any]:
    settings = _settings(provenance)
    training = settings.get("training") or {}
    rows = {"algorithm": provenance["algorithm"], "began with": _shown(_base(provenance)) or None}
    if settings:
        rows["environment"] = settings.get("env") or "one that has no name"
        rows |= {f"`{name}`": value for name, value in (settings.get("env_kwargs") or {}).items()}
    rows["iterations"] = provenance.get("iteration")
    rows["scenarios in each"] = training.get("groups_per_iteration")
    rows["attempts at each scenario"] = training.get("group_size")
    rows |= {f"`{name}`": training[name] for name in _TOLD if name in training}
    rows["LoRA rank"] = (training.get("lora") or {}).get("rank")
    return {name: value for name, value in rows.items() if value is not None}


def _figures(provenance: Mapping[str, Any]) -> str:
    figures = provenance.get("metrics") or (provenance.get("reward_model") or {}).get("figures")
    if not figures:
        return "None were recorded with this checkpoint."
    training = _settings(provenance).get("training") or {}
    told = "As they were recorded when it was saved."
    if training.get("eval_episodes") and any(name.startswith("eval/") for name in figures):
        options = f", reset with `{dict(training['eval_options'])}`" if training.get("eval_options") else ""
        told += f" Those of `eval/` are of {training['eval_episodes']} episodes in the same environment{options}."
    return f"{told}\n\n" + _table(("figure", "value"), figures)


def _measured(provenance: Mapping[str, Any]) -> str:
    return "The figures tell nothing of" if provenance.get("metrics") else "Nothing is known here of"


def _use(agent: AgentConfig, provenance: Mapping[str, Any], weights: Collection[str]) -> str:
    if "reward_model" in provenance:
        return _code(_REWARD)
    how = "takes the likeliest token" if agent.temperature == 0 else f"samples at temperature {agent.temperature:g}"
    nucleus = f" from the likeliest {agent.top_p:.0%}" if agent.top_p < 1 else ""
    prompt = "; its instructions are the `system_prompt` in `agent.json`" if agent.system_prompt else ""
    parts = [_code(_HERE), f"It {how}{nucleus}, {agent.max_new_tokens} tokens at most{prompt}."]
    if not weights:
        parts.append(f"What is said to it is passed on to `{agent.model_name}`.")
    elif _ADAPTER in weights:
        parts += ["With `peft` alone, which finds the base model by its name in `adapter_config.json`:", _code(_PEFT)]
    elif _CRITIC in weights:
        told = (
            "A critic beside the model has a say in what it says. With `transformers` alone it is the model without it:"
        )
        parts += [told, _code(_TRANSFORMERS)]
    else:
        parts += ["With `transformers` alone:", _code(_TRANSFORMERS)]
    if _TRAINER in weights:
        parts.append('Training can go on from it: `ss_trainers.Trainer.resume("FOLDER")`.')
    return "\n\n".join(parts)


def _base(provenance: Mapping[str, Any]) -> str:
    return str(provenance.get("base_model") or "")


def _settings(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = provenance.get("training")
    return settings if isinstance(settings, Mapping) else {}


def _shown(name: str) -> str:
    """A model's name; of a path its last part, since the rest is of one machine."""
    return PurePath(name).name if PurePath(name).is_absolute() else name


def _named(base: str) -> str:
    return f"`{_shown(base)}`" if base else "a model that is not named here"


def _table(head: tuple[str, str], rows: Mapping[str, Any]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    for name, value in rows.items():
        text = f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
        lines.append(f"| {name} | {text.replace('|', '&#124;')} |")
    return "\n".join(lines)


def _code(text: str) -> str:
    return f"```python\n{text}\n```"
