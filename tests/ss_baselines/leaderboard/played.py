"""Small submissions, made by the real agents in the real environments."""

from __future__ import annotations

from pathlib import Path

from ss_baselines.agents import load_agent
from ss_baselines.leaderboard import AgentCard, Manifest, Protocol, RunCard, pack
from ss_baselines.trajectories import Plan, recorded
from ss_gym.wrappers import RecordedTrajectory

REFUND, CANCEL = "StateSet/Refund-v0", "StateSet/Cancel-v0"
SMALL = Protocol((REFUND,), pairs=2, trials=2)


def episodes(agent: str, protocol: Protocol) -> list[RecordedTrajectory]:
    """What an agent does in a protocol."""
    played = load_agent(agent)
    return [
        episode
        for env_id in protocol.environments
        for episode in recorded(
            played,
            Plan(env_id, {"prompt": "compact"}, protocol.split, 2 * protocol.pairs, protocol.trials, user_seeds=True),
        )
    ]


def submission(folder: Path, agent: str = "rule_bot", protocol: Protocol = SMALL, **card: str) -> Manifest:
    """A submission of an agent."""
    run = RunCard(prompt_tokens=1000, completion_tokens=200, cost_usd=0.5, seconds=1.0)
    return pack(folder, AgentCard(**{"name": agent, **card}), protocol, episodes(agent, protocol), run)
