"""Conversations for learners that can't read."""

import json
import pickle
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import ss_gym  # noqa: F401 - registers the ids
from ss_gym import scenario_files
from ss_gym.dialogue.features import StateFeatures
from ss_gym.dialogue.menu import FamilyMenu
from ss_gym.dialogue.state import DialogueState
from ss_gym.discrete import make_discrete
from ss_gym.registration import ENVIRONMENTS
from tests.ss_gym.dialogue.clerk import Clerk

# An empty text, a value that is not known, the gap that one leaves, a slot outside of a call.
BROKEN = re.compile(r"^\s*$|None| [,.:?]|  |^[^<]*{").search
ENV_ID = "StateSet/RefundDiscrete-v0"
ENV_IDS = [env_id for env_id in ENVIRONMENTS if "Discrete" in env_id]
FAMILIES = [env_id.split("/")[1].removesuffix("Discrete-v0") for env_id in ENV_IDS]
RESULTS = Path(__file__).parents[2] / "docs" / "results" / "discrete_ppo"


def played(env: gymnasium.Env[Any, Any], **reset: Any) -> tuple[dict[str, Any], float, int]:
    """An episode by the clerk: the last info, the sum of rewards, the steps."""
    clerk, total, steps = Clerk(), 0.0, 0
    _, info = env.reset(**reset)
    names = env.get_wrapper_attr("choice_names")
    while True:
        state = env.get_wrapper_attr("_state")
        _, reward, terminated, truncated, info = env.step(names.index(clerk.choose(state)))
        total, steps = total + float(reward), steps + 1
        if terminated or truncated:
            return info, total, steps


@pytest.mark.parametrize("split", ["train", "dev"])
def test_the_menu_is_enough_to_settle_nearly_every_case(split: str) -> None:
    env = gymnasium.make(ENV_ID, split=split)
    wins = [played(env, seed=seed)[0]["success"] for seed in range(150)]
    assert np.mean(wins) >= 0.98


def test_the_shaping_adds_up_to_nothing_where_the_discount_is_one() -> None:
    plain, shaped = make_discrete(shaping=0), make_discrete(shaping=1.0)
    for number in range(12):
        scenario = {"scenario_id": f"refund/dev/{number:04d}"}
        one, other = played(plain, options=scenario), played(shaped, options=scenario)
        assert one[2] == other[2] and one[0]["success"] == other[0]["success"]
        # The episode begins with nothing verified, read, agreed or told.
        assert other[1] == pytest.approx(one[1], abs=1e-9)


@pytest.mark.parametrize("env_id", ENV_IDS)
@pytest.mark.filterwarnings("error", "ignore:.*wrapped:UserWarning", "ignore:.*render:UserWarning")
def test_gymnasium_finds_nothing_to_complain_of(env_id: str) -> None:
    check_env(gymnasium.make(env_id), skip_render_check=True)
    env = gymnasium.make(env_id)
    observation, info = env.reset(seed=1)
    names, choices = env.get_wrapper_attr("feature_names"), env.get_wrapper_attr("choice_names")
    assert observation.dtype == np.float32 and observation in env.observation_space
    assert len(names) == len(set(names)) == observation.shape[0]
    assert env.action_space.n == len(choices) == info["action_mask"].shape[0]


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_what_is_on_offer_is_whole_and_every_choice_is_some_time(env_id: str) -> None:
    env, rng = gymnasium.make(env_id), np.random.default_rng(4)
    names = np.array(env.get_wrapper_attr("choice_names"))
    ends = np.array([name == "end" or name.startswith("transfer") for name in names])
    offered = np.zeros(len(names), np.bool_)
    # Scripted customers name what they mean, and attackers buy no gift cards.
    never = {"ask_item", "quote_ordinary", "refuse_gift_card"} if "Adversarial" in env_id else {"ask_item"}
    for seed in range(200):
        if seed >= 25 and set(names[~offered]) <= never:
            break
        _, info = env.reset(seed=seed)
        ended = False
        while not ended:
            available = info["action_mask"].astype(bool)
            offered |= available
            assert not [text for text in env.get_wrapper_attr("_texts") if text is not None and BROKEN(text)]
            weights = np.where(ends, 0.02, 1.0) * available
            _, _, terminated, truncated, info = env.step(rng.choice(len(names), p=weights / weights.sum()))
            errors = [message["content"] for message in info["messages"] if message["content"].startswith('{"error"')]
            assert not [error for error in errors if "argument" in error]
            ended = terminated or truncated
    assert set(names[~offered]) <= never


@pytest.mark.parametrize("family", FAMILIES)
def test_a_learner_that_can_not_read_passes_the_rule_bot(family: str) -> None:
    """The curves of docs/examples/discrete_ppo.py: the mean of five seeds on dev, less its interval."""
    results = json.loads((RESULTS / f"{family}.json").read_text(encoding="utf-8"))
    menu = gymnasium.make(f"StateSet/{family}Discrete-v0").get_wrapper_attr("menu_digest")
    assert results["menu"] == menu, "the curves are of another menu: train again"
    last = [cell["curve"][-1][1] for cell in results["runs"]["0.03"].values()]
    assert len(last) == 5
    assert np.mean(last) - 2.776 * np.std(last, ddof=1) / 5**0.5 > results["baselines"]["rule_bot"]


