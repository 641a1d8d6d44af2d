"""The offline loop: which steps are learnt from and when, what is reported, and exact resume whatever happens."""

import io
import json
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from ss_gym.agents.checkpoint import CheckpointError
from ss_trainers import GRPOConfig
from ss_trainers.offline.bc import BCConfig
from ss_trainers.offline.iql import ImplicitQLearner, IQLConfig
from ss_trainers.offline.registry import OFFLINE_ALGORITHMS
from ss_trainers.offline.saved import read_offline
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.trainer import OfflineTrainer
from tests.ss_trainers.another_process import AnotherProcess
from tests.ss_trainers.offline import recording
from tests.ss_trainers.offline.logs import assert_same, contents, log
from tests.ss_trainers.offline.recording import RecordingConfig

# 20 steps in batches of 8, 8 and 4: nine updates.
TRAINING = OfflineTraining(batch_size=8)
SMALL = {"hidden_dim": 4, "num_epochs": 3}


@pytest.fixture(autouse=True)
def algorithm(monkeypatch):
    monkeypatch.setitem(OFFLINE_ALGORITHMS, "recording", (recording.MODULE, "RecordingConfig"))


def recorded(training=TRAINING, steps=20, **settings):
    """Rewards, which are the places of steps, by update."""
    return OfflineTrainer(RecordingConfig(**{**SMALL, **settings}), training).train(log(steps))._learner.seen


def epochs(seen, size):
    """The places of the steps in the order in which they were learnt from, by epoch."""
    return np.concatenate([rewards for _, rewards in seen]).reshape(-1, size).astype(int).tolist()


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(8, [8, 8, 4]), (5, [5] * 4), (19, [19, 1]), (20, [20]), (500, [20]), (1, [1] * 20)]
)
def test_every_step_is_learnt_from_once_an_epoch(batch_size, sizes):
    seen = recorded(OfflineTraining(batch_size=batch_size))
    assert [len(rewards) for _, rewards in seen] == 3 * sizes
    assert [step for step, _ in seen] == list(range(3 * len(sizes)))
    assert [sorted(epoch) for epoch in epochs(seen, 20)] == 3 * [list(range(20))]


def test_the_order_depends_on_the_seed_and_the_epoch_alone():
    first = epochs(recorded(), 20)
    assert len({tuple(epoch) for epoch in first}) == 3 and list(range(20)) not in first
    assert epochs(recorded(OfflineTraining(batch_size=5, report_every=2)), 20) == first
    assert epochs(recorded(hidden_dim=9, gamma=0.5), 20) == first
    others = epochs(recorded(replace(TRAINING, seed=1)), 20)
    assert all(one != other for one, other in zip(first, others, strict=True))


@pytest.mark.parametrize("most", [1, 4, 9, 100])
def test_training_ends_after_the_most_updates(most):
    seen = recorded(replace(TRAINING, max_updates=most))
    assert len(seen) == min(most, 9) and seen == recorded()[:most]


def test_training_goes_on_where_more_is_asked_for():
    trainer = OfflineTrainer(RecordingConfig(**SMALL), replace(TRAINING, max_updates=4))
    trainer.train(log()).train(log())
    assert trainer.updates == 4
    trainer.training = TRAINING
    assert trainer.train(log())._learner.seen == recorded()


@pytest.mark.parametrize("config", [BCConfig(**SMALL), IQLConfig(**SMALL)])
@pytest.mark.parametrize("discrete", [True, False])
def test_a_run_that_is_resumed_after_any_update_is_the_run_that_went_on(config, discrete, tmp_path):
    made = log(discrete=discrete)
    whole = OfflineTrainer(config, TRAINING).train(made)
    first = OfflineTrainer(config, TRAINING)
    first._begin(made)
    for after in range(10):
        first.save(tmp_path / "run")
        second = OfflineTrainer(config, TRAINING, resume_from=tmp_path / "run")
        assert second.updates == after
        assert_same(contents(first), contents(second))
        assert_same(contents(second.train(made)), contents(whole))
        first.training = replace(TRAINING, max_updates=after + 1)
        first.train(made)
    assert second.updates == whole.updates == 9


