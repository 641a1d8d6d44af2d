"""Environments in TorchRL, with text and with menus."""

import numpy as np
import pytest

from tests.interop.episodes import EXCHANGE_MENU, REFUND, REFUND_MENU, RETAIL, native, native_choices

torch = pytest.importorskip("torch", reason="TorchRL is installed by: make test-interop")
pytest.importorskip("torchrl", reason="TorchRL is installed by: make test-interop")

from tensordict.nn import TensorDictModule  # noqa: E402
from torchrl.collectors import Collector  # noqa: E402
from torchrl.envs import GymEnv, SerialEnv, check_env_specs  # noqa: E402
from torchrl.modules import MaskedCategorical, ProbabilisticActor, ValueOperator  # noqa: E402
from torchrl.objectives import ClipPPOLoss  # noqa: E402
from torchrl.objectives.value import GAE  # noqa: E402

from ss_gym.interop.torchrl import make  # noqa: E402
from ss_gym.registration import ENVIRONMENTS  # noqa: E402

TEXT = [env_id for env_id, entry in ENVIRONMENTS.items() if "family" in entry.kwargs and "Discrete" not in env_id]
MENUS = [env_id for env_id in ENVIRONMENTS if "Discrete" in env_id]


@pytest.mark.parametrize("made", [make, GymEnv])
@pytest.mark.parametrize("env_id", [REFUND, RETAIL])
def test_an_episode_is_that_of_the_environment(env_id, made) -> None:
    env = made(env_id)
    for seed in range(8):
        ours, data = native(env_id, seed), env.reset(seed=seed)
        assert data["observation"] == ours.opening
        for action, (text, reward, terminated, truncated), came in zip(
            ours.actions, ours.steps, ours.messages, strict=True
        ):
            data["action"] = action
            data = env.step(data)["next"]
            assert data["observation"] == text and data["reward"].item() == np.float32(reward)
            assert (data["terminated"].item(), data["truncated"].item()) == (terminated, truncated)
            if made is make:
                assert data["messages"][1:] == came and data["system_prompt"] == ours.prompt
        assert made is GymEnv or data["success"].item() == ours.success


@pytest.mark.parametrize("env_id", [REFUND_MENU, EXCHANGE_MENU])
def test_an_episode_with_a_menu_is_the_same(env_id) -> None:
    env = GymEnv(env_id, categorical_action_encoding=True)
    masked = make(env_id)
    for seed in range(8):
        ours, data = native_choices(env_id, seed), env.reset(seed=seed)
        assert masked.reset(seed=seed)["action_mask"].tolist() == ours.masks[0].astype(bool).tolist()
        for place, (action, (reward, *ends)) in enumerate(zip(ours.actions, ours.steps, strict=True)):
            assert data["observation"].numpy().tobytes() == ours.observations[place].tobytes()
            data["action"] = torch.tensor(action)
            data = env.step(data)["next"]
            assert data["reward"].item() == np.float32(reward)
            assert [data["terminated"].item(), data["truncated"].item()] == ends
        assert data["observation"].numpy().tobytes() == ours.observations[-1].tobytes()


@pytest.mark.parametrize("env_id", [*TEXT, *MENUS])
def test_its_own_check_finds_nothing(env_id) -> None:
    check_env_specs(make(env_id))
    check_env_specs(GymEnv(env_id))


def test_only_available_choices_are_sampled() -> None:
    data = make(REFUND_MENU).rollout(200, break_when_any_done=False)
    assert data["action_mask"].gather(-1, data["action"].unsqueeze(-1)).all()
    assert data["next", "done"].sum() > 3


def test_several_side_by_side_have_texts_of_their_own() -> None:
    data = SerialEnv(3, lambda: make(REFUND, prompt="compact")).rollout(2)
    texts = data["next", "observation"]
    assert len(texts) == 3 and all(len(each) == 2 and isinstance(each[0], str) for each in texts)


def test_ppo_learns_from_available_choices() -> None:
    torch.manual_seed(0)
    env = make(REFUND_MENU)
    seen, choices = env.observation_spec["observation"].shape[-1], env.action_spec.space.n
    scores = TensorDictModule(torch.nn.Linear(seen, choices), in_keys=["observation"], out_keys=["logits"])
    actor = ProbabilisticActor(
        scores,
        in_keys={"logits": "logits", "mask": "action_mask"},
        distribution_class=MaskedCategorical,
        return_log_prob=True,
    )
    critic = ValueOperator(torch.nn.Linear(seen, 1), in_keys=["observation"])
    loss, advantage = ClipPPOLoss(actor, critic), GAE(gamma=0.99, lmbda=0.95, value_network=critic)
    before = [each.detach().clone() for each in scores.parameters()]
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    for data in Collector(env, actor, frames_per_batch=64, total_frames=128, auto_register_policy_transforms=True):
        advantage(data)
        assert data["action_mask"].gather(-1, data["action"].unsqueeze(-1)).all()
        terms = loss(data.reshape(-1))
        sum(value for name, value in terms.items() if name.startswith("loss_")).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert any((new != old).any() for new, old in zip(scores.parameters(), before, strict=True))
