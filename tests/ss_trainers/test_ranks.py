"""Two processes of a launcher train as one does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ss_trainers import GRPO, Trainer, TrainingConfig
from tests.ss_trainers import two_ranks
from tests.ss_trainers.another_process import AnotherProcess
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

ROOT = Path(__file__).parents[2]
LAUNCHER = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def launch(model, folder):
    """Two processes of torch's launcher."""
    command = [sys.executable, *LAUNCHER, "--rdzv-endpoint", "localhost:0", two_ranks.__file__, model, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def begin(model, folder):
    """Two processes that are told what a launcher tells its own; that saves three starts of torch."""
    given = (model, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    begun = [
        AnotherProcess(folder / f"errors_{rank}", two_ranks.told, {**told, "RANK": rank, "LOCAL_RANK": rank}, *given)
        for rank in "01"
    ]
    for code, errors in [process.ended() for process in begun]:
        assert code == 0, errors


@pytest.fixture(scope="module", params=[begin, pytest.param(launch, marks=pytest.mark.slow)])
def ranks(request, model, tmp_path_factory):
    """The folder that two processes have left."""
    folder = tmp_path_factory.mktemp("ranks")
    request.param(model, folder)
    return folder


def test_two_processes_are_one_after_ten_steps(model, ranks):
    one, two = two_ranks.updates(model), torch.load(ranks / "updates.pt", weights_only=True)
    assert one["weights"].isfinite().all() and two["weights"].isfinite().all()
    assert (one["weights"] - two["weights"]).norm() <= 1e-5 * one["weights"].norm()
    assert one["metrics"] == pytest.approx(two["metrics"], rel=1e-3, abs=1e-6)


def test_a_run_of_two_processes_leaves_the_same_weights_in_both_and_one_checkpoint(ranks):
    assert (ranks / "result_0").read_text() == (ranks / "result_1").read_text() != ""
    metrics = [json.loads(line) for line in (ranks / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [each["iteration"] for each in metrics] == [1, 2] and "eval/return" in metrics[1]
    assert (ranks / "run" / "checkpoint" / "model.safetensors").exists()


def test_both_processes_meet_the_same_population(ranks):
    assert (ranks / "meeting_0").read_text() == (ranks / "meeting_1").read_text() != ""
    metrics = [json.loads(line) for line in (ranks / "meeting" / "metrics.jsonl").read_text().splitlines()]
    assert [each["population/sim_ratio"] for each in metrics] == pytest.approx([1.0, 2 / 3, 1 / 3, 0.0])


def test_both_processes_go_through_the_tasks_alike(ranks):
    assert (ranks / "lasting_0").read_text() == (ranks / "lasting_1").read_text() != ""
    metrics = [json.loads(line) for line in (ranks / "lasting" / "metrics.jsonl").read_text().splitlines()]
    assert [each["task"] for each in metrics] == [0, 0, 0, 1, 1, 1]
    # Held to the first task, with what it had played, from the second on.
    assert all("lwf_loss" in each and each["ewc_penalty"] >= 0 for each in metrics[3:])
    assert metrics[5]["replayed"] > 0 and "continual/forgetting" in metrics[5]


def test_a_launcher_and_workers_are_too_much(model, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="set workers to 1"):
        Trainer(register(), model, GRPO(), TrainingConfig(workers=2))
    with pytest.raises(ValueError, match="set sampler to 'builtin'"):
        Trainer(register(), model, GRPO(), TrainingConfig(sampler="vllm"))