def test_a_resumed_run_has_the_settings_of_its_checkpoint_unless_others_are_given(tmp_path):
    training = replace(TRAINING, max_updates=2, reward_scale=0.5, seed=7)
    OfflineTrainer(BCConfig(**SMALL), training).train(log()).save(tmp_path / "run")
    resumed = OfflineTrainer.resume(tmp_path / "run")
    assert (resumed.config, resumed.training, resumed.updates) == (BCConfig(**SMALL), training, 2)
    assert OfflineTrainer(BCConfig(**SMALL), resume_from=tmp_path / "run").training == training
    changed = OfflineTrainer.resume(tmp_path / "run", training={"max_updates": None, "report_every": 3})
    assert changed.training == replace(training, max_updates=None, report_every=3)
    without = OfflineTrainer(resume_from=tmp_path / "run")
    assert (without.config, without.training, without.updates) == (BCConfig(**SMALL), training, 2)
    longer = OfflineTrainer(BCConfig(hidden_dim=4, num_epochs=5), changed.training, resume_from=tmp_path / "run")
    assert longer.train(log()).updates == 15


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (IQLConfig(**SMALL), {}, r"has BCConfig\(.*, not IQLConfig"),
        (BCConfig(hidden_dim=8, num_epochs=3), {}, r"has BCConfig\(hidden_dim=4, .*, not BCConfig\(hidden_dim=8"),
        (BCConfig(**SMALL, learning_rate=1.0), {}, r"learning_rate=0.0003.*, not .*learning_rate=1.0"),
        (
            BCConfig(**SMALL),
            {"batch_size": 4},
            "has OfflineTraining.batch_size=8, .* of which only max_updates, .*device",
        ),
        (BCConfig(**SMALL), {"seed": 1}, "of which only"),
        (BCConfig(**SMALL), {"normalize_observations": False}, "of which only"),
        (BCConfig(**SMALL), {"hidden_layers": 1}, "of which only"),
    ],
)
def test_a_checkpoint_made_with_other_settings_is_refused(config, changes, message, tmp_path):
    OfflineTrainer(BCConfig(**SMALL), TRAINING).train(log()).save(tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        OfflineTrainer(config, replace(TRAINING, **changes), resume_from=tmp_path / "run")


def test_a_setting_that_there_is_not_is_named_on_resume(tmp_path):
    OfflineTrainer(BCConfig(**SMALL), TRAINING).train(log()).save(tmp_path / "run")
    with pytest.raises(ValueError, match="did you mean 'max_updates'"):
        OfflineTrainer.resume(tmp_path / "run", training={"max_update": 3})


@pytest.mark.parametrize("other", [log(seed=1), log(19), log(size=4), log(discrete=False)])
def test_another_log_is_refused_where_a_run_goes_on(other, tmp_path):
    OfflineTrainer(BCConfig(**SMALL), replace(TRAINING, max_updates=2)).train(log()).save(tmp_path / "run")
    resumed = OfflineTrainer.resume(tmp_path / "run", training={"max_updates": None})
    with pytest.raises(ValueError, match="not the log that the run began with"):
        resumed.train(other)
    assert resumed.train(log()).updates == 9


def test_logs_that_differ_in_next_observations_or_bounds_alone_are_told_apart():
    made = log(discrete=False)
    trainer = OfflineTrainer(BCConfig(**SMALL), TRAINING).train(made)
    for changes in ({"next_observations": made.next_observations + 1}, {"action_high": made.action_high + 1}):
        with pytest.raises(ValueError, match="not the log that the run began with"):
            trainer.train(replace(made, **changes))


@pytest.mark.parametrize("settings", [{"hidden_dim": 2.5}, {"num_epochs": True}, {"num_epochs": 1.5}])
def test_settings_of_another_type_are_refused_before_the_training(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        OfflineTrainer(BCConfig(**settings))


def test_numbers_of_numpy_are_settings_that_a_checkpoint_can_hold(tmp_path):
    config = BCConfig(hidden_dim=np.int64(4), num_epochs=1, learning_rate=np.float32(0.5))
    OfflineTrainer(config, replace(TRAINING, reward_scale=np.float32(0.5))).train(log()).save(tmp_path / "run")
    resumed = OfflineTrainer.resume(tmp_path / "run")
    assert (resumed.config.learning_rate, resumed.training.reward_scale) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: OfflineTrainer(),
            TypeError,
            r"give the config of an algorithm, .*, or a run to go on with as resume_f",
        ),
        (lambda: OfflineTrainer(GRPOConfig()), TypeError, "GRPOConfig is not the config of an offline algorithm: bc, "),
        (
            lambda: OfflineTrainer(BCConfig(), OfflineTraining(device="gpu")),
            ValueError,
            "has no device 'gpu': Expected",
        ),
        (lambda: OfflineTrainer(BCConfig()).train([1, 2]), TypeError, "must be Transitions, .* not a <class 'list'>"),
        (lambda: OfflineTrainer(BCConfig()).policy(), RuntimeError, r"no policy yet: call train\(log\) first"),
        (lambda: OfflineTrainer(BCConfig()).save("nowhere"), RuntimeError, "no policy yet"),
        (lambda: OfflineTraining(batch_size=0), ValueError, "OfflineTraining.batch_size must be at least 1, not 0"),
        (lambda: OfflineTraining(reward_scale=0), ValueError, "reward_scale must be a number other than 0, not 0"),
        (lambda: BCConfig(learning_rate=float("nan")), ValueError, "BCConfig.learning_rate must be positive, not nan"),
        (lambda: IQLConfig(gamma=1.5), ValueError, "IQLConfig.gamma must be from 0 to 1, not 1.5"),
    ],
)
def test_what_no_run_can_be_made_of_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_metrics_are_means_over_the_updates_that_have_them(tmp_path):
    recorded(replace(TRAINING, report_every=4, output_dir=str(tmp_path)))
    found = lines(tmp_path)
    assert [line["iteration"] for line in found] == [4, 8, 9]
    # Rows of the batches are 8, 8, 4 in turn; every other update has the metric of its number.
    assert [line["rows"] for line in found] == [28 / 4, 28 / 4, 4]
    assert [line["even"] for line in found] == [1, 5, 8]


