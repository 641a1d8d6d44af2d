"""Leaderboards that can't lie: submissions hold every action, and a score is what comes of playing them again."""

from __future__ import annotations

from ss_baselines.leaderboard.packing import pack, pack_files
from ss_baselines.leaderboard.protocol import ENVIRONMENTS, EpisodeKey, Protocol
from ss_baselines.leaderboard.replay import Score
from ss_baselines.leaderboard.standing import Entry, Standing, board
from ss_baselines.leaderboard.submission import AgentCard, Manifest, RunCard, SubmissionError, read_manifest
from ss_baselines.leaderboard.verification import Verified, verify

__all__ = [
    "ENVIRONMENTS",
    "AgentCard",
    "Entry",
    "EpisodeKey",
    "Manifest",
    "Protocol",
    "RunCard",
    "Score",
    "Standing",
    "SubmissionError",
    "Verified",
    "board",
    "pack",
    "pack_files",
    "read_manifest",
    "verify",
]