def test_the_table_in_the_docs_is_that_of_the_results() -> None:
    page = (RESULTS.parents[1] / "pages" / "discrete.md").read_text(encoding="utf-8")
    for family in FAMILIES:
        results = json.loads((RESULTS / f"{family}.json").read_text(encoding="utf-8"))
        runs, row = results["runs"]["0.03"].values(), page.partition(f"| `StateSet/{family}Discrete-v0` |")[2]
        dev, test, rule_bot, grant = (cell.split("±")[0].strip() for cell in row.split("\n")[0].split("|")[:4])
        assert float(dev) == pytest.approx(np.mean([cell["curve"][-1][1] for cell in runs]), abs=6e-4)
        assert float(test) == pytest.approx(np.mean([cell["test"] for cell in runs]), abs=6e-4)
        assert float(rule_bot) == pytest.approx(results["baselines"]["rule_bot"], abs=6e-4)
        assert float(grant) == pytest.approx(results["baselines"]["always_grant"], abs=6e-4)


def test_the_mask_tells_what_can_be_chosen() -> None:
    env = make_discrete()
    _, info = env.reset(options={"scenario_id": "refund/dev/0004"})
    names = np.array(env.choice_names)
    assert set(names[info["action_mask"] == 1]) == {"ask_identity"}
    assert env.action_masks().tolist() == info["action_mask"].astype(bool).tolist()
    info = env.step(env.choice_names.index("ask_identity"))[4]
    assert "verify" in names[info["action_mask"] == 1] and "refund" not in names[info["action_mask"] == 1]


def test_choices_that_are_not_available_stand_for_all_that_are_evenly() -> None:
    env, said = make_discrete(), []
    for choice in range(env.action_space.n):
        env.reset(options={"scenario_id": "refund/dev/0004"})
        for name in ("ask_identity", "verify"):
            env.step(env.choice_names.index(name))
        available = env.action_masks().nonzero()[0].tolist()
        message = env.step(choice)[4]["messages"][0]
        said.append(message["content"] + str([call["function"]["name"] for call in message.get("tool_calls", ())]))
    of = {name: said[name] for name in available}
    assert len(available) >= 2 and len(set(of.values())) == len(available)
    for choice, what in enumerate(said):
        assert what == of[choice if choice in of else available[choice % len(available)]]


def test_pictures_are_a_type_error_after_which_stable_baselines3_goes_on_without() -> None:
    with pytest.raises(TypeError, match="no pictures of a conversation"):
        gymnasium.make(ENV_ID, render_mode="rgb_array")


def test_stable_baselines3_learns_from_the_id_in_one_line() -> None:
    ppo = pytest.importorskip("stable_baselines3", reason="needs the extra sb3").PPO
    model = ppo("MlpPolicy", ENV_ID, n_steps=64, batch_size=64, n_epochs=1, seed=0, device="cpu").learn(64)
    assert model.num_timesteps == 64


@pytest.mark.parametrize(
    ("action", "error"),
    [(-1, ValueError), (999, ValueError), (0.9, TypeError), ("0", TypeError), (True, TypeError), (None, TypeError)],
)
def test_a_choice_that_is_not_on_the_menu_is_an_error(action: Any, error: type[Exception]) -> None:
    env = make_discrete()
    env.reset(seed=1)
    with pytest.raises(error, match=r"the number of"):
        env.step(action)


def test_there_is_nothing_to_choose_before_the_first_reset() -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        make_discrete().step(0)


def test_an_answer_in_parts_is_asked_for_the_part_that_is_missing() -> None:
    menu, state = FamilyMenu("refund"), DialogueState()
    env = gymnasium.make("StateSet/Refund-v0")
    state.append({"role": "system", "content": env.reset(seed=1)[1]["system_prompt"]})
    state.append({"role": "user", "content": "My e-mail is a@b.example, I want a refund for order 48213."})
    texts = dict(zip(menu.names, menu.choices(state), strict=True))
    assert texts["ask_identity"] == "Could you tell me the postal code of your account?"
    assert texts["verify"] is None and state.case.order_number == "48213"


def test_a_call_that_was_made_is_not_offered_again() -> None:
    env = make_discrete()
    env.reset(options={"scenario_id": "refund/dev/0004"})
    for name in ("ask_identity", "verify", "read_order", "quote"):
        env.step(env.choice_names.index(name))
    available = np.array(env.choice_names)[env.action_masks()]
    assert "quote" not in available and "propose_refund" in available


def test_batches_are_made_as_gymnasium_makes_them() -> None:
    envs = gymnasium.make_vec(ENV_ID, num_envs=3)
    observations, infos = envs.reset(seed=5)
    single = gymnasium.make(ENV_ID)
    assert observations.shape == (3, *single.observation_space.shape)
    assert (observations[1] == single.reset(seed=6)[0]).all() and infos["action_mask"].shape[0] == 3
    envs.close()


