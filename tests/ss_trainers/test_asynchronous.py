"""Rollouts that run ahead: which weights play what, and that nothing else decides what is learnt.

Most tests put a stand-in of the other process into this one, which plays a batch as soon as it is asked for one, or
as late as it can: what comes out must not depend on that.
"""

import os
import signal
from collections import deque
from dataclasses import replace

import pytest
import torch

from ss_gym.agents.checkpoint import CheckpointError
from ss_trainers import LoraSettings, Trainer
from ss_trainers.algorithms.registry import make_algorithm
from ss_trainers.asynchronous import Snapshots
from ss_trainers.checkpoint import read_state
from ss_trainers.collate import collate, drop_stale
from ss_trainers.experience import recent, token_batch
from ss_trainers.policy import LanguagePolicy
from ss_trainers.processes import WorkerError
from ss_trainers.rollout import EpisodesFailedError
from ss_trainers.sampling import training_episodes
from tests.ss_trainers.test_trainers import SMALL, assert_same, made, weights, weights_of
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import SayTheLetter

LAGGED = replace(SMALL, iterations=6, rollout_lag=1, mismatch="truncate")


class StandIn:
    """A process in this one, which works when it is asked, when its answer is fetched, or now and then."""

    works = "late"
    asked = ()  # of the last one that was made

    def __init__(self, make, arguments, advice):
        self._work, self._waiting, self._answers = make(*arguments), deque(), deque()
        type(self).asked = []

    def ask(self, *arguments):
        self.asked.append(arguments)
        self._waiting.append(arguments)
        if self.works == "early" or (self.works == "at times" and len(self.asked) % 3):
            self._go_on()

    def answer(self):
        if not self._answers:
            self._go_on()
        return self._answers.popleft()

    def stop(self):
        self._waiting.clear()

    def _go_on(self):
        self._answers.append(self._work(*self._waiting.popleft()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model")))


@pytest.fixture(params=["early", "late"])
def stand_in(request, monkeypatch):
    monkeypatch.setattr("ss_trainers.asynchronous.WorkerProcess", StandIn)
    monkeypatch.setattr(StandIn, "works", request.param)


def other_pace(monkeypatch):
    monkeypatch.setattr(StandIn, "works", {"early": "late", "late": "early"}[StandIn.works])


@pytest.mark.parametrize("lag", [1, 2])
def test_each_batch_is_played_with_the_weights_it_was_promised(lag, folder, stand_in):
    trainer = made("grpo", folder, replace(LAGGED, rollout_lag=lag))
    versions, batches = [weights_of(trainer)], []
    batch_of = trainer._ahead.batch_of
    trainer._ahead.batch_of = lambda iteration: batches.append(batch_of(iteration)) or batches[-1]
    for iteration in range(5):
        metrics = trainer.step()
        versions.append(weights_of(trainer))
        staleness = min(iteration, lag)
        assert metrics["staleness_mean"] == metrics["staleness_max"] == staleness and metrics["stale_episodes"] == 0
        assert {"seconds/wait", "seconds/rollout"} <= set(metrics)
    model = trainer._loaded.model
    for iteration, taken in enumerate(batches):
        batch = token_batch(taken.kept, taken.policy_version)
        assert batch.policy_versions.tolist() == [max(0, iteration - lag)] * 8
        off = []
        for version in range(len(versions)):
            model.load_state_dict(versions[version], strict=False)
            with torch.no_grad():
                off.append(float((LanguagePolicy(model).logprobs(batch) - batch.behavior_logprobs).abs().max()))
        # Those of that version, and of no other.
        assert min(range(len(off)), key=off.__getitem__) == max(0, iteration - lag)
        assert min(off) < 1e-5 and sorted(off)[1] > 1e-3


@pytest.mark.parametrize("name", ["grpo", "dapo", "ppo", "vapo", "rlaif", "behavior_cloning"])
def test_a_resumed_run_is_the_run_that_went_on(name, folder, tmp_path, stand_in, monkeypatch):
    lag = {"early": 1, "late": 3}[StandIn.works]
    training = replace(LAGGED, rollout_lag=lag, minibatches=2)
    whole = made(name, folder, training)
    for _ in range(3):
        whole.step()
    whole.save(tmp_path / "half")
    for _ in range(3):
        whole.step()
    whole.save(tmp_path / "whole")
    # What is under way is played again, at another pace.
    other_pace(monkeypatch)
    resumed = Trainer.resume(tmp_path / "half")
    assert sorted(read_state(tmp_path / "half").earlier) == [3 - each for each in range(lag, 0, -1)]
    resumed.save(tmp_path / "half")  # at once, and resumed again
    resumed = Trainer.resume(tmp_path / "half")
    for _ in range(3):
        resumed.step()
    resumed.save(tmp_path / "resumed")
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "resumed"))
    assert resumed.algorithm.state() == whole.algorithm.state()
    assert read_state(tmp_path / "whole").earlier == {}, "what nobody will play needs no weights"


