"""What each of a launcher's processes does in ``test_ranks.py``: ``two_ranks.py MODEL FOLDER``."""

import hashlib
import os
import random
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from ss_gym.sim2real import RandomizedPopulation
from ss_trainers import GRPO, ContinualConfig, Trainer, TrainingConfig
from ss_trainers.algorithms.registry import make_algorithm
from ss_trainers.collate import collate
from ss_trainers.experience import prepared
from ss_trainers.ranks import is_first
from tests.ss_trainers.continual.letters import register as letters
from tests.ss_trainers.samples import trajectories
from tests.ss_trainers.toy_env import register

SMALL = TrainingConfig(groups_per_iteration=4, group_size=4, max_new_tokens=4, learning_rate=1e-2)


def updates(model):
    """Ten updates on batches that do not depend on the weights, with a critic and two minibatches each."""
    training = TrainingConfig(learning_rate=1e-3, minibatches=2, micro_batch_tokens=60)
    algorithm = make_algorithm("ppo", {"kl_coefficient": 0.1})
    trainer = Trainer(register(), model, algorithm, training)
    workers = trainer._running()
    for number in range(10):
        given = [replace(one, success=True) for one in trajectories(random.Random(number), 12)]
        batch = prepared(collate(given), algorithm, workers, training, {})
        with ExitStack() as held:
            metrics = trainer._updater.update(batch, workers, number, held)
    weights = torch.cat([value.detach().flatten() for value in workers.engine.trainable])
    return {"weights": weights, "metrics": metrics}


def whole_run(model, folder):
    """A run with evaluations and checkpoints; what this process has in the end."""
    odd = {"groups_per_iteration": 3, "group_size": 3}  # more than one process can share evenly
    training = replace(SMALL, **odd, iterations=2, eval_every=1, eval_episodes=5, output_dir=str(folder))
    trainer = Trainer(register(), model, GRPO(), training)
    metrics = trainer.train()
    return digest(trainer), metrics["return"]


def lasting_run(model, folder):
    """A run through two tasks, with all that there is against forgetting."""
    training = replace(SMALL, iterations=6, eval_episodes=6, output_dir=str(folder))
    continual = ContinualConfig("replay_lwf_ewc", task_schedule=("a", "b"), replay_ratio=0.5, ewc_episodes=4)
    trainer = Trainer(letters(), model, GRPO(), training, continual=continual)
    trainer.train()
    return digest(trainer), trainer.continual.accuracies.rows


def meeting_run(model, folder):
    """A run with customers of a population that goes from some to others."""
    training = replace(SMALL, iterations=4, output_dir=str(folder))
    sides = {"simulated": {"kind": "options", "options": {"task": "a"}}, "real": {"kind": f"{__name__}:any_letter"}}
    population = {"kind": "transfer", "total_steps": 3, **sides}
    trainer = Trainer(letters(), model, GRPO(), training, population=population)
    trainer.train()
    return digest(trainer)


def any_letter():
    """Customers who ask for one of two letters."""
    return RandomizedPopulation(lambda generator: {"task": "bc"[int(generator.integers(2))]})


def digest(trainer):
    """Of the weights."""
    weights = torch.cat([value.detach().flatten() for value in trainer._parameters])
    return hashlib.sha256(weights.numpy().tobytes()).hexdigest()


def rank(model, folder):
    """What one of the processes does and leaves."""
    done = updates(model)
    if is_first():
        torch.save(done, folder / "updates.pt")
    weights, earned = whole_run(model, folder / "run")
    (folder / f"result_{os.environ['RANK']}").write_text(f"{weights} {earned}")
    weights, rows = lasting_run(model, folder / "lasting")
    (folder / f"lasting_{os.environ['RANK']}").write_text(f"{weights} {rows}")
    (folder / f"meeting_{os.environ['RANK']}").write_text(meeting_run(model, folder / "meeting"))


def told(variables, model, folder):
    """The same, where nobody but the caller has set the variables of a launcher."""
    os.environ.update(variables)
    rank(model, folder)


if __name__ == "__main__":
    rank(sys.argv[1], Path(sys.argv[2]))