def test_a_resumed_run_goes_on_with_the_lines_of_the_one_before(tmp_path):
    for most in (6, 3, None):
        training = replace(TRAINING, report_every=2, max_updates=most, output_dir=str(tmp_path / "run"))
        if most == 3:  # The checkpoint is older than the lines.
            OfflineTrainer(RecordingConfig(**SMALL), replace(training, output_dir=None)).train(log()).save(
                tmp_path / "run" / "checkpoint"
            )
        else:
            resume_from = None if most == 6 else tmp_path / "run" / "checkpoint"
            OfflineTrainer(RecordingConfig(**SMALL), training, resume_from=resume_from).train(log())
    assert [line["iteration"] for line in lines(tmp_path / "run")] == [2, 4, 6, 8, 9]


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recorded(replace(TRAINING, save_every=2))
    assert [*tmp_path.iterdir()] == []


def test_the_bar_tells_how_far_training_is():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    OfflineTrainer(BCConfig(**SMALL), TRAINING, console=console).train(log())
    assert "9/9" in console.file.getvalue() and "loss" in console.file.getvalue()


def test_metrics_that_are_not_finite_end_the_run_before_they_are_saved(tmp_path):
    training = replace(TRAINING, save_every=2, output_dir=str(tmp_path))
    with pytest.raises(FloatingPointError, match="not finite any more: nothing; lower learning_rate"):
        recorded(training, not_finite_at=4)
    assert read_offline(tmp_path / "checkpoint").updates == 4
    with pytest.raises(FloatingPointError, match="not finite any more: nothing"):
        recorded(replace(TRAINING, report_every=3), not_finite_at=4)


@pytest.mark.parametrize(
    ("accident", "message"),
    [({"not_finite_at": 4}, "nothing; lower learning_rate"), ({"weight_lost_at": 5}, "weights are not finite")],
)
def test_ctrl_c_does_not_keep_a_run_that_came_to_no_numbers(accident, message, tmp_path):
    training = replace(TRAINING, save_every=3, output_dir=str(tmp_path))
    with pytest.raises(FloatingPointError, match=message):
        recorded(training, interrupted_at=5 if "weight_lost_at" in accident else 4, **accident)
    resumed = OfflineTrainer.resume(tmp_path / "checkpoint")
    assert resumed.updates == 3 and resumed._learner.modules["sum"].weight.isfinite().all()


