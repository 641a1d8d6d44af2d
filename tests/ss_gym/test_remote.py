"""RemoteEnvironment against servers in threads; those in processes of their own are in test_serve_env.py."""

import copy
import pickle
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from ss_baselines.agents.reference import ReferenceAgent
from ss_gym import RemoteEnvironment
from ss_gym.registration import ENVIRONMENTS, REMOTE
from ss_gym.serving.client import RemoteError
from ss_gym.serving.environment_api import SessionLimits
from ss_gym.serving.environment_server import environment_server
from ss_gym.serving.server import served
from ss_gym.testing import check_text_environment
from ss_gym.testing.episodes import episode
from ss_trainers.rollout import Episode, Lockstep, rollout
from tests.ss_gym.serving.session_clients import wait_for
from tests.ss_trainers.toy_env import Obliging, register

ENV_ID = "StateSet/Refund-v0"
FAMILIES = [env_id for env_id, entry in ENVIRONMENTS.items() if "family" in entry.kwargs and entry.vector_entry_point]
CALL = '<tool_call>{"name": "list_orders", "arguments": {"customer_id": "C1"}}</tool_call>'
ACTIONS = ("Hello!", CALL, "\ud800 \x00 é", "🙂" * 30_000, "<tool_call>{", "", "One moment.")


@pytest.fixture
def local():
    return gymnasium.make(ENV_ID)