def test_the_same_seed_and_choices_give_the_same_numbers() -> None:
    def trace() -> list[bytes]:
        env = gymnasium.make(ENV_ID)
        seen = [env.reset(seed=3)[0].tobytes()]
        for number in range(20):
            observation, _, terminated, truncated, _ = env.step(number * 7 % 32)
            seen.append(observation.tobytes())
            if terminated or truncated:
                seen.append(env.reset()[0].tobytes())
        return seen

    assert trace() == trace()


@pytest.mark.parametrize("env_id", ENV_IDS)
def test_environments_pickle(env_id: str) -> None:
    env = gymnasium.make(env_id).unwrapped
    whole = make_discrete(env.family)
    whole.reset(seed=3)
    twin = pickle.loads(pickle.dumps(whole))
    for action in (0, 5, 2):
        one, other = whole.step(action), twin.step(action)
        assert (one[0] == other[0]).all() and one[1:4] == other[1:4]
        if one[2] or one[3]:
            break


@pytest.fixture
def menu_of_refund(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The menu of a copy of Refund."""
    kept = (scenario_files.folder_of, scenario_files.read_text, scenario_files.read_yaml)
    shutil.copytree(scenario_files.folder() / "refund", tmp_path / "refund")
    with monkeypatch.context() as patch:
        patch.setattr(scenario_files, "folder", lambda: tmp_path)
        for cached in kept:
            cached.cache_clear()
        yield tmp_path / "refund" / "menu.yaml"
    for cached in kept:
        cached.cache_clear()


SAY = "choices: {ask: {say: a}}\n"


@pytest.mark.parametrize(
    ("menu", "message"),
    [
        ("[]", "expected a mapping with choices"),
        ("choices: {}", "expected a mapping with choices"),
        (SAY + "featurs: {}", "line 2, field featurs: is not known; did you mean 'features'"),
        ("choices: {ask: {say: a, call: [x]}}", "line 1, field choices.ask: expected a mapping with either say or"),
        ("choices: {ask: {say: a, neads: read}}", r"field choices.ask.neads: is not known here; did you mean 'needs'"),
        ("choices: {ask: {say: a, of: first}}", r"field choices.ask.of: is not known here"),
        ("choices: {ask: {say: a, needs: raed}}", "'raed' is no condition, flag, tool or comparison; did you mean 're"),
        (
            "choices: {ask: {say: a, unless: [read, price > limit]}}",
            "choices.ask.unless: 'price > limit' must end with a",
        ),
        ("choices: {ask: {say: a, needs: [[read]]}}", "choices.ask.needs: .* is no condition"),
        ("choices: {ask: {say: a, needs: null}}", "choices.ask.needs: 'None' is no condition"),
        (SAY + "features: {flags: [price over 5]}", "features.flags: 'price over 5' is no condition"),
        *[
            (f"choices: {{ask: {{say: {text}}}}}", "choices.ask.say: expected a text with slots such as")
            for text in ("null", "5", "''", "'a {'", "'{a.b}'")
        ],
        *[
            (f"choices: {{ask: {{call: {calls}}}}}", "choices.ask.call: expected a list of tools")
            for calls in ("null", "5", "[]", "get_order")
        ],
        ("choices: {ask: {call: [get_oder]}}", "there is no tool 'get_oder'; did you mean 'get_order'"),
        ("choices: {ask: {call: [[a]]}}", "there is no tool"),
        ("choices: {ask: {call: [get_order], of: all}}", "'all' is none of wanted, ordinary, first"),
        ("choices: {ask: {call: [get_order], with: null}}", "with: expected arguments of these: order_id"),
        ("choices: {ask: {call: [get_order], with: {reasn: a}}}", "with: expected arguments of these: order_id"),
        (SAY + "features: [x]", "features: expected a mapping"),
        (SAY + "features: {ratio: []}", "features.ratio: is not known; did you mean 'ratios'"),
        (SAY + "features: {flags: paypal}", "features.flags: expected a list of names, each once"),
        (SAY + "features: {flags: [paypal, paypal]}", "features.flags: expected a list of names, each once"),
        (SAY + "features: {ratios: [price / limit]}", "'price / limit' must be a fact, a slash and a rule"),
        (SAY + "remarks: [a]", "remarks: expected a mapping"),
        (SAY + "remarks: {gift_card: a}", "remarks: expected a refusal among them"),
        (SAY + "remarks: {refusal: '{foo}'}", "remarks.refusal: has other slots than"),
    ],
)
def test_a_broken_menu_is_named_with_its_line(menu_of_refund: Path, menu: str, message: str) -> None:
    menu_of_refund.write_text(menu, encoding="utf-8")
    with pytest.raises(ValueError, match=r"refund/menu\.yaml.*" + message):
        StateFeatures(FamilyMenu("refund"), "refund")


def test_a_family_without_a_menu_has_no_discrete_environment() -> None:
    with pytest.raises(FileNotFoundError, match=r"the family retail has no menu\.yaml"):
        make_discrete("retail")
