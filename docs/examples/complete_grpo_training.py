"""A training run with everything around it: settings, callbacks, evaluation, checkpoints, resuming, the agent.

    python docs/examples/complete_grpo_training.py --out outputs/complete

It prints a line an iteration, goes on from the checkpoint as after Ctrl-C, and lets the best agent answer. The folder
holds checkpoint/, best/, metrics.jsonl and TensorBoard files. Three to four minutes on one core.
"""

import argparse
import asyncio
from collections.abc import Mapping
from pathlib import Path

import gymnasium as gym

from ss_gym import load_agent_from_checkpoint
from ss_trainers import GRPOConfig, GRPOTrainer, KeepBest, StopOnRegression, Trainer, TrainingConfig

ENV_ID, PROMPT = "StateSet/Refund-v0", {"prompt": "compact"}


def told(trainer: Trainer, metrics: Mapping[str, float]) -> None:
    """A callback of one's own: it sees each iteration, and would end the run by returning True."""
    dev = f", on dev {metrics['eval/success']:.2f}" if "eval/success" in metrics else ""
    print(f"iteration {trainer.iteration}: success {metrics['success']:.2f}{dev}")


def main() -> None:
    """Trains, goes on, answers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--groups", type=int, default=8, help="scenarios of an iteration, with 8 attempts each")
    parser.add_argument("--customers", type=int, default=50, help="of an evaluation")
    parser.add_argument("--out", type=Path, default=Path("outputs/complete"))
    options = parser.parse_args()
    half = max(1, options.iterations // 2)
    training = TrainingConfig(
        iterations=options.iterations,
        groups_per_iteration=options.groups,
        eval_every=half,
        eval_options={"split": "dev"},
        eval_episodes=options.customers,
        output_dir=str(options.out),
    )
    trainer = GRPOTrainer(ENV_ID, "tiny", GRPOConfig(aggregation="sequence_mean"), training, env_kwargs=PROMPT)
    callbacks = [told, KeepBest(options.out / "best"), StopOnRegression(margin=0.2)]
    trainer.train(callbacks)
    trainer.close()
    # Another process, perhaps tomorrow: weights, optimizer, scenarios and noise go on as if nothing had happened.
    resumed = GRPOTrainer.resume(options.out / "checkpoint", training={"iterations": options.iterations + half})
    resumed.train(callbacks)
    resumed.close()
    agent = asyncio.run(load_agent_from_checkpoint(options.out / "best"))
    said, info = gym.make(ENV_ID, **PROMPT).reset(seed=7)
    messages = [{"role": "system", "content": info["system_prompt"]}, {"role": "user", "content": said}]
    print(f"Customer: {said}\nAgent: {asyncio.run(agent.generate_response(messages))}")


if __name__ == "__main__":
    main()