def shape(value):
    """A value with the types of all that is in it, in order."""
    if isinstance(value, dict):
        return type(value), [(key, shape(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [shape(item) for item in value]
    return type(value), repr(value)


def broken(env):
    """Cuts the connection, as a network does."""
    env._client._connection._socket.shutdown(socket.SHUT_RDWR)


def assert_steps_are_equal(remote, local, before_each=lambda env: None):
    for action in ACTIONS:
        before_each(remote)
        expected = local.step(action)
        assert shape(remote.step(action)) == shape(expected)
        if expected[2]:  # the customer had enough
            break


def play(env, seeds):
    return [list(episode(env, ReferenceAgent(), {"seed": seed})) for seed in seeds]


@pytest.mark.parametrize("env_id", FAMILIES)
def test_episodes_are_those_of_a_local_environment_byte_for_byte_and_type_for_type(env_id):
    with served(environment_server(env_id, {"split": "dev"})) as address:
        local, remote = gymnasium.make(env_id, split="dev"), RemoteEnvironment(address, env_id)
        assert shape(play(remote, [3])) == shape(play(local, [3]))
        assert shape(remote.reset()) == shape(local.reset())
        assert_steps_are_equal(remote, local)
        remote.close()


def test_it_keeps_the_contract_of_text_environments(url, capsys):
    check_text_environment(REMOTE, url=url)
    assert capsys.readouterr().out.startswith("Customer: ")  # it was rendered


def test_what_stays_for_the_episode_is_on_the_environment(remote, local):
    assert remote.unwrapped is remote
    assert (remote.system_prompt, remote.tools, remote.messages) == ("", [], [])
    for env in (remote, local):
        env.reset(seed=1)
        env.step(CALL)
    for name in ("system_prompt", "tools", "messages", "option_names", "term_names", "max_turns", "max_steps",
                 "max_action_chars", "observation_space", "action_space", "metadata"):  # fmt: skip
        assert getattr(remote, name) == getattr(local, name)
    assert remote.np_random.bit_generator.state == local.np_random.bit_generator.state
    with pytest.raises(TypeError, match="can't be changed"):
        remote.tools[0]["type"] = "x"


def test_rendering_is_that_of_a_local_environment(url, local):
    with closing(RemoteEnvironment(url, render_mode="ansi")) as remote:
        local = gymnasium.make(ENV_ID, render_mode="ansi")
        with pytest.raises(ResetNeeded, match="before render"):
            remote.render()
        for env in (remote, local):
            env.reset(seed=1)
            env.step(CALL)
        assert remote.render() == local.render()
    with pytest.raises(ClosedEnvironmentError):
        remote.render()
    with pytest.raises(ValueError, match="render_mode must be None or one of"):
        RemoteEnvironment(url, render_mode="film")


def test_bad_calls_raise_what_a_local_environment_raises(remote, local):
    remote.reset(seed=1)
    local.reset(seed=1)
    for call in (
        lambda env: env.step(5),
        lambda env: env.reset(seed=-1),
        lambda env: env.reset(seed=1.5),
        lambda env: env.reset(options={"splitt": "dev"}),
        lambda env: env.reset(options=[]),
        lambda env: env.reset(options={1: "dev"}),
        lambda env: env.step("still in the episode"),
        lambda env: env.reset(options={"split": "all"}),
        lambda env: env.step("no longer"),
        lambda env: env.reset(options={"scenario_id": "refund/dev/99999"}),
        lambda env: env.reset(options={"user_seed": "a"}),
        lambda env: env.set_state(env.get_state()) or env.step("nothing is running"),
        lambda env: env.close() or env.reset(),
    ):
        raised = []
        for env in (remote, local):
            try:
                raised.append(shape(call(env)))
            except Exception as error:
                raised.append((type(error), str(error)))
        assert raised[0] == raised[1]


def test_options_of_numpy_are_those_of_python_here_as_there(remote, local):
    options = {"scenario_id": "refund/dev/0042", "user_seed": np.int64(2)}
    assert shape(remote.reset(options=options)) == shape(local.reset(options=options))
    assert shape(remote.get_state().options) == shape(local.get_state().options)
    with pytest.raises(ValueError, match=r"/options/split is of the type set"):
        remote.reset(options={"split": {"dev"}})


def test_an_episode_goes_on_over_a_new_connection(remote, local):
    for env in (remote, local):
        env.reset(seed=1)
        env.reset(options={"split": "dev"})  # goes on with the generator
        env.step("Hello!")
    assert_steps_are_equal(remote, local, before_each=broken)
    broken(remote)
    assert shape(remote.reset()) == shape(local.reset())
    broken(remote)
    assert shape(remote.reset(seed=9)) == shape(local.reset(seed=9))
    assert shape(remote.messages) == shape(local.messages)


def test_states_copies_and_pickles_go_on_here_and_there(remote, local):
    for env in (remote, local):
        env.reset(seed=2)
        env.reset()
        env.step(CALL)
        env.step("Hello!")
    twin = gymnasium.make(ENV_ID)
    twin.set_state(remote.get_state())
    others = [copy.deepcopy(remote), pickle.loads(pickle.dumps(remote)), twin]
    others.append(RemoteEnvironment(remote._client.url))
    others[-1].set_state(local.get_state())
    assert len(pickle.dumps(remote)) < 100_000
    expected = local.step("And then?"), local.reset()
    for env in (remote, *others):
        assert env.unwrapped.messages[:4] == local.unwrapped.messages[:4] or len(env.unwrapped.messages) == 5
        assert (shape(env.step("And then?")), shape(env.reset())) == tuple(map(shape, expected))
        env.close()
    assert shape(pickle.loads(pickle.dumps(remote)).description) == shape(remote.description)
    with pytest.raises(ClosedEnvironmentError):
        pickle.loads(pickle.dumps(remote)).reset()


def test_replies_from_outside_are_not_asked_for_again():
    class Parrot:
        asked = 0

        def respond_batch(self, requests):
            type(self).asked += len(requests)
            return [f"This is my reply number {self.asked}." for _ in requests]

        def __deepcopy__(self, memo):
            return self

    with served(environment_server(ENV_ID, {"user": Parrot()})) as address:
        with closing(RemoteEnvironment(address)) as remote:
            remote.reset(seed=1)
            said = [remote.step("Hello!")[0], remote.step("Well?")[0]]
            assert remote.get_state().replies == tuple(said)
            broken(remote)
            copied = copy.deepcopy(remote)
            assert remote.step("And?")[0] == "This is my reply number 3."
            assert copied.step("And?")[0] == "This is my reply number 4."
            assert [message["content"] for message in remote.messages if message["role"] == "user"][1:3] == said
        assert Parrot.asked == 4


@contextmanager
def many(url, count, env_id=ENV_ID):
    envs = [RemoteEnvironment(url) for _ in range(count)]
    yield envs
    for env in envs:
        env.close()


def assert_many_are_equal(url, count):
    local = gymnasium.make(ENV_ID)
    expected = {seed: shape(play(local, [seed])) for seed in range(count)}
    with many(url, count) as envs, ThreadPoolExecutor(count) as pool:
        for seed, played in enumerate(pool.map(lambda pair: play(pair[1], [pair[0]]), enumerate(envs))):
            assert shape(played) == expected[seed]


def test_32_sessions_at_once_are_all_equal_to_local_ones(url):
    assert_many_are_equal(url, 32)


@pytest.mark.slow
def test_256_sessions_at_once_are_all_equal_to_local_ones(url):
    assert_many_are_equal(url, 256)


def test_vectors_of_gymnasium_and_rollouts_of_the_trainers_take_it(url):
    remote = gymnasium.make_vec(REMOTE, num_envs=3, url=url, vector_kwargs={"autoreset_mode": AutoresetMode.DISABLED})
    local = gymnasium.make_vec(ENV_ID, num_envs=3, autoreset_mode=AutoresetMode.DISABLED)
    assert remote.reset(seed=4)[0] == local.reset(seed=4)[0]
    assert remote.step(["Hello!"] * 3)[0] == local.step(["Hello!"] * 3)[0]
    remote.close()
    episodes = [Episode(seed, {"split": "dev"}) for seed in range(4)]
    envs = [gymnasium.make(REMOTE, url=url) for _ in range(2)]
    played = [
        rollout(Lockstep(ReferenceAgent().act), some, episodes)
        for some in (envs, [gymnasium.make(ENV_ID) for _ in range(2)])
    ]
    assert played[0] == played[1]
    assert all(trajectory.success for trajectory in played[0].trajectories)


def test_processes_of_a_vector_have_sessions_of_their_own(url, local):
    envs = AsyncVectorEnv([lambda: RemoteEnvironment(url)] * 2, shared_memory=False)
    observations, _ = envs.reset(seed=4)
    assert observations[1] == local.reset(seed=5)[0]
    envs.close()


def test_an_environment_of_another_package_is_lost_with_its_connection():
    with served(environment_server(register())) as address, closing(RemoteEnvironment(address)) as remote:
        assert not remote.description.rebuilds
        local = gymnasium.make(register(), disable_env_checker=True)
        for seed in (1, 2):
            assert shape(play_toy(remote, seed)) == shape(play_toy(local, seed))
        remote.reset(seed=1)
        broken(remote)
        with pytest.raises(RemoteError, match=r"broke in the middle of an episode, .* call reset\(\)"):
            remote.step("a")
        with pytest.raises(ResetNeeded):
            remote.step("a")
        assert shape(remote.reset(seed=2)) == shape(local.reset(seed=2))
        for call in (remote.get_state, lambda: remote.set_state(None)):
            with pytest.raises(RemoteError, match="has no state"):
                call()


def play_toy(env, seed):
    return list(episode(env, Obliging(), {"seed": seed}))


def test_a_session_that_expired_is_opened_again_without_a_word():
    clock = [0.0]
    limits = SessionLimits(idle_seconds=0.2)
    with served(environment_server(ENV_ID, limits=limits, clock=lambda: clock[0])) as address:
        with closing(RemoteEnvironment(address)) as remote:
            remote.reset(seed=1)
            remote.step("Hello!")
            wait_for(lambda: has_hung_up(remote, clock))
            local = gymnasium.make(ENV_ID)
            local.reset(seed=1)
            local.step("Hello!")
            assert shape(remote.step(CALL)) == shape(local.step(CALL))


def has_hung_up(env, clock):
    clock[0] += 1.0  # when the last answer was there, the server may not have noted the time of it
    own = env._client._connection._socket
    own.settimeout(0.01)
    try:
        return bool(own.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False


def test_an_action_that_is_too_large_for_the_server_is_told_here(remote, local):
    remote.reset(seed=1)
    with pytest.raises(RemoteError, match="takes messages of 1048576 bytes, and this one has 2000025"):
        remote.step("x" * 2_000_000)
    local.reset(seed=1)
    assert shape(remote.step("x" * 1_000_000)) == shape(local.step("x" * 1_000_000))


def test_another_environment_at_the_same_address_does_not_go_on_with_the_episode(url):
    with served(environment_server(ENV_ID, {"persona": "patient"})) as address:
        remote = RemoteEnvironment(address)
        remote.reset(seed=1)
        remote.step("Hello!")
        remote._client._address = f"ws://{urlsplit(url).netloc}/v1/session"
        broken(remote)
        with pytest.raises(RemoteError, match=r"now makes StateSet/Refund-v0 with \{\}, and the episode"):
            remote.step("And?")
        remote._client.description = remote._client.description.model_copy(update={"keywords": {}})
        remote._told[0] = remote._told[0].replace("Hello", "Hallo").replace("Hi", "Ho").replace("I ", "Me ")
        with pytest.raises(RemoteError, match=r"does not play the episode again as it was"):
            remote.step("And?")
        remote.close()


def test_closing_frees_the_session_and_can_be_done_twice(url):
    with served(environment_server(ENV_ID, limits=SessionLimits(sessions=1))) as address:
        for _ in range(3):
            remote = RemoteEnvironment(address)
            remote.reset(seed=1)
            remote.close()
            remote.close()
            with pytest.raises(ResetNeeded):
                remote.step("Hello!")
