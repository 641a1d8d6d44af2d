"""Two processes of a launcher train as one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ss_trainers import GRPO, Trainer, TrainingConfig
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

ROOT = Path(__file__).parents[2]
# Ten updates on batches that do not depend on the weights, with a critic and two minibatches each.
UPDATES = """
import random, sys
from contextlib import ExitStack
from dataclasses import replace
import torch
from ss_trainers import Trainer, TrainingConfig
from ss_trainers.algorithms.registry import make_algorithm
from ss_trainers.collate import collate
from ss_trainers.experience import prepared
from ss_trainers.ranks import is_first
from tests.ss_trainers.samples import trajectories
from tests.ss_trainers.toy_env import register
model, out = sys.argv[1:]
training = TrainingConfig(learning_rate=1e-3, minibatches=2, micro_batch_tokens=60)
algorithm = make_algorithm("ppo", {"kl_coefficient": 0.1})
trainer = Trainer(register(), model, algorithm, training)
workers = trainer._running()
for number in range(10):
    given = [replace(one, success=True) for one in trajectories(random.Random(number), 12)]
    batch = prepared(collate(given), algorithm, workers, training, {})
    with ExitStack() as held:
        metrics = trainer._updater.update(batch, workers, number, held)
if is_first():
    torch.save({"weights": [value.detach() for value in workers.engine.trainable], "metrics": metrics}, out)
"""
# A whole run, and what each process has in the end.
RUN = """
import sys, hashlib, torch
from ss_trainers import Trainer, TrainingConfig, GRPO
from tests.ss_trainers.toy_env import register
import os
model, out = sys.argv[1:]
training = TrainingConfig(iterations=2, groups_per_iteration=3, group_size=3, max_new_tokens=4, output_dir=out,
                          eval_every=1, eval_episodes=5, learning_rate=1e-2)
trainer = Trainer(register(), model, GRPO(), training)
metrics = trainer.train()
weights = torch.cat([value.detach().flatten() for value in trainer._parameters])
print("RESULT", os.environ["RANK"], hashlib.sha256(weights.numpy().tobytes()).hexdigest(), metrics["return"])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def launch(processes, script, path, *arguments):
    path.write_text(script, encoding="utf-8")
    command = [sys.executable, str(path), *map(str, arguments)]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--master-port", "0"]
        command = [sys.executable, *launcher, "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", *command[1:]]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_two_processes_are_one_after_ten_steps(folder, tmp_path):
    found = []
    for processes in (1, 2):
        out = tmp_path / f"{processes}.pt"
        launch(processes, UPDATES, tmp_path / "updates.py", folder, out)
        found.append(torch.load(out, weights_only=True))
    one, two = (torch.cat([value.flatten() for value in each["weights"]]) for each in found)
    assert (one - two).norm() <= 1e-5 * one.norm()
    moved = torch.cat([value.flatten() for value in found[0]["weights"]])
    assert moved.isfinite().all() and found[0]["metrics"] == pytest.approx(found[1]["metrics"], rel=1e-3, abs=1e-6)


def test_a_run_of_two_processes_leaves_the_same_weights_in_both_and_one_checkpoint(folder, tmp_path):
    output = launch(2, RUN, tmp_path / "run.py", folder, tmp_path / "out")
    lines = sorted(line.split()[1:] for line in output.splitlines() if "RESULT" in line)
    assert [line[0] for line in lines] == ["0", "1"] and lines[0][1:] == lines[1][1:]
    metrics = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [each["iteration"] for each in metrics] == [1, 2] and "eval/return" in metrics[1]
    assert (tmp_path / "out" / "checkpoint" / "model.safetensors").exists()


def test_a_launcher_and_workers_are_too_much(folder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="set workers to 1"):
        Trainer(register(), folder, GRPO(), TrainingConfig(workers=2))