def test_another_lag_is_another_run(folder, stand_in):
    trainers = [made("grpo", folder, replace(LAGGED, rollout_lag=lag)) for lag in (0, 1, 2)]
    for trainer in trainers:
        for _ in range(4):
            trainer.step()
    ends = [torch.cat([value.flatten() for value in weights_of(trainer).values()]) for trainer in trainers]
    assert not torch.equal(ends[0], ends[1]) and not torch.equal(ends[1], ends[2])


def test_adapters_alone_are_handed_over_and_resumed(folder, tmp_path, stand_in):
    whole = made("ppo", folder, replace(LAGGED, lora=LoraSettings(rank=2), precision="bfloat16"))
    whole.step()
    whole.step()
    whole.save(tmp_path)
    (earlier,) = read_state(tmp_path).earlier.values()
    assert earlier.shape == (sum(parameter.numel() for parameter in whole._parameters),)
    assert len(earlier) < sum(parameter.numel() for parameter in whole._loaded.model.parameters()) / 2
    resumed = Trainer.resume(tmp_path)
    for trainer in (whole, resumed):
        trainer.step()
        trainer.step()
    assert_same(weights_of(whole), weights_of(resumed))


@pytest.mark.parametrize("changed", [0, 1, 4])
def test_a_run_may_go_on_with_another_lag(changed, folder, tmp_path, stand_in):
    trainer = made("grpo", folder, replace(LAGGED, rollout_lag=2))
    for _ in range(3):
        trainer.step()
    trainer.save(tmp_path)
    resumed = Trainer.resume(tmp_path, training={"rollout_lag": changed})
    played = [int(resumed.step().get("staleness_max", 0)) for _ in range(3)]
    # The oldest weights that a checkpoint has are those of two updates before.
    assert played == {0: [0, 0, 0], 1: [1, 1, 1], 4: [2, 3, 4]}[changed]


def test_a_run_begun_without_a_lag_goes_on_with_one(folder, tmp_path, stand_in):
    trainer = made("grpo", folder)
    trainer.step()
    trainer.save(tmp_path)
    resumed = Trainer.resume(tmp_path, training={"rollout_lag": 1})
    assert [resumed.step()["staleness_max"] for _ in range(2)] == [0, 1]


@pytest.mark.parametrize("works", ["early", "late", "at times"])
def test_the_newest_weights_are_never_older_than_the_bound(works, folder, tmp_path, stand_in, monkeypatch):
    monkeypatch.setattr(StandIn, "works", works)
    trainer = made("grpo", folder, replace(LAGGED, iterations=12, rollout_lag=2, fixed_lag=False))
    played = [trainer.step()["staleness_max"] for _ in range(9)]
    assert max(played) <= 2 and len(set(played[2:])) == (1 if works != "at times" else 2)
    assert played[2:] == ([2] * 7 if works == "early" else [0] * 7) or works == "at times"
    trainer.save(tmp_path)
    assert read_state(tmp_path).earlier == {}
    assert Trainer.resume(tmp_path).step()["staleness_max"] == 0


def test_no_batch_is_played_that_nobody_asks_for(folder, stand_in):
    trainer = made("grpo", folder, replace(LAGGED, iterations=3, rollout_lag=4))
    for _ in range(3):
        trainer.step()
    assert [iteration for iteration, _ in StandIn.asked] == [0, 1, 2]
    trainer.step()
    assert [iteration for iteration, _ in StandIn.asked] == [0, 1, 2, 3]