@pytest.mark.parametrize(("lost_at", "kept"), [(5, 3), (8, 6)])
def test_weights_that_are_not_finite_are_not_saved_though_metrics_are(lost_at, kept, tmp_path):
    # A last step that went wrong is seen in no metric: they are from before it.
    with pytest.raises(FloatingPointError, match="weights are not finite any more; lower learning_rate"):
        recorded(replace(TRAINING, save_every=3, output_dir=str(tmp_path)), weight_lost_at=lost_at)
    assert read_offline(tmp_path / "checkpoint").updates == kept


def test_an_error_in_an_update_leaves_the_last_checkpoint(tmp_path):
    with pytest.raises(RuntimeError, match="out of memory"):
        recorded(replace(TRAINING, save_every=2, output_dir=str(tmp_path)), broken_at=5)
    assert read_offline(tmp_path / "checkpoint").updates == 4


def test_ctrl_c_waits_for_the_update_and_saves_it(tmp_path, caplog):
    training = replace(TRAINING, report_every=2, output_dir=str(tmp_path))
    trainer = OfflineTrainer(RecordingConfig(**SMALL, interrupted_at=5), training)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(log())
    assert signal.getsignal(signal.SIGINT) is before and f"update 6; saved {tmp_path}/checkpoint" in caplog.text
    assert trainer._learner.modules["sum"].weight.item() == pytest.approx(
        OfflineTrainer.resume(tmp_path / "checkpoint")._learner.modules["sum"].weight.item()
    )
    # The report that was due is not lost either.
    assert [line["iteration"] for line in lines(tmp_path)] == [2, 4, 6]
    assert trainer.train(log()).updates == 9
    assert [rewards for _, rewards in trainer._learner.seen] == [rewards for _, rewards in recorded()]


def test_in_another_thread_training_is_the_same():
    found = []
    thread = threading.Thread(target=lambda: found.extend(recorded()))
    thread.start()
    thread.join()
    assert found == recorded()


def train_there(folder, num_epochs, killed_at):
    def update(self, batch, step, take=ImplicitQLearner.update):
        if step == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return take(self, batch, step)

    ImplicitQLearner.update = update
    training = replace(TRAINING, save_every=2, report_every=1, output_dir=folder)
    OfflineTrainer(IQLConfig(hidden_dim=4, num_epochs=num_epochs), training).train(log())


def test_killed_in_the_middle_and_resumed_the_weights_are_the_same(tmp_path):
    code, errors = AnotherProcess(tmp_path / "errors", train_there, str(tmp_path), 3, 7).ended()
    assert code == -signal.SIGKILL, errors
    resumed = OfflineTrainer.resume(tmp_path / "checkpoint")
    assert resumed.updates == 6
    assert_same(contents(resumed.train(log())), contents(OfflineTrainer(IQLConfig(**SMALL), TRAINING).train(log())))
    assert [line["iteration"] for line in lines(tmp_path)] == list(range(1, 10))


def test_ctrl_c_saves_a_checkpoint_to_go_on_from(tmp_path):
    process = AnotherProcess(tmp_path / "errors", train_there, str(tmp_path), 10**6, -1)
    process.wait_for(tmp_path / "checkpoint")
    process.interrupt()
    code, errors = process.ended()
    assert code != 0 and errors.rstrip().endswith("KeyboardInterrupt"), errors
    resumed = OfflineTrainer.resume(tmp_path / "checkpoint", training={"output_dir": None, "save_every": None})
    # Not only where a checkpoint was due.
    assert resumed.updates == lines(tmp_path)[-1]["iteration"] > 0
    whole = OfflineTrainer(resumed.config, replace(resumed.training, max_updates=resumed.updates)).train(log())
    assert_same(contents(resumed), contents(whole))


def test_a_checkpoint_that_could_not_be_saved_is_told(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "thesis.txt").write_text("all of it")
    with pytest.raises(CheckpointError, match="no checkpoint, and what it holds would be lost"):
        recorded(replace(TRAINING, output_dir=str(tmp_path)))
    assert (tmp_path / "checkpoint" / "thesis.txt").exists()
