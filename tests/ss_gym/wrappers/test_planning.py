"""A plan stands below what the user says, and nothing else of the environment is touched."""

import json
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.envs.registration import WrapperSpec

from ss_baselines.agents.reference import ReferenceAgent
from ss_gym import ConversationEnvironment, TaskEnvironment
from ss_gym.agents import Conversation, Plan
from ss_gym.agents.planning import without_plan
from ss_gym.families.splits import load_scenario
from ss_gym.wrappers import ChatObservation, PlanContext, TranscriptObservation
from ss_trainers.environments import naming, recalled
from tests.ss_gym.wrappers.samples import LOOK_UP, REFUND
from tests.ss_trainers.toy_env import register

RETAIL = "StateSet/Retail-v0"
SAID = ["Refund my lamp and cancel order 5.", "Yes.", "One more thing: where is order 6?", "That's all."]
OWN = [{"id": "a", "topic": "refunds", "user_responses": SAID}]


def play(env: gym.Env[Any, Any], *actions: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Observations and infos of an episode."""
    observation, info = env.reset(seed=1)
    observations, infos = [observation], [info]
    for action in actions:
        observation, _, _, _, info = env.step(action)
        observations.append(observation)
        infos.append(info)
    return observations, infos


def shown(observations: list[str]) -> list[bool]:
    return [without_plan(observation) != observation for observation in observations]


def test_the_plan_is_shown_where_it_changes_and_told_at_every_step() -> None:
    observations, infos = play(PlanContext(ConversationEnvironment(OWN)), "Which lamp?", "Refunded.", "On its way.")
    assert shown(observations) == [True, False, True, True]
    assert [without_plan(observation) for observation in observations] == SAID
    for observation, info in zip(observations, infos, strict=True):
        assert info["messages"][-1]["content"] == observation
    assert [[step["status"] for step in info["plan"]["steps"]] for info in infos] == [
        ["pending", "pending"],
        ["pending", "pending"],
        ["done", "pending", "pending"],
        ["done", "done", "done"],
    ]
    assert json.loads(json.dumps(infos[-1]["plan"])) == infos[-1]["plan"] and infos[-1]["plan"]["status"] == "done"


def test_the_plan_may_be_shown_at_every_turn_or_step() -> None:
    for show, expected in (
        ("turns", [True, True, False]),
        ("steps", [True, True, True]),
        ("changes", [True, False, False]),
    ):
        env = PlanContext(gym.make(REFUND), show=show)  # type: ignore[arg-type]
        observations, infos = play(env, "Your e-mail, please?", LOOK_UP)
        assert shown(observations) == expected
        result = infos[-1]["messages"][-1]
        assert result["role"] == "tool" and (show == "steps" or json.loads(result["content"]) == {"found": False})


def test_the_environment_and_its_prompt_know_nothing_of_the_plan() -> None:
    plain, env = gym.make(REFUND), PlanContext(gym.make(REFUND), show="turns")
    for wrapped, bare in zip(play(env, "Your e-mail?")[1], play(plain, "Your e-mail?")[1], strict=True):
        assert wrapped.get("system_prompt") == bare.get("system_prompt")
    assert env.unwrapped.messages == plain.unwrapped.messages  # type: ignore[attr-defined]


@pytest.mark.parametrize("number", range(0, 16, 2))
def test_each_wish_of_a_conversation_becomes_a_step(number: int) -> None:
    """A good agent's conversations of the training scenarios; those after which a step is left end with a transfer."""
    env, agent = PlanContext(gym.make(RETAIL, prompt="compact")), ReferenceAgent()
    name = f"retail/train/{number:04d}"
    observation, info = env.reset(options={"scenario_id": name})
    conversation, ended = Conversation.begin(observation, info), False
    while not ended:
        read = Conversation([{**message, "content": without_plan(message["content"])} for message in conversation])
        (completion,) = agent.act([read])
        observation, _, terminated, truncated, info = env.step(completion.text)
        conversation.record(completion, observation, info)
        ended = terminated or truncated
    parts, steps = load_scenario("retail", "train", number).parts, info["plan"]["steps"]
    assert len(steps) == len(parts) and info["success"]
    assert all(step["status"] != "pending" for step in steps) or info["audit"]["ended_by"] in (
        "transfer",
        "refusal_accepted",
    )


def count(plan: Plan, messages: list[dict[str, Any]], start: int) -> Plan:
    """A planner: the next step is what the user said last, and every answer is a step done."""
    assert all("<plan>" not in message["content"] for message in messages)
    said = [message["content"] for message in messages[start:] if message["role"] == "user"]
    return plan.advance().add(said)


def test_a_planner_is_any_function() -> None:
    env = PlanContext(ConversationEnvironment(OWN), count, goal="to count")
    observations, infos = play(env, "Yes?", "Yes?")
    assert infos[-1]["plan"]["goal"] == "to count"
    assert [step["status"] for step in infos[-1]["plan"]["steps"]] == ["done", "done", "pending"]
    assert shown(observations) == [True, True, True]


def test_wrappers_around_it_show_the_plan_and_those_inside_do_not() -> None:
    chat = ChatObservation(PlanContext(ConversationEnvironment(OWN)))
    assert "<plan>" in json.loads(chat.reset(seed=1)[0])[0]["content"]
    inside = PlanContext(TranscriptObservation(ConversationEnvironment(OWN)))
    inside.reset(seed=1)
    observation, *_ = inside.step("Refunded. Anything else?")
    assert observation.count("<plan>") == 1 and observation.splitlines()[1] == "Agent: Refunded. Anything else?"


def test_tasks_and_environments_of_others_get_a_plan() -> None:
    tasks = TaskEnvironment(
        tasks=[{"id": "a", "goal": "Add 2 and 3, then tell me the sum."}], success_criteria=lambda *_: True
    )
    assert [step["text"] for step in PlanContext(tasks).reset(seed=1)[1]["plan"]["steps"]] == [
        "Add 2 and 3",
        "tell me the sum",
    ]
    env = PlanContext(gym.make(register(), disable_env_checker=True), goal="Say the letter")
    observation, info = env.reset(seed=1)
    assert "Goal: Say the letter" in observation and info["messages"][0]["content"] == observation


def test_a_checkpoint_names_it_and_makes_it_again() -> None:
    spec = WrapperSpec("PlanContext", "ss_gym.wrappers:PlanContext", {"max_steps": 3, "show": "turns"})
    settings = naming(RETAIL, {"prompt": "compact"}, (spec,))
    assert recalled(json.loads(json.dumps(settings))) == (RETAIL, {"prompt": "compact"}, (spec,))
    own = WrapperSpec("PlanContext", "ss_gym.wrappers:PlanContext", {"planner": count})
    assert naming(RETAIL, {}, (own,))["env"] is None  # a function has no name that could be trusted


@pytest.mark.parametrize(
    ("settings", "kind", "error"),
    [
        ({"planner": "heuristics"}, ValueError, "there is no planner 'heuristics'; did you mean 'heuristic'?"),
        ({"planner": "os:system"}, ValueError, "there is no planner 'os:system'; known: heuristic"),
        ({"planner": "model"}, ValueError, "an environment has no model that could plan: give a function"),
        ({"planner": 3}, TypeError, "a planner is 'heuristic' or a function that gives a Plan, got 3"),
        ({"max_steps": 0}, ValueError, "max_steps must be from 1 to 32, got 0"),
        (
            {"show": "turn"},
            ValueError,
            "show must be 'changes' or 'turns' or 'steps', got 'turn'; did you mean 'turns'?",
        ),
        ({"goal": None}, TypeError, "goal must be a str, got None"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(
    settings: dict[str, Any], kind: type[Exception], error: str
) -> None:
    with pytest.raises(kind) as raised:
        PlanContext(gym.make(REFUND), **settings)
    assert error in str(raised.value)


def test_environments_without_text_and_planners_without_plans_are_refused() -> None:
    with pytest.raises(TypeError, match="PlanContext needs an environment with text observations, got Box"):
        PlanContext(gym.make("CartPole-v1"))
    env = PlanContext(gym.make(REFUND), lambda plan, messages, start: "a plan")  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="a planner must give a Plan, got str"):
        env.reset(seed=1)
