"""What people type: examples for the end of each command's help."""

from __future__ import annotations

# Lines of at most 78 characters fit into a terminal of 80.
EXAMPLES = {
    "stateset-agents": (
        "stateset-agents doctor",
        "stateset-agents evaluate --agent tiny --episodes 100",
        "stateset-agents train --save outputs/refund",
    ),
    "version": ("stateset-agents version",),
    "doctor": ("stateset-agents doctor",),
    "envs": ("stateset-agents envs",),
    "play": (
        "stateset-agents play",
        "stateset-agents play StateSet/Exchange-v0 --split dev --seed 3",
        "stateset-agents play --scenario refund/dev/0042 --persona difficult",
    ),
    "evaluate": (
        "stateset-agents evaluate --agent reference --json reference.json",
        "stateset-agents evaluate --agent outputs/refund --split test --greedy",
        "stateset-agents evaluate --checkpoint outputs/refund --message Hello",
    ),
    "rollout": (
        "stateset-agents rollout --agent reference --out episodes.jsonl",
        "stateset-agents rollout --agent tiny --attempts 8 --out tiny.jsonl",
        "stateset-agents rollout --agent tiny --attempts 8 --out tiny.jsonl --resume",
    ),
    "submit": (
        "stateset-agents submit --agent rule_bot --out submissions/rule_bot",
        "stateset-agents submit --agent outputs/refund --name Ours --out ours",
        "stateset-agents submit --episodes mine.jsonl --name Mine --out mine",
    ),
    "verify": ("stateset-agents verify submissions/rule_bot --workers 2",),
    "leaderboard": ("stateset-agents leaderboard submissions --out site/leaderboard",),
    "train": (
        "stateset-agents train --save outputs/refund",
        "stateset-agents train --algorithm gspo --dry-run > refund.yaml",
        "stateset-agents train --config refund.yaml --save outputs/refund",
        "stateset-agents train --resume outputs/refund",
    ),
    "serve": (
        "stateset-agents serve",
        "stateset-agents serve --checkpoint outputs/refund --api-keys keys.txt",
        "stateset-agents serve --host 0.0.0.0 --port 8001",
    ),
    "serve-env": (
        "stateset-agents serve-env",
        "stateset-agents serve-env --env StateSet/Retail-v0 --keyword max_turns=30",
    ),
}


def epilog(command: str) -> str:
    """The examples of a command as the end of its help."""
    return "\n".join(["Examples:", *EXAMPLES[command]])
