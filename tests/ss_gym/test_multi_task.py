"""Several tasks in one environment."""

import pickle

import gymnasium as gym
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import ss_gym
from ss_gym import MultiTaskEnvironment, TextVectorEnv

TASKS = ["StateSet/Refund-v0", "StateSet/OrderStatus-v0"]


@pytest.fixture
def env():
    made = MultiTaskEnvironment(TASKS, prompt="compact")
    yield made
    made.close()


def test_it_is_registered_and_conforms_to_gymnasium() -> None:
    env = gym.make("StateSet/MultiTask-v0", prompt="compact")
    assert env.unwrapped.tasks == ("refund", "exchange", "cancel", "warranty")
    check_env(env.unwrapped, skip_render_check=True)


@pytest.mark.parametrize(("task", "env_id"), [("refund", TASKS[0]), ("order_status", TASKS[1])])
def test_an_episode_of_a_task_is_that_of_its_own_environment(env, task, env_id) -> None:
    alone = gym.make(env_id, prompt="compact")
    options = {"split": "dev", "user_seed": 3}
    observation, info = env.reset(seed=5, options={"task": task, **options})
    expected, told = alone.reset(seed=5, options=options)
    assert (observation, info) == (expected, {**told, "task": task})
    assert env.system_prompt == alone.unwrapped.system_prompt and env.tools == alone.unwrapped.tools
    for action in ("What is your e-mail and postal code?", "I can't do that."):
        found, own = env.step(action), alone.step(action)
        assert found == (*own[:4], {**own[4], "task": task})
    assert env.messages == alone.unwrapped.messages


def test_the_task_that_nobody_asks_for_follows_from_the_seed(env) -> None:
    drawn = [env.reset(seed=seed)[1]["task"] for seed in range(40)]
    assert drawn == [env.reset(seed=seed)[1]["task"] for seed in range(40)]
    assert 8 <= drawn.count("refund") <= 32
    # Asking for the one that would have been drawn changes nothing.
    assert env.reset(seed=3) == env.reset(seed=3, options={"task": drawn[3]})


def test_without_a_seed_episodes_go_on_with_others(env) -> None:
    env.reset(seed=1, options={"task": "refund"})
    scenarios = {env.reset(options={"task": "refund"})[1]["scenario_id"] for _ in range(5)}
    assert len(scenarios) == 5


def test_another_key_is_the_name_of_option_and_info() -> None:
    env = MultiTaskEnvironment({"first": TASKS[0], "second": lambda: gym.make(TASKS[1])}, key="desk")
    assert env.reset(seed=0, options={"desk": "second"})[1]["desk"] == "second"
    assert env.step("Hello")[4]["desk"] == "second"


def test_bad_input_is_refused_by_name(env) -> None:
    with pytest.raises(ResetNeeded, match="call reset"):
        MultiTaskEnvironment(TASKS).step("hello")
    with pytest.raises(ValueError, match="there is no task 'refnd'; did you mean 'refund'"):
        env.reset(seed=0, options={"task": "refnd"})
    with pytest.raises(ValueError, match="unknown reset option 'spilt'"):
        env.reset(seed=0, options={"task": "refund", "spilt": "dev"})
    with pytest.raises(ValueError, match="each of another name"):
        MultiTaskEnvironment([TASKS[0], TASKS[0]])
    with pytest.raises(ValueError, match="one or more"):
        MultiTaskEnvironment([])
    assert (MultiTaskEnvironment(TASKS).system_prompt, MultiTaskEnvironment(TASKS).tools) == ("", [])


def test_a_copy_goes_on_as_the_original_does(env) -> None:
    env.reset(seed=2, options={"task": "refund"})
    env.step("What is your e-mail and postal code?")
    copy = pickle.loads(pickle.dumps(env))
    assert copy.step("Thank you.") == env.step("Thank you.")


def test_a_state_is_the_episode_and_what_comes_after_it(env) -> None:
    env.reset(seed=2, options={"task": "refund"})
    env.step("What is your e-mail and postal code?")
    state, other = env.get_state(), MultiTaskEnvironment(TASKS, prompt="compact")
    other.set_state(state)
    for _ in range(2):
        assert other.step("Thank you.") == env.step("Thank you.")
    assert other.reset() == env.reset()
    drawn = [env.reset()[1]["scenario_id"] for _ in range(3)]
    env.set_state(state)
    assert [env.reset()[1]["scenario_id"] for _ in range(4)][1:] == drawn
    fresh = MultiTaskEnvironment(TASKS).get_state()
    assert (fresh.task, fresh.state) == (None, None)


def test_many_side_by_side_give_what_each_gives_alone(env) -> None:
    many = gym.make_vec("StateSet/MultiTask-v0", 3, tasks=TASKS, prompt="compact")
    assert isinstance(many, TextVectorEnv)
    observations, infos = many.reset(seed=4)
    alone = [env.reset(seed=seed) for seed in (4, 5, 6)]
    assert observations == tuple(observation for observation, _ in alone)
    assert infos["task"].tolist() == [info["task"] for _, info in alone]
    many.close()


def test_it_is_shown_as_its_environment_is() -> None:
    env = gym.make("StateSet/MultiTask-v0", tasks=TASKS, render_mode="ansi")
    observation, _ = env.reset(seed=1, options={"task": "refund"})
    assert observation.split()[0] in env.render()
    assert "StateSet/MultiTask-v0" in ss_gym.registration.ENVIRONMENTS
