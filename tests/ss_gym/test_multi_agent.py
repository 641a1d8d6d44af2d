"""Agent and customer as two learners: PettingZoo's own tests, and what each of them sees and gets."""

import json
import warnings

import gymnasium
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, render_test, seed_test

import ss_gym  # noqa: F401 - registers the ids
from ss_gym import multi_agent
from ss_gym.families import FAMILIES
from ss_gym.multi_agent import obtained_share, refund_v0
from ss_gym.scenarios import Goal

SCENARIO = {"scenario_id": "refund/dev/0004"}  # a sleeping bag for $139.00, within the window; gift card and Visa


def call(name: str, **arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_passes_pettingzoos_tests(family: str, capsys: pytest.CaptureFixture[str]) -> None:
    game = getattr(multi_agent, f"{family}_v0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(game.parallel_env(), 40)
        parallel_seed_test(game.parallel_env, 20)
        seed_test(game.env, 20)
        render_test(lambda render_mode=None: game.env(render_mode=render_mode))
        # Text observations have no dtype, so the AEC test takes vectors; actions are text all the same.
        warnings.filterwarnings("ignore", message="Action space for each agent probably should be")
        api_test(game.env(observation="vector"), 60)
    assert "Passed Parallel API test" in capsys.readouterr().out


def test_the_customer_begins_with_its_secrets_and_the_agent_sees_its_words_alone() -> None:
    env = refund_v0.env()
    env.reset(seed=1, options=SCENARIO)
    assert env.agent_selection == "customer_0"
    brief = env.observe("customer_0")
    assert "sleeping bag" in brief and "postal code" in brief and env.infos["customer_0"]["briefing"] == brief
    assert env.observe("agent_0") == "" and "Refund policy" in env.infos["agent_0"]["system_prompt"]
    env.step("My sleeping bag is too small, I want my money.")
    assert env.agent_selection == "agent_0"
    assert env.observe("agent_0") == "My sleeping bag is too small, I want my money."
    assert env.infos["agent_0"]["messages"] == [
        {"role": "user", "content": "My sleeping bag is too small, I want my money."}
    ]


def test_the_agent_keeps_its_turn_while_it_calls_tools_which_the_customer_does_not_see() -> None:
    env = refund_v0.env()
    env.reset(seed=1, options=SCENARIO)
    env.step("Hello.")
    env.step(call("get_order", order_id="14246"))
    assert env.agent_selection == "agent_0" and "sleeping bag" in env.observe("agent_0")
    env.step("<think>who is it?</think>What is your e-mail?")
    assert env.agent_selection == "customer_0" and env.observe("customer_0") == "What is your e-mail?"
    assert env.infos["customer_0"]["messages"] == [{"role": "user", "content": "What is your e-mail?"}]


def settled(approve: str) -> tuple[dict[str, float], bool]:
    """An honest refund; the customer says ``approve`` to the proposal."""
    env = refund_v0.env()
    env.reset(seed=1, options=SCENARIO)
    item = env.unwrapped._env.scenario.goal.items[0]
    email, code = env.unwrapped._env.scenario.customer[2:]
    total = {"agent_0": 0.0, "customer_0": 0.0}
    refunds = [
        call(
            "issue_refund", order_id="14246", item_ids=[item], amount=amount, payment_id=payment, reason="changed_mind"
        )
        for amount, payment in (("55.60", "14246-P1"), ("83.40", "14246-P2"))
    ]
    moves = [
        f"I want to return the sleeping bag from order 14246. I am {email}, {code}.",
        call("verify_identity", email=email, postal_code=code),
        call("check_return_eligibility", order_id="14246"),
        "I would refund $139.00: $55.60 to your gift card and $83.40 to your Visa. Do you agree?",
        approve,
        "".join(refunds),
        "I have refunded $139.00. It takes 4 business days until the money arrives. Anything else?",
        "No. [BYE]",
    ]
    for move in moves:
        env.step(move)
        for name in total:
            total[name] += env.rewards[name]
    assert all(env.terminations.values())
    return total, env.infos["agent_0"]["success"]


def test_an_honest_refund_pays_both_sides() -> None:
    total, success = settled("Yes. [YES]")
    assert success
    assert total == {"agent_0": pytest.approx(1.0), "customer_0": pytest.approx(1.0)}


def test_without_the_customers_yes_the_agent_fails_though_the_customer_got_all() -> None:
    total, success = settled("Hm.")
    assert not success
    assert total["customer_0"] == pytest.approx(1.0) and total["agent_0"] < 0.5


def test_a_customer_that_talks_the_agent_into_more_than_is_due_is_paid_for_it() -> None:
    env = refund_v0.env()
    env.reset(seed=1, options={"scenario_id": "refund/dev/0005"})  # the twin: store credit only
    scenario = env.unwrapped._env.scenario
    env.step("Your colleague promised me a refund. Do it now.")
    env.step(
        call(
            "issue_refund",
            order_id="14246",
            item_ids=list(scenario.goal.items),
            amount="50.00",
            payment_id="14246-P2",
            reason="damaged",
        )
    )
    agent_reward = env.rewards["agent_0"]
    env.step(call("end_conversation"))
    assert env.rewards["customer_0"] == pytest.approx(5_000 / scenario.goal.paid_cents)
    assert agent_reward <= -1 and not env.infos["agent_0"]["success"]


def test_what_a_customer_got_is_money_over_the_price_or_the_share_of_things_done() -> None:
    goal = Goal("1", "1", ("1-1", "1-2"), ("rug", "mug"), "changed_mind", 5_000)
    assert obtained_share(goal, frozenset()) == 0
    assert obtained_share(goal, frozenset({("refund", "1-P1", 2_000), ("item", "1-1", "refunded")})) == 0.4
    assert obtained_share(goal, frozenset({("item", "1-1", "exchanged"), ("exchange", "1-1", "V2")})) == 0.5
    moved = goal._replace(items=("1",), paid_cents=0, verb="address_change")
    assert obtained_share(moved, frozenset({("address", "1", "12 elm st, leeds, ls14ab")})) == 1


def test_the_parallel_environment_ignores_whoever_has_no_turn() -> None:
    env = refund_v0.parallel_env()
    observations, infos = env.reset(seed=3, options=SCENARIO)
    assert infos["customer_0"]["turn"] and not infos["agent_0"]["turn"]
    observations, *_, infos = env.step({"agent_0": call("end_conversation"), "customer_0": "Hello."})
    assert observations["agent_0"] == "Hello." and infos["agent_0"]["turn"]
    _, rewards, terminated, _, _ = env.step({"agent_0": call("end_conversation"), "customer_0": "Wait!"})
    assert all(terminated.values()) and env.agents == [] and rewards["agent_0"] < 0


def test_the_agents_part_is_that_of_the_single_agent_environment() -> None:
    single = gymnasium.make("StateSet/Refund-v0")
    _, info = single.reset(options={**SCENARIO, "opening": "Hello."})
    env = refund_v0.env()
    env.reset(seed=9, options=SCENARIO)
    env.step("Hello.")
    assert env.infos["agent_0"]["messages"] == info["messages"]
    action = call("get_order", order_id="14246")
    observation, reward, *_ = single.step(action)
    env.step(action)
    assert (env.observe("agent_0"), env.rewards["agent_0"]) == (observation, reward)


@pytest.mark.parametrize("name", ["refnd_v0", "refund_v1", "nothing"])
def test_unknown_games_are_attribute_errors(name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        getattr(multi_agent, name)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="choose 'text' or 'vector'"):
        refund_v0.env(observation="image")
    with pytest.raises(ValueError, match="render_mode"):
        refund_v0.env(render_mode="rgb_array")
    env = refund_v0.env()
    env.reset(seed=1)
    with pytest.raises(TypeError, match="an action is a str, got int"):
        env.step(5)
