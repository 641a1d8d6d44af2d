"""From a log to the world: learn from what others did, then go on by oneself.

    python docs/examples/hybrid_offline_online.py
    python docs/examples/hybrid_offline_online.py --online-ratio 1     # nothing of the log once episodes are played

The tiny agent clones the better conversations of a log, and then learns with GRPO from episodes of its own, beside
which it sees some of the log: half of each batch at first, nothing at the end. It prints the share of new customers
that it gets right before, after the log, and after all; about twelve minutes on a core. ``hybrid_study.py`` compares
that with GRPO alone.
"""

import argparse
import os
from pathlib import Path

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import gymnasium as gym
from offline_logs import SHARES, LogPlan, write
from rich.console import Console

import ss_gym
from ss_baselines.evaluate import evaluate
from ss_gym.datasets import ConversationDataset
from ss_trainers import OfflineGRPOConfig, OfflineGRPOTrainer, TextTraining, TrainingConfig

ENV_ID, COMPACT = "StateSet/Refund-v0", {"prompt": "compact"}


def main() -> None:
    """Learns offline, then online, and measures both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=4000, help="of the log that is made")
    parser.add_argument("--updates", type=int, default=150, help="of the language model, and of the critic, on the log")
    parser.add_argument("--iterations", type=int, default=20, help="of GRPO")
    parser.add_argument("--groups", type=int, default=8, help="scenarios of an iteration, with 8 attempts each")
    parser.add_argument("--online-ratio", type=float, default=0.5, help="share of a batch that is fresh, at first")
    parser.add_argument("--customers", type=int, default=100, help="of an evaluation")
    parser.add_argument("--out", type=Path, default=Path("outputs/hybrid"), help="where the run is kept")
    options = parser.parse_args()
    console, file = Console(), options.out / "log.jsonl"
    if not file.exists():
        write(LogPlan(ENV_ID, SHARES, options.episodes), file, False, console)
    log = ConversationDataset.from_jsonl(file)
    trainer = OfflineGRPOTrainer(
        OfflineGRPOConfig(
            offline_algorithm="iql",
            offline_settings={"gamma": 1.0},
            offline_pretrain_steps=options.updates,
            online_ratio=options.online_ratio,
        ),
        TrainingConfig(
            iterations=options.iterations,
            groups_per_iteration=options.groups,
            group_size=8,
            max_new_tokens=160,
            output_dir=str(options.out),
        ),
        text=TextTraining(critic_conversations=1000),
        console=console,
    )
    agent = ss_gym.MultiTurnAgent(ss_gym.AgentConfig(model_name="tiny"))
    agent.load()
    trained = trainer.train(agent, gym.make(ENV_ID, **COMPACT), offline_dataset=log)
    started = ss_gym.MultiTurnAgent(ss_gym.AgentConfig(model_name=str(options.out / "start")))
    started.load()
    for name, each in {"before": agent, "after the log": started, "after all": trained}.items():
        played = evaluate(each, ENV_ID, "dev", episodes=options.customers, env_kwargs=COMPACT)
        share = sum(episode.success for episode in played.episodes) / len(played.episodes)
        print(f"{name}: {share:.2f} of {options.customers} new customers")


if __name__ == "__main__":
    main()