def test_what_is_interrupted_is_saved_and_goes_on_exactly(folder, tmp_path, stand_in, monkeypatch):
    whole = made("grpo", folder, replace(LAGGED, output_dir=str(tmp_path / "whole")))
    whole.train()
    trainer = made("grpo", folder, replace(LAGGED, output_dir=str(tmp_path / "run")))
    answer, count = StandIn.answer, 0

    def interrupted(self):
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        return answer(self)

    monkeypatch.setattr(StandIn, "answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert sorted(read_state(tmp_path / "run/checkpoint").earlier) == [2]
    Trainer.resume(tmp_path / "run/checkpoint").train()
    assert_same(weights(tmp_path / "whole/checkpoint"), weights(tmp_path / "run/checkpoint"))
    # The trainer that was interrupted can also go on by itself.
    trainer.train()
    assert_same(weights(tmp_path / "whole/checkpoint"), weights(tmp_path / "run/checkpoint"))


def test_earlier_weights_that_do_not_fit_are_named(folder, tmp_path, stand_in):
    trainer = made("grpo", folder, LAGGED)
    trainer.step()
    trainer._ahead._snapshots._weights = torch.zeros(2, 7)
    trainer.save(tmp_path)
    with pytest.raises(CheckpointError, match="weights of version 0, for batches under way, do not fit the model"):
        Trainer.resume(tmp_path)


def test_rows_whose_policy_is_too_old_are_left_out_and_counted(folder, stand_in):
    trainer = made("grpo", folder, LAGGED)
    played = trainer.evaluate(training_episodes(0, SMALL)).trajectories[:4]
    batch = replace(collate(played), policy_versions=torch.tensor([7, 4, 6, 5]))
    kept, dropped = drop_stale(batch, 8, 2)
    assert dropped == 2 and kept.policy_versions.tolist() == [7, 6]
    assert kept.returns.tolist() == batch.returns[[0, 2]].tolist()
    assert drop_stale(batch, 8, 4)[0] is batch
    metrics = {}
    assert len(recent(batch, 8, replace(LAGGED, rollout_lag=1), metrics)) == 1
    assert metrics == {"staleness_mean": 2.5, "staleness_max": 4.0, "stale_episodes": 3.0}
    assert recent(batch, 9, replace(LAGGED, rollout_lag=1), metrics) is None
    with pytest.raises(ValueError, match="does not tell with which version"):
        drop_stale(collate(played), 8, 2)


def test_snapshots_keep_the_latest_versions():
    parameters = [torch.zeros(2, 3), torch.zeros(4)]
    snapshots = Snapshots(parameters, 2)
    for version in range(3):
        snapshots.take(version, [parameter.fill_(version + 1) for parameter in parameters])
    snapshots.take(2, [parameter.fill_(9) for parameter in parameters])  # it is there
    assert snapshots.versions == [1, 2]
    snapshots.give(1, parameters)
    assert [parameter.unique().tolist() for parameter in parameters] == [[2], [2]]
    assert snapshots[2].tolist() == [3] * 10


def test_what_can_not_be_had_is_said_beforehand(folder, monkeypatch):
    with pytest.raises(ValueError, match="rollout_lag must not be negative, got -1"):
        replace(LAGGED, rollout_lag=-1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(RuntimeError, match=r"weights of 2 versions need .* MiB of shared memory.*rollout_lag lower"):
        made("grpo", folder, LAGGED)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="set rollout_lag to 0"):
        made("grpo", folder, LAGGED)


class Fragile(SayTheLetter):
    """Ends its process, or raises, as its options say; but once, where there is a file to tell."""

    def reset(self, *, seed=None, options=None):
        if options.get("kill_at") == seed and not os.path.exists(options["told"]):
            open(options["told"], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        if options.get("raise"):
            raise ValueError("unknown option")
        return super().reset(seed=seed)


def test_in_a_process_of_its_own_and_where_that_is_lost_the_weights_are_the_same(folder, tmp_path, monkeypatch):
    training = replace(LAGGED, rollout_lag=2)
    options = {"kill_at": training_episodes(3, training)[0].seed, "told": str(tmp_path / "told")}
    trainer = Trainer(Fragile, folder, make_algorithm("grpo", {}), replace(training, train_options=options))
    with pytest.raises(WorkerError, match=r"has ended with exit code -9; .* set rollout_lag to 0"):
        for _ in range(6):
            trainer.step()
    assert 1 <= trainer.iteration <= 3
    while trainer.iteration < 6:
        assert trainer.step()["staleness_max"] == min(trainer.iteration - 1, 2)
    trainer.close()
    monkeypatch.setattr("ss_trainers.asynchronous.WorkerProcess", StandIn)
    other = Trainer(SayTheLetter, folder, make_algorithm("grpo", {}), training)
    for _ in range(6):
        other.step()
    assert_same(weights_of(trainer), weights_of(other))


@pytest.mark.slow
def test_an_iteration_in_which_every_episode_broke_off_is_told_where_it_is_needed(folder):
    training = replace(LAGGED, fixed_lag=False, workers=2, train_options={"raise": True})
    trainer = Trainer(Fragile, folder, make_algorithm("grpo", {}), training)
    with pytest.raises(EpisodesFailedError, match=r"all 12 episodes of iteration 1, the first: .*unknown option"):
        trainer.step()
    assert trainer._ahead._process is None and trainer.iteration == 0


def test_the_newest_weights_in_a_process_of_its_own(folder):
    training = replace(LAGGED, fixed_lag=False, iterations=4)
    trainer = Trainer(SayTheLetter, folder, make_algorithm("grpo", {}), training)
    stopped = []
    trainer.train([lambda _, metrics: stopped.append(metrics["staleness_max"]) or len(stopped) == 3])
    assert max(stopped) <= training.rollout_lag
    # Batches that nobody will ask for are not played on.
    assert trainer._ahead._process is None and trainer.iteration == 3


def test_what_does_not_fit_is_told_as_it_is_without_a_lag(folder):
    training = replace(LAGGED, max_context=2)
    with pytest.raises(ValueError, match="the prompt has"):
        Trainer(SayTheLetter, folder, make_algorithm("grpo", {}), training).step()
    with pytest.raises(WorkerError, match="give the environment as an id"):
        Trainer(lambda: SayTheLetter(), folder, make_algorithm("grpo", {}), LAGGED).step()
