"""Customers that are played from outside: by a language model, a person, a program."""

import gc
import pickle
import re
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest

import ss_gym  # noqa: F401 - registers the ids
from ss_baselines.agents import load_agent
from ss_baselines.evaluate import evaluate
from ss_gym.agents import AgentConfig, Conversation, Sampling
from ss_gym.agents.backends import Backend, load_backend
from ss_gym.sim2real import DomainRandomizer
from ss_gym.types import Completion
from ss_gym.users import llm
from ss_gym.users.briefing import briefing
from ss_gym.users.llm import LLMUser
from ss_gym.users.parameters import Parameter
from ss_gym.users.persona import Persona, as_changes
from ss_gym.users.rendezvous import Rendezvous
from ss_gym.users.scripted import ScriptedUser
from ss_gym.users.simulator import HumanUser, UserRequest, load_user

REFUND = "StateSet/Refund-v0"
# Nothing of what a briefing puts in words.
NEITHER = {"noise": 0, "verbosity": 0, "disclosure": 0, "tangents": 0, "demanding": 0, "unprepared": 0, "insists": 0}
NEITHER |= {"hurried": 0, "email": 0, "plain": 1}


class Obliging:
    """Tells what it knows, agrees to what is offered, and leaves when nothing more is asked."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
        self.batches.append(len(requests))
        return [self._reply(request) for request in requests]

    def _reply(self, request: UserRequest) -> str:
        heard, known = request.messages[-1]["content"], request.briefing
        parts = []
        if re.search("mail|zip|post", heard, re.I):
            parts += re.findall(r"e-mail is (\S+) and your postal code (\w+ \w+)", known)[0]
        if "order number" in heard:
            parts += re.findall(r"order number is (\d+)", known)
        if re.search("reason|why", heard, re.I):
            parts.append("I changed my mind" if "changed mind" in known else "it is damaged")
        if parts:
            return ", ".join(parts)
        if re.search(r"\$.*\?$", heard) and "anything" not in heard:
            return "Yes, please. [YES]"
        return "Thank you. [BYE]"


def played(env: gymnasium.Env[str, str], seed: int | None = None, scenario: str = "") -> tuple[bool, Conversation]:
    agent = load_agent("reference")
    observation, info = env.reset(seed=seed, options={"scenario_id": scenario} if scenario else {})
    conversation = Conversation.begin(observation, info)
    ended = False
    while not ended:
        (completion,) = agent.act([conversation])
        observation, _, terminated, truncated, info = env.step(completion.text)
        conversation.record(completion, observation, info)
        ended = terminated or truncated
    return info["success"], conversation


def test_an_obliging_program_gets_all_that_is_due_from_the_reference() -> None:
    env = gymnasium.make(REFUND, user=Obliging())
    # Of each pair the first, which is granted.
    wins = [played(env, scenario=f"refund/dev/{2 * pair:04d}")[0] for pair in range(60)]
    assert all(wins)


def test_consent_is_the_customers_own_yes_and_tags_are_not_shown() -> None:
    env = gymnasium.make(REFUND, user=Obliging())
    success, conversation = played(env, scenario="refund/dev/0004")
    said = [message["content"] for message in conversation if message["role"] == "user"]
    assert success and "Yes, please." in said and not any("[" in text for text in said)
    refusing = gymnasium.make(REFUND, user=LLMUser(AgentConfig(model_name="stub://no", stub_responses=["I see."])))
    refusing.reset(seed=1)
    scenario = refusing.unwrapped.scenario
    refusing.step(f"I would refund ${scenario.goal.paid_cents / 100:.2f} to your card. Shall I go ahead?")
    assert refusing.unwrapped._audit._record.consents == []


@pytest.mark.parametrize(
    ("reply", "agreed"),
    [
        ("Sure, go ahead.", True),
        ("ok", True),
        ("[YES] that suits me", True),
        ("Yes, but why not the full price?", False),
        ("OK, what about my other order?", False),
        ("I don't know", False),
        ("No. Not ok.", False),
    ],
)
def test_a_plain_yes_counts_without_the_tag_unless_it_asks_or_objects(reply: str, agreed: bool) -> None:
    user = LLMUser(AgentConfig(model_name="stub://x", stub_responses=[reply]))
    env = gymnasium.make(REFUND, user=user)
    env.reset(seed=1)
    price = env.unwrapped.scenario.goal.paid_cents
    env.step(f"I would refund ${price / 100:.2f} to your card. Shall I go ahead?")
    found = [consent for _, consent in env.unwrapped._audit._record.consents]
    assert [(consent.verb, consent.amount_cents) for consent in found] == ([("refund", price)] if agreed else [])


def test_the_briefing_tells_what_the_customer_knows_and_none_of_what_is_due() -> None:
    seen: list[UserRequest] = []

    class Spy:
        def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
            seen.extend(requests)
            return ["[BYE]"] * len(requests)

    env = gymnasium.make(REFUND, user=Spy())
    env.reset(options={"scenario_id": "refund/dev/0004"})
    _, _, terminated, _, info = env.step("Hello!")
    scenario = env.unwrapped.scenario
    (request,) = seen
    assert terminated and info["audit"]["ended_by"] == "gave_up"
    for known in (scenario.customer.email, scenario.customer.postal_code, *scenario.goal.titles, "sleeping bag"):
        assert known in request.briefing
    assert "window" not in request.briefing and str(scenario.rules.return_window_days) not in request.briefing
    assert [message["role"] for message in request.messages] == ["assistant", "user"]
    assert request.messages[-1]["content"] == "Hello!"


@pytest.mark.parametrize(
    ("params", "told", "untold"),
    [
        ({"noise": 0.15}, "You mistype about 15 of 100 words.", "e-mails"),
        ({"noise": 0.0, "verbosity": 0.2}, "", "mistype"),
        ({"verbosity": 1.0}, "About 4 of 10 of your messages have a sentence that tells nothing.", "hurry"),
        ({"tangents": 0.5, "hurried": 1}, "About 5 of 10 of your messages have something that is beside", "on top"),
        ({"demanding": 0.4}, "Once you ask for something on top that no shop does.", "at hand"),
        ({"unprepared": 0.3}, "About 3 of 10 times you don't have at hand", "beside the matter"),
        ({"insists": 0}, "", "contest"),
        ({"insists": 1, "patience": 1}, "A refusal you contest once before you accept it.", "on top"),
        ({"insists": 2, "patience": 1}, "You give up after 1 reply that leads nowhere.", "contest once"),
        ({"disclosure": 0.9, "email": 1}, "In about 9 of 10 cases you tell what you know before", "at hand"),
    ],
)
def test_the_briefing_puts_parameters_in_words(params: dict[str, float], told: str, untold: str) -> None:
    env = gymnasium.make(REFUND)
    env.reset(seed=1, options={"user_params": {**NEITHER, **params}})
    words = briefing(env.unwrapped.scenario, env.unwrapped.persona)
    assert told in words and untold not in words


def test_a_copy_in_the_middle_of_an_episode_replays_what_came_from_outside() -> None:
    asked: list[str] = []

    class Counting:
        def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
            asked.extend(request.messages[-1]["content"] for request in requests)
            return [f"reply {len(asked)}"] * len(requests)

        def __deepcopy__(self, memo: object) -> "Counting":
            return self

    env = gymnasium.make(REFUND, user=Counting())
    env.reset(seed=3)
    first = [env.step(text)[0] for text in ("One.", "Two.")]
    twin = deepcopy(env)
    assert first == ["reply 1", "reply 2"] and asked == ["One.", "Two."]
    assert [message["content"] for message in twin.unwrapped.messages] == [
        message["content"] for message in env.unwrapped.messages
    ]
    assert twin.step("Three.")[0] == "reply 3"


def test_all_customers_of_a_batch_are_asked_in_one_call_in_the_order_of_the_rows() -> None:
    user = Obliging()
    envs = gymnasium.make_vec(REFUND, num_envs=5, user=user)
    envs.reset(seed=0)
    calls = '<tool_call>{"name": "get_policy", "arguments": {"topic": "closing"}}</tool_call>'
    observations, *_ = envs.step(["Your e-mail?", calls, "Your e-mail?", "Your e-mail?", calls])
    assert user.batches == [3]
    scenarios = envs.get_attr("scenario")
    for row in (0, 2, 3):
        assert scenarios[row].customer.email in observations[row]
    envs.close()


def test_a_batch_plays_the_same_episodes_as_single_environments() -> None:
    agent = load_agent("reference")
    rows = 6
    mode = gymnasium.vector.AutoresetMode.DISABLED
    envs = gymnasium.make_vec(REFUND, num_envs=rows, user=Obliging(), autoreset_mode=mode)
    observations, infos = envs.reset(seed=0)
    single = gymnasium.make(REFUND, user=Obliging())
    alone = [[m["content"] for m in played(single, seed)[1]] for seed in range(rows)]
    conversations = [
        Conversation.begin(observations[row], {k: infos[k][row] for k in ("messages", "system_prompt", "tools")})
        for row in range(rows)
    ]
    ended = np.zeros(rows, np.bool_)
    while not ended.all():
        completions = agent.act(conversations)
        observations, _, terminated, truncated, infos = envs.step([each.text for each in completions])
        for row in np.flatnonzero(~ended):
            conversations[row].record(completions[row], observations[row], {"messages": infos["messages"][row]})
        ended = terminated | truncated
    assert [[m["content"] for m in conversation] for conversation in conversations] == alone
    envs.close()


def test_an_error_of_the_user_reaches_the_caller_and_leaves_no_thread_waiting() -> None:
    class Broken:
        def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
            raise ConnectionError("no answer from the server")

    envs = gymnasium.make_vec(REFUND, num_envs=4, user=Broken())
    envs.reset(seed=0)
    with pytest.raises(RuntimeError, match="could not be asked: no answer from the server"):
        envs.step(["Hello."] * 4)
    envs.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("row")]


def test_too_few_replies_are_an_error_of_the_user() -> None:
    class Lazy:
        def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
            return ["only one"]

    meeting = Rendezvous(Lazy())
    request = UserRequest("", ({"role": "user", "content": "Hello."},))
    with pytest.raises(RuntimeError, match="2 requests got 1 replies"):
        meeting.run(lambda row: meeting.respond_batch([request]), [0, 1])
    meeting.close()


class Moody:
    """Tells what was set of its own parameter."""

    parameters: ClassVar[dict[str, Parameter]] = {"mood": Parameter(0, 1, "share", "of the messages in a temper")}

    def respond_batch(self, requests: Sequence[UserRequest]) -> list[str]:
        return [f"My mood is {request.params}." for request in requests]


def test_a_simulator_declares_parameters_of_its_own_and_is_told_them() -> None:
    env, options = gymnasium.make(REFUND, user=Moody()), {"user_params": {"mood": 0.25, "patience": 3}}
    env.reset(seed=1, options=options)
    assert env.step("Hello?")[0] == "My mood is {'mood': 0.25}." and env.unwrapped.persona.patience == 3
    assert deepcopy(env).step("And now?")[0] == "My mood is {'mood': 0.25}."
    env.reset(seed=1)
    assert env.step("Hello?")[0] == "My mood is {}."
    envs = gymnasium.make_vec(REFUND, num_envs=2, user=Moody())
    envs.reset(seed=0, options=options)
    assert list(envs.step(["Hello?"] * 2)[0]) == ["My mood is {'mood': 0.25}."] * 2
    envs.close()
    for user, told in (
        (Moody(), r"mood must be from 0 to 1 \(share\), got 2"),
        ("scripted", "there is no parameter 'mood'"),
    ):
        with pytest.raises(ValueError, match=told):
            gymnasium.make(REFUND, user=user).reset(options={"user_params": {"mood": 2}})


@pytest.mark.parametrize(
    ("declared", "error", "told"),
    [
        ({"noise": Parameter(0, 1, "", "")}, ValueError, "every environment has a parameter 'noise'"),
        ({"tool_failure": Parameter(0, 1, "", "")}, ValueError, "every environment has a parameter 'tool_failure'"),
        ({"mood": Parameter(1, 1, "", "")}, ValueError, "mood needs a least value below its greatest"),
        ({"mood": (0, 1)}, TypeError, "Sour.parameters must be Parameter by name"),
    ],
)
def test_parameters_that_can_not_be_are_refused(declared: Any, error: type[Exception], told: str) -> None:
    sour = type("Sour", (Moody,), {"parameters": declared})()
    with pytest.raises(error, match=told):
        gymnasium.make(REFUND, user=sour)
    with pytest.raises(error, match=told.removeprefix("Sour.")):
        DomainRandomizer(parameters=declared)


def test_an_attribute_of_that_name_may_mean_something_else() -> None:
    network = type("Network", (Moody,), {"parameters": lambda self: iter(())})()
    env = gymnasium.make(REFUND, user=network)
    env.reset(seed=0)
    assert env.step("Hello?")[0] == "My mood is {}."
    with pytest.raises(ValueError, match="there is no parameter 'mood'"):
        env.reset(options={"user_params": {"mood": 0.5}})


def test_a_person_reads_the_briefing_once_and_types_the_answers() -> None:
    shown: list[str] = []
    typed = iter(["my mail is a@b.example", "yes [YES]"])

    def ask(text: str) -> str:
        shown.append(text)
        return next(typed)

    env = gymnasium.make(REFUND, user=HumanUser(ask))
    opening, _ = env.reset(seed=4)
    assert env.step("Your e-mail, please?")[0] == "my mail is a@b.example"
    assert env.step("And your postal code?")[0] == "yes"
    assert env.unwrapped.scenario.customer.name in shown[0] and opening in shown[0]
    assert shown[1] == "And your postal code?\n> "


def test_users_are_found_by_name() -> None:
    assert load_user("scripted") is None
    assert isinstance(load_user("human"), HumanUser)
    found = load_user("llm:stub://demo")
    assert isinstance(found, LLMUser) and found.config.model_name == "stub://demo"
    assert deepcopy(found) is found
    assert pickle.loads(pickle.dumps(found)).config == found.config
    for wrong in ("gpt", "llm:", ""):
        with pytest.raises(ValueError, match="write 'scripted', 'human' or 'llm:<model name>'"):
            load_user(wrong)
    with pytest.raises(TypeError, match="have respond_batch"):
        load_user(5)  # type: ignore[arg-type]


def test_a_model_that_is_named_is_loaded_once_for_all_environments_and_goes_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []

    def load(config: AgentConfig) -> Backend:
        loaded.append(config.model_name)
        return load_backend(config)

    monkeypatch.setattr(llm, "load_backend", load)
    user = {"user": "llm:stub://shared"}
    evaluate("reference", REFUND, episodes=6, batch=3, env_kwargs=user)
    assert loaded == ["stub://shared"]
    envs = [gymnasium.make(REFUND, **user) for _ in range(2)]
    found = weakref.ref(envs[0].unwrapped.user)
    assert envs[1].unwrapped.user is deepcopy(envs[0]).unwrapped.user is found()
    assert load_user("llm:stub://other") is not found()
    envs.clear()
    gc.collect()
    assert found() is None


def test_environments_in_several_threads_ask_one_model_in_turn() -> None:
    class Slow:
        now = 0

        def generate(self, conversations: Sequence[Conversation], sampling: Sampling) -> list[Completion]:
            self.now += 1
            time.sleep(0.01)
            alone, self.now = self.now == 1, self.now - 1
            return [Completion(str(alone)) for _ in conversations]

    user = LLMUser(AgentConfig("slow://"), Slow())
    request = UserRequest("", ({"role": "user", "content": "Hello."},))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(user.respond_batch, [[request]] * 12)) == [["True"]] * 12


def test_personas_are_set_by_name_by_field_or_whole() -> None:
    env = gymnasium.make(REFUND, persona="careless")
    env.reset(seed=1)
    assert env.unwrapped.persona.noise == 0.1
    env = gymnasium.make(REFUND, persona={"register": "polite", "patience": 9})
    env.reset(seed=1)
    assert env.unwrapped.persona[:2] == ("polite", 9)
    env = gymnasium.make(REFUND, persona=Persona(insists=3))
    env.reset(seed=1)
    assert env.unwrapped.persona == Persona(insists=3)


@pytest.mark.parametrize(
    ("persona", "error", "message"),
    [
        ("grumpy", ValueError, "unknown persona 'grumpy'"),
        ({"patiense": 3}, ValueError, "did you mean 'patience'"),
        ({"patience": 0}, ValueError, "patience of a persona must be an int from 1 up, got 0"),
        ({"noise": 1.5}, ValueError, "noise of a persona must be a number from 0 to 1"),
        ({"register": "rude"}, ValueError, "must be one of plain, polite"),
        ({"hurried": 1}, ValueError, "hurried of a persona must be True or False"),
        (7, TypeError, "a mapping of its fields or a Persona, got 7"),
    ],
)
def test_bad_personas_are_named(persona: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_changes(persona)  # type: ignore[arg-type]


@pytest.mark.parametrize("persona", ["rambling", "unprepared", "demanding", "difficult"])
@pytest.mark.parametrize("family", ["Refund", "Cancel"])
def test_the_reference_bears_with_difficult_customers(family: str, persona: str) -> None:
    env = gymnasium.make(f"StateSet/{family}-v0", persona=persona)
    assert all(played(env, seed=seed)[0] for seed in range(40))


@pytest.mark.parametrize(
    ("persona", "act"),
    [({"tangents": 1.0}, "tangent"), ({"unprepared": 1.0}, "look_for_it"), ({"demanding": 1.0}, "impossible")],
)
def test_difficult_customers_do_what_they_are_called_for(
    persona: dict[str, float], act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    say = ScriptedUser._say
    monkeypatch.setattr(
        ScriptedUser, "_say", lambda user, acts: [said.extend(each.kind for each in acts), say(user, acts)][1]
    )
    env = gymnasium.make(REFUND, persona={**persona, "disclosure": 1.0})
    env.reset(seed=1)
    env.step("What is the e-mail address of your account?")
    env.step("What is the e-mail address of your account?")
    assert said.count(act) == {"tangent": 2, "look_for_it": 1, "impossible": 1}[act]
    assert "give_email" in said
