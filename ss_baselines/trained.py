"""Trains the tiny agent on refunds with the online algorithms, as baselines: ``python -m ss_baselines.trained``.

    python -m ss_baselines.trained --algorithm gspo      # into outputs/trained/gspo; goes on where it was stopped
    stateset-agents submit --agent outputs/trained/gspo --env StateSet/Refund-v0 --temperature 0 --out gspo

All have the engine's settings of ``make demo``: 60 iterations of 12 customers by 8 attempts, or as often again for an
algorithm that draws until its batch is full. What
learns from a log is trained by ``docs/examples/offline_text_study.py``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

# Before torch is loaded: spinning threads slow each other down on shared cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from rich.console import Console

from ss_gym.agents.checkpoint import CHECKPOINT, checkpoint_folder
from ss_trainers import Trainer, TrainingConfig
from ss_trainers.algorithms.registry import make_algorithm

ENV_ID, PROMPT = "StateSet/Refund-v0", {"prompt": "compact"}
ENGINE = TrainingConfig(
    iterations=60,
    groups_per_iteration=12,
    group_size=8,
    learning_rate=2e-4,
    micro_batch_tokens=2048,
    save_every=5,
)
_BY_ATTEMPT = {"aggregation": "sequence_mean"}
# What an algorithm has beside its defaults: GRPO a mean over attempts, as in the paper, and critics a start of their
# own.
ALGORITHMS: Mapping[str, Mapping[str, Any]] = {
    "grpo": _BY_ATTEMPT,
    "gspo": {},
    "gepo": {},
    "dapo": {},
    "cispo": {},
    "rloo": {},
    "reinforce_plus_plus": {},
    "online_dpo": {},
    "rejection_sampling": {},
    "ppo": {"level": "turn", "gae_lambda": 1.0, "critic_iterations": 3},
    "vapo": {"length_alpha": 1.0, "critic_iterations": 3},
    "rlaif": {"judge": "ss_baselines.judges:AuditJudge", "comparisons": 4, "settings": _BY_ATTEMPT},
}


def train(algorithm: str, folder: Path, training: TrainingConfig = ENGINE, console: Console | None = None) -> None:
    """Trains one agent, or goes on with it.

    Args:
        algorithm: one of ``ALGORITHMS``.
        folder: of the run: checkpoint and metrics.
        training: the engine's settings; of a run that goes on only how long it is.
        console: where progress is drawn; nowhere if None.

    Raises:
        CheckpointError: if the folder has a damaged checkpoint.
        ValueError: if it has that of another algorithm or seed.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is written.
    """
    kept = checkpoint_folder(folder / CHECKPOINT)
    if kept is not None:
        trainer = Trainer.resume(kept, training={"iterations": training.iterations}, console=console)
        if (trainer.algorithm.name, trainer.training.seed) != (algorithm, training.seed):
            was = f"{trainer.algorithm.name} with seed {trainer.training.seed}"
            raise ValueError(f"'{folder}' is of {was}: take another --out, or delete it")
    else:
        made, training = make_algorithm(algorithm, ALGORITHMS[algorithm]), replace(training, output_dir=str(folder))
        trainer = Trainer(ENV_ID, "tiny", made, training, env_kwargs=PROMPT, console=console)
    trainer.train()
    trainer.close()


def main(words: Sequence[str] | None = None) -> None:
    """Trains what is asked for and is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", choices=[*ALGORITHMS], nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=ENGINE.seed)
    parser.add_argument("--iterations", type=int, default=ENGINE.iterations)
    parser.add_argument("--out", type=Path, default=Path("outputs") / "trained", help="where each has a folder")
    options = parser.parse_args(words)
    console, training = Console(), replace(ENGINE, seed=options.seed, iterations=options.iterations)
    for algorithm in options.algorithm:
        console.print(algorithm, markup=False)
        train(algorithm, options.out / algorithm, training, console)


if __name__ == "__main__":
    main()
