"""Conformance checks for environments, agents, backends, families and rewards; they are what our own tests use.

Each check returns nothing and raises ``AssertionError`` with what is wrong.
"""

from __future__ import annotations

from ss_gym.testing.agents import check_agent
from ss_gym.testing.backends import check_backend
from ss_gym.testing.environments import DEFAULT_ACTIONS, check_text_environment
from ss_gym.testing.episodes import ActingAgent, trace_digest
from ss_gym.testing.families import check_family
from ss_gym.testing.reward_battery import EXPLOITS, Situation, Verdict, judge_battery, read_situations
from ss_gym.testing.rewards import check_reward

__all__ = [
    "DEFAULT_ACTIONS",
    "EXPLOITS",
    "ActingAgent",
    "Situation",
    "Verdict",
    "check_agent",
    "check_backend",
    "check_family",
    "check_reward",
    "check_text_environment",
    "judge_battery",
    "read_situations",
    "trace_digest",
]
