"""The baselines by name. Everything is a string, so that nothing is imported before it is used."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any

from ss_baselines.agents.scripted import Agent, Script, ScriptedAgent

__all__ = ["AGENTS", "Agent", "Script", "ScriptedAgent", "load_agent"]

AGENTS = {
    "reference": "ss_baselines.agents.reference:ReferenceAgent",
    "rule_bot": "ss_baselines.agents.rule_bot:RuleBot",
    "demonstrator": "ss_baselines.agents.demonstrator:Demonstrator",
    "silent": "ss_baselines.agents.exploits:Silent",
    "instant_closer": "ss_baselines.agents.exploits:InstantCloser",
    "random_tools": "ss_baselines.agents.exploits:RandomTools",
    "keyword_stuffer": "ss_baselines.agents.exploits:KeywordStuffer",
    "data_dumper": "ss_baselines.agents.exploits:DataDumper",
    "always_grant": "ss_baselines.agents.controls:AlwaysGrant",
    "always_refuse": "ss_baselines.agents.controls:AlwaysRefuse",
    "always_transfer": "ss_baselines.agents.controls:AlwaysTransfer",
    "ground_fisher": "ss_baselines.agents.exploits:GroundFisher",
}


def load_agent(name: str, **options: Any) -> Agent:
    """Makes a baseline.

    Args:
        name: one of ``AGENTS``.
        options: keywords of the agent's class.

    Raises:
        ValueError: if there is no such baseline.
    """
    entry_point = AGENTS.get(name)
    if entry_point is None:
        near = get_close_matches(name, AGENTS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(AGENTS)}"
        raise ValueError(f"no baseline is called {name!r}; {hint}")
    module, _, attribute = entry_point.partition(":")
    agent: Agent = getattr(import_module(module), attribute)(**options)
    return agent
