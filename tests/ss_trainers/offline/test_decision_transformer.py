"""Decision Transformer: what is asked for decides what is done, and acting sees what training saw."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from ss_trainers.offline.bc import BCConfig
from ss_trainers.offline.decision_transformer import (
    DecisionTransformerConfig,
    DecisionTransformerNetwork,
    ReturnConditionedActor,
    learner,
)
from ss_trainers.offline.learner import Setup
from ss_trainers.offline.sequences import WindowBatch, Windows
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline.trainer import OfflineTrainer
from ss_trainers.offline.transitions import Spaces, Transitions

SMALL = DecisionTransformerConfig(
    hidden_dim=16, num_epochs=1000, learning_rate=1e-2, context_length=4, layers=1, max_timesteps=16, warmup_updates=10
)
TRAINING = OfflineTraining(batch_size=64, max_updates=50)
COUNTED, BOUNDED = Spaces(3, 4, True), Spaces(3, 2, False)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def setup_of(spaces, noise=None):
    return Setup(spaces, (16,), seeded(), noise or seeded(1), torch.device("cpu"))


def windows(spaces, batch=3, length=5, seed=0):
    """Windows of anything."""
    generator = seeded(seed)
    done = torch.randn(batch, length, spaces.action_size, generator=generator).tanh()
    return WindowBatch(
        torch.randn(batch, length, generator=generator),
        torch.randn(batch, length, spaces.observation_size, generator=generator),
        done.argmax(-1) if spaces.discrete else done,
        torch.arange(length).expand(batch, -1).contiguous(),
        torch.ones(batch, length, dtype=torch.bool),
    )


def network(spaces, config=SMALL):
    """One whose weights are large enough for each token to tell."""
    made = DecisionTransformerNetwork(replace(config, layers=2), spaces, seeded())
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(10) if parameter.ndim == 2 else None
    return made


def bandit(steps=1, episodes=200, scale=1.0):
    """Episodes of a two-armed bandit that was played at random: one arm pays."""
    arms = np.random.default_rng(0).integers(0, 2, steps * episodes)
    ends = np.arange(len(arms)) % steps == steps - 1
    seen = np.zeros((len(arms), 1))
    return Transitions.from_arrays(seen, arms, scale * arms, ends, np.zeros_like(ends), next_observations=seen)


def chosen(policy, rows=3):
    """What is done in episodes of one step."""
    return policy.begin(rows).act(np.zeros((rows, 1))).tolist()


# --- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spaces", [COUNTED, BOUNDED], ids=["counted", "bounded"])
def test_a_prediction_depends_on_nothing_from_its_action_on(spaces):
    made, given = network(spaces), windows(spaces)
    before, other = made(given), windows(spaces, seed=1)
    for step in range(5):
        changed = replace(given, **{entry.name: getattr(given, entry.name).clone() for entry in fields(given)})
        changed.actions[:, step:] = other.actions[:, step:]
        changed.observations[:, step + 1 :] = other.observations[:, step + 1 :]
        changed.returns[:, step + 1 :] = other.returns[:, step + 1 :]
        torch.testing.assert_close(made(changed)[:, : step + 1], before[:, : step + 1])


@pytest.mark.parametrize("spaces", [COUNTED, BOUNDED], ids=["counted", "bounded"])
@pytest.mark.parametrize("name", ["returns", "observations", "actions", "timesteps"])
def test_a_prediction_depends_on_all_that_was_before_its_action(spaces, name):
    made, given = network(spaces), windows(spaces)
    column = getattr(given, name).clone()
    column[:, 0] = (column[:, 0] + 1) % 4
    difference = (made(replace(given, **{name: column})) - made(given)).abs().amax((0, 2))
    # The first action is not seen when it is chosen itself.
    assert (difference > 1e-4).tolist() == [name != "actions", True, True, True, True]


@pytest.mark.parametrize("spaces", [COUNTED, BOUNDED], ids=["counted", "bounded"])
def test_padding_does_not_change_predictions(spaces):
    made, given, garbage = network(spaces), windows(spaces), windows(spaces, length=3, seed=1)
    padding = replace(garbage, mask=torch.zeros_like(garbage.mask))
    torch.testing.assert_close(made(padding.followed_by(given, 8))[:, 3:], made(given))


def test_timesteps_after_the_last_are_taken_for_it():
    made, given = network(COUNTED), windows(COUNTED)
    late = [made(replace(given, timesteps=given.timesteps + shift)) for shift in (0, 15, 9999)]
    assert torch.equal(late[1], late[2]) and not torch.allclose(late[0], late[1])


def test_returns_are_measured_in_the_greatest_of_the_log():
    rewards, ends = np.array([-9.0, 5.0, 1.0, 2.0]), np.array([False, True, False, True])
    log = Transitions.from_arrays(np.zeros((4, 1)), np.arange(4) % 2, rewards, ends, ends & False)
    made = network(log.spaces)
    # Episodes earn -4 and 3; the 5 that the first one had still to earn is nothing that an episode earned.
    made.measure(Windows.of(log.tensors(), torch.from_numpy(log.timeouts), 4))
    assert (made.best_return, made.return_scale) == (3.0, 5.0)


def test_a_log_that_earned_nothing_can_be_learnt_from():
    policy = OfflineTrainer(SMALL, replace(TRAINING, max_updates=2)).train(bandit(scale=0.0)).policy()
    assert len(chosen(policy)) == 3


# --- what is asked for ---------------------------------------------------------------------------


def test_a_high_target_plays_the_arm_that_pays_and_a_low_one_the_other():
    policy = OfflineTrainer(SMALL, TRAINING).train(bandit()).policy()
    assert chosen(policy.with_target(1.0)) == [1, 1, 1]
    assert chosen(policy.with_target(0.0)) == [0, 0, 0]
    # More than any episode earned.
    assert chosen(policy.with_target(2.0)) == [1, 1, 1]
    # What another policy is asked for is its own; unless asked, it is the best of the log.
    assert chosen(policy) == [1, 1, 1]


@pytest.mark.parametrize("scale", [0.01, 20.0])
def test_targets_are_in_the_units_of_the_log(scale):
    training = replace(TRAINING, reward_scale=scale)
    policy = OfflineTrainer(replace(SMALL, target_return=0.0), training).train(bandit(scale=50.0)).policy()
    assert chosen(policy) == [0, 0, 0]
    assert chosen(policy.with_target(50.0)) == [1, 1, 1]
    assert chosen(policy.with_target(5.0)) == [0, 0, 0]
    asked = OfflineTrainer(replace(SMALL, target_return=50.0), training).train(bandit(scale=50.0)).policy()
    assert chosen(asked) == [1, 1, 1]


def test_an_action_that_can_not_be_counted_follows_the_target():
    paid = np.random.default_rng(0).uniform(-1, 1, (400, 1)).astype(np.float32)
    ends = np.ones(400, bool)
    log = Transitions.from_arrays(
        np.zeros((400, 1)), paid, paid[:, 0], ends, ~ends, next_observations=np.zeros((400, 1))
    )
    policy = OfflineTrainer(replace(SMALL, dropout=0.0), replace(TRAINING, max_updates=150)).train(log).policy()
    for target in (-0.5, 0.0, 0.5):
        assert chosen(policy.with_target(target), 1)[0][0] == pytest.approx(target, abs=0.2)


def test_what_was_earned_is_asked_for_no_more():
    policy = OfflineTrainer(SMALL, replace(TRAINING, max_updates=100)).train(bandit(steps=2)).policy()
    for target in (0, 1, 2):
        episodes = policy.with_target(target).begin(2)
        first = episodes.act(np.zeros((2, 1)))
        episodes.earned(first)
        second = episodes.act(np.zeros((2, 1)))
        assert (first + second).tolist() == [target, target]


def test_a_policy_from_a_checkpoint_asks_for_the_best_of_the_log(tmp_path):
    trainer = OfflineTrainer(SMALL, replace(TRAINING, output_dir=str(tmp_path))).train(bandit(scale=7.0))
    trainer.save(tmp_path / "saved")
    policy = OfflineTrainer.resume(tmp_path / "saved").policy()
    assert chosen(policy) == [1, 1, 1] and chosen(policy.with_target(0.0)) == [0, 0, 0]


def test_other_algorithms_refuse_a_target():
    policy = OfflineTrainer(BCConfig(hidden_dim=4), replace(TRAINING, max_updates=1)).train(bandit()).policy()
    with pytest.raises(TypeError, match=r"BehaviorCloningLearner can't be asked for a return"):
        policy.with_target(1.0)


@pytest.mark.parametrize("target", [math.nan, math.inf])
def test_a_target_is_finite(target):
    policy = OfflineTrainer(SMALL, replace(TRAINING, max_updates=1)).train(bandit()).policy()
    with pytest.raises(ValueError, match="target return must be finite"):
        policy.with_target(target)


# --- acting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("spaces", [COUNTED, BOUNDED], ids=["counted", "bounded"])
def test_acting_sees_the_windows_that_training_sees(spaces, gamma):
    """An actor that does what the log did, and earns what it earned, is shown the windows of the log."""
    rng, steps = np.random.default_rng(0), 7
    done = rng.integers(0, 4, 2 * steps) if spaces.discrete else rng.uniform(-1, 1, (2 * steps, 2))
    ends = np.arange(2 * steps) % steps == steps - 1
    log = Transitions.from_arrays(
        rng.normal(size=(2 * steps, 3)), done, rng.normal(size=2 * steps), ends, ~ends & False
    )
    tensors, config = log.tensors(), replace(SMALL, gamma=gamma)
    logged = Windows.of(tensors, torch.from_numpy(log.timeouts), config.context_length, gamma)
    shown = []

    def as_logged(batch):
        shown.append(batch)
        return tensors.actions[places]

    places = torch.tensor([0, steps])
    actor = ReturnConditionedActor(as_logged, logged.returns[places], spaces, config)
    for _ in range(steps):
        assert torch.equal(actor.act(tensors.observations[places]), tensors.actions[places])
        actor.earned(tensors.rewards[places])
        expected, seen = logged.at(places), shown[-1]
        length = seen.mask.shape[1]
        assert bool(seen.mask.all()) and length == min(4, int(expected.timesteps[0, -1]) + 1)
        assert not expected.mask[:, :-length].any()
        torch.testing.assert_close(seen.returns, expected.returns[:, -length:])
        assert torch.equal(seen.observations, expected.observations[:, -length:])
        assert torch.equal(seen.timesteps, expected.timesteps[:, -length:])
        assert torch.equal(seen.actions, expected.actions[:, -length:])
        places = places + 1


@pytest.mark.parametrize("spaces", [COUNTED, BOUNDED], ids=["counted", "bounded"])
def test_acting_side_by_side_equals_acting_alone(spaces):
    made = learner(replace(SMALL, layers=2), setup_of(spaces))
    seen, earned = torch.randn(6, 3, 3, generator=seeded()), torch.randn(6, 3, generator=seeded(1))

    def played(rows):
        actor, actions = made.actor_towards(2.0, len(rows)), []
        for step in range(6):
            actions.append(actor.act(seen[step][rows]))
            actor.earned(earned[step][rows])
        return torch.stack(actions, 1)

    together = played([0, 1, 2])
    for row in range(3):
        torch.testing.assert_close(played([row])[0], together[row])


def test_acting_draws_no_noise():
    noise = seeded(1)
    made = learner(replace(SMALL, dropout=0.5), setup_of(BOUNDED, noise))
    before, seen = noise.get_state(), torch.ones(2, 3)
    assert torch.equal(made.actor(2).act(seen), made.actor(2).act(seen))
    assert torch.equal(noise.get_state(), before)


def test_there_are_as_many_observations_as_episodes():
    made = learner(SMALL, setup_of(COUNTED))
    with pytest.raises(ValueError, match="there are 3 observations for 2 episodes"):
        made.actor(2).act(torch.zeros(3, 3))


# --- training ------------------------------------------------------------------------------------


def weights(trainer, folder):
    trainer.save(folder)
    return (folder / "offline.safetensors").read_bytes()


def test_a_run_that_is_resumed_in_the_middle_ends_with_the_same_weights(tmp_path):
    log, training = bandit(steps=3), replace(TRAINING, max_updates=15)
    whole = weights(OfflineTrainer(SMALL, training).train(log), tmp_path / "whole")
    OfflineTrainer(SMALL, replace(training, max_updates=6)).train(log).save(tmp_path / "half")
    resumed = OfflineTrainer(SMALL, training, resume_from=tmp_path / "half").train(log)
    assert resumed.updates == 15 and weights(resumed, tmp_path / "resumed") == whole


def test_training_leaves_the_global_generator_alone_and_follows_its_seed(tmp_path):
    def trained(name, **settings):
        run = OfflineTrainer(
            replace(SMALL, dropout=settings.pop("dropout", 0.5)), replace(TRAINING, max_updates=3, **settings)
        )
        return weights(run.train(bandit(steps=3)), tmp_path / name)

    before = torch.get_rng_state()
    first = trained("first")
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    assert trained("again") == first
    assert trained("other seed", seed=1) != first and trained("no dropout", dropout=0.0) != first


def test_the_learning_rate_rises_from_update_to_update_and_stays():
    made = learner(replace(SMALL, learning_rate=0.5, warmup_updates=4), setup_of(COUNTED))
    rates = []
    for step in range(6):
        made.update(windows(COUNTED), step)
        rates.append(made.optimizers["policy"].param_groups[0]["lr"])
    assert rates == [0.125, 0.25, 0.375, 0.5, 0.5, 0.5]


def test_padding_has_no_part_in_the_loss():
    log = bandit(steps=2)
    made = learner(replace(SMALL, dropout=0.0), setup_of(log.spaces))
    examples = made.examples(log.tensors(), log)
    # The first steps alone: windows of one step and three of padding.
    batch = examples.at(torch.arange(0, len(log), 2))
    assert batch.mask.sum() == len(batch.mask)
    alone = WindowBatch(*(getattr(batch, entry.name)[:, -1:] for entry in fields(batch)))
    same = learner(replace(SMALL, dropout=0.0), setup_of(log.spaces))
    same.examples(log.tensors(), log)
    assert made.update(batch, 0)["loss"].item() == pytest.approx(same.update(alone, 0)["loss"].item())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context_length": 0}, "context_length must be at least 1"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"heads": 3}, "heads must divide hidden_dim, and 3 does not divide 128"),
        ({"max_timesteps": 0}, "max_timesteps must be at least 1"),
        ({"dropout": 1.0}, "dropout must be from 0 to 0.99"),
        ({"warmup_updates": -1}, "warmup_updates must not be negative"),
        ({"weight_decay": -0.1}, "weight_decay must not be negative"),
        ({"gamma": 0.0}, "gamma must be above 0"),
        ({"target_return": math.inf}, "target_return must be finite"),
    ],
)
def test_settings_that_no_run_could_mean_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"DecisionTransformerConfig.{message}"):
        DecisionTransformerConfig(**settings)
