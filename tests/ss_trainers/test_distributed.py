import os
import shutil
import signal
from collections import namedtuple
from dataclasses import replace

import pytest
import torch

from ss_trainers import GRPOTrainer, TrainingConfig
from ss_trainers.collate import split_by_length
from ss_trainers.processes import WorkerError
from ss_trainers.sampling import training_episodes
from ss_trainers.types import BatchCounts
from tests.ss_trainers.test_trainer import assert_same_weights, weights
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import SayTheLetter, register

ENV = register()
TWO = TrainingConfig(
    iterations=3, groups_per_iteration=2, group_size=4, max_new_tokens=4, learning_rate=1e-2, workers=2
)


class Fragile(SayTheLetter):
    """Ends its process when the seed asks for it."""

    def reset(self, *, seed=None, options=None):
        if options and options.get("kill") == seed:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().reset(seed=seed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


def test_two_processes_train_one_model_and_resume_bit_for_bit(folder, tmp_path):
    whole = GRPOTrainer(ENV, folder, training=TWO)
    metrics = whole.step()
    assert metrics["steps"] == 2 and metrics["logprob_difference"] < 1e-4
    whole.save(tmp_path)
    whole.step()
    expected = weights(whole)
    whole.close()
    resumed = GRPOTrainer.resume(tmp_path)
    resumed.step()
    assert_same_weights(expected, weights(resumed))
    resumed.close()


def test_the_gradient_of_two_processes_is_that_of_one(folder):
    trainer = GRPOTrainer(ENV, folder, training=TWO)
    workers = trainer._running()
    batch = trainer._batch(trainer.evaluate(training_episodes(0, TWO)).trajectories, {})
    gradients = []
    for engine in (workers, workers.engine):
        for parameter in workers.engine.trainable:
            parameter.grad = None
        engine.accumulate(split_by_length(batch, 100), BatchCounts.of(batch), 1.0)
        gradients.append([parameter.grad.clone() for parameter in workers.engine.trainable])
    trainer.close()
    assert max(float(gradient.abs().max()) for gradient in gradients[0]) > 1e-3
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-6, rtol=1e-5)


def test_a_process_that_is_lost_is_an_error_and_the_next_call_starts_another(folder):
    trainer = GRPOTrainer(Fragile, folder, training=replace(TWO, eval_episodes=4, eval_options={"kill": 3}))
    with pytest.raises(WorkerError, match=r"has ended with exit code -9; if the machine ran out of memory"):
        trainer.evaluate()
    assert trainer.step()["dropped_episodes"] == 0
    trainer.close()


def test_too_little_shared_memory_is_said_beforehand(folder, monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**20, 2**20, 1000))
    trainer = GRPOTrainer(ENV, folder, training=TWO)
    with pytest.raises(RuntimeError, match=r"2 workers need .* MiB of shared memory"):
        trainer.step()
