"""Every family and its environment against the conformance suites that third parties get."""

import json
import os
import pickle
import re
import subprocess
import sys
from hashlib import blake2b

import gymnasium
import numpy as np
import pytest

import ss_gym  # registers the ids
from ss_baselines.agents import load_agent
from ss_gym.agents import Conversation
from ss_gym.families import FAMILIES
from ss_gym.testing import check_agent, check_family, check_text_environment, trace_digest
from ss_gym.types import Completion

ENV_IDS = {name: f"StateSet/{name.title().replace('_', '')}-v0" for name in FAMILIES}
MANY = 200  # episodes
_LINES = (
    "Could you tell me your e-mail address and postal code?",
    "What is your order number?",
    "Shall I refund ${number}.00 to your card?",
    "I have refunded ${number}.00 to your card.",
    "I am sorry, the return window has passed. Would store credit help?",
    "Why would you like to return it?",
    "",
    '<tool_call>{"name":"get_order","arguments":{"order_id":"{number}"}}</tool_call>',
    '<tool_call>{"name":"verify_identity","arguments":{"email":"{email}","postal_code":"{code}"}}</tool_call>',
    '<tool_call>{"name":"check_return_eligibility","arguments":{"order_id":"{number}"}}</tool_call>',
    '<tool_call>{"name":"issue_refund","arguments":{"order_id":"{number}"}}</tool_call>',
)


class Chatterer:
    """Says one of many things, chosen by what was said last; wrong most of the time, never at random."""

    def act(self, conversations):
        return [Completion(self._line(conversation)) for conversation in conversations]

    def _line(self, conversation):
        text = " ".join(message["content"] for message in conversation[1:])
        last = conversation[-1]["content"]
        choice = blake2b(f"{len(conversation)} {last}".encode(), digest_size=2).digest()
        line = _LINES[int.from_bytes(choice, "big") % len(_LINES)]
        for slot, pattern in (("{number}", r"\b\d{5}\b"), ("{email}", r"\S+@\S+\w"), ("{code}", r"\b[A-Z]+\d\S*\b")):
            found = re.findall(pattern, text)
            line = line.replace(slot, found[-1] if found else "1")
        return line


def digest(episodes: int) -> str:
    """Of so many episodes of every family."""
    envs = [gymnasium.make(env_id, split="dev") for env_id in ENV_IDS.values()]
    return " ".join(trace_digest(env, Chatterer(), range(episodes)) for env in envs)


@pytest.mark.parametrize("prompt", ["full", "compact"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_environment_keeps_the_contract(family, prompt):
    check_text_environment(ENV_IDS[family], prompt=prompt)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_family_is_consistent_and_not_solved_by_doing_nothing(family):
    check_family(family, 40)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_agent_solves_the_family(family):
    check_family(family, 20, agent=load_agent("reference"))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_reference_agent_keeps_the_contract(family):
    check_agent(load_agent("reference"), ENV_IDS[family], 6, deterministic=True)


@pytest.mark.parametrize("episodes", [12, pytest.param(MANY, marks=pytest.mark.slow)])
def test_episodes_are_the_same_bytes_in_any_process(episodes):
    code = f"from importlib.util import *; s = spec_from_file_location('t', {__file__!r}); m = module_from_spec(s)\n"
    code += f"s.loader.exec_module(m); print(m.digest({episodes}))"
    digests = {digest(episodes)}
    for hash_seed in ("0", "12345"):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        run = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, run.stderr
        digests.add(run.stdout.strip())
    assert len(digests) == 1


@pytest.mark.parametrize("episodes", [40, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("family", FAMILIES)
def test_episodes_are_the_same_bytes_when_a_pickled_copy_goes_on_with_them(family, episodes):
    env, copied = gymnasium.make(ENV_IDS[family]), gymnasium.make(ENV_IDS[family])
    agent = Chatterer()
    for seed in range(episodes):
        result, twin = env.reset(seed=seed), copied.reset(seed=seed)
        assert result == twin
        conversation = Conversation.begin(*result)
        ended, step = False, 0
        while not ended:
            completion = agent.act([conversation])[0]
            if seed < 5 or step == seed % 7:  # at every step, or once on the way
                copied = pickle.loads(pickle.dumps(copied))
            step += 1
            result = env.step(completion.text)
            assert copied.step(completion.text) == result
            conversation.record(completion, result[0], result[4])
            ended = result[2] or result[3]


@pytest.mark.parametrize("rows", [40, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_plays_the_same_episodes_as_single_environments(family, rows):
    agent = Chatterer()
    mode = gymnasium.vector.AutoresetMode.DISABLED
    envs = gymnasium.make_vec(ENV_IDS[family], num_envs=rows, autoreset_mode=mode)
    singles = [gymnasium.make(ENV_IDS[family]) for _ in range(rows)]
    observations, infos = envs.reset(seed=0)
    firsts = [single.reset(seed=row) for row, single in enumerate(singles)]
    assert observations == tuple(observation for observation, _ in firsts)
    assert infos["scenario_id"].tolist() == [info["scenario_id"] for _, info in firsts]
    conversations = [Conversation.begin(*first) for first in firsts]
    ended = np.zeros(rows, np.bool_)
    while not ended.all():
        completions = agent.act(conversations)
        observations, rewards, terminated, truncated, infos = envs.step([each.text for each in completions])
        for row in np.flatnonzero(~ended):
            result = singles[row].step(completions[row].text)
            assert (observations[row], rewards[row], terminated[row], truncated[row]) == result[:4]
            assert infos["messages"][row] == result[4]["messages"]
            conversations[row].record(completions[row], result[0], result[4])
        ended = terminated | truncated


def test_gymnasium_makes_it_by_its_module_prefix_in_a_fresh_process():
    code = "import gymnasium; print(gymnasium.make('ss_gym:StateSet/Refund-v0').reset(seed=7)[0])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == gymnasium.make("StateSet/Refund-v0").reset(seed=7)[0], run.stderr
    assert ss_gym.__version__


def test_tools_see_the_world_of_the_episode_that_was_begun_last():
    env = gymnasium.make("StateSet/Refund-v0")

    def found(order_id):
        call = json.dumps({"name": "get_order", "arguments": {"order_id": order_id}})
        return "customer_id" in json.loads(env.step(f"<tool_call>{call}</tool_call>")[0])

    known = []
    for seed in range(5):
        env.reset(seed=seed)
        if seed % 2:
            continue  # no tool is called, so this episode's world is never opened
        known.append(env.unwrapped.scenario.world.orders[0][0])
        assert [found(order_id) for order_id in known] == [False] * (len(known) - 1) + [True]
        assert env.unwrapped.back_end.integrity_errors() == []
