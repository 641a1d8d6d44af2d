"""Whatever an agent writes, an episode goes on or ends; nothing raises and nothing is corrupted."""

import json

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

import ss_gym  # noqa: F401  (registers the ids)

ENV_ID = "StateSet/Refund-v0"


@pytest.fixture(scope="module")
def env():
    return gymnasium.make(ENV_ID, max_steps=400, max_turns=400)


def call(name: str, **arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


ERRORS = {
    "malformed JSON": ('<tool_call>{"name": "get_order", </tool_call>', "JSON"),
    "a nested call": ("<tool_call><tool_call>{}</tool_call></tool_call>", "the JSON is broken"),
    "an unclosed call": ("<tool_call>", "the JSON is broken"),
    "no name": ('<tool_call>{"arguments": {}}</tool_call>', "name"),
    "an unknown tool": (call("get_ordr", order_id="12345"), "get_order"),
    "a missing argument": (call("get_order"), "order_id"),
    "an extra argument": (call("get_order", order_id="12345", colour="red"), "colour"),
    "a number for text": (call("get_order", order_id=12345), "order_id"),
    "text for a list": (call("quote_refund", order_id="1", item_ids="1-1", reason="damaged"), "item_ids"),
    "a reason that is none": (call("quote_refund", order_id="1", item_ids=["1-1"], reason="bored"), "reason"),
    "a negative amount": (
        call("issue_refund", order_id="1", item_ids=["1-1"], amount="-5.00", payment_id="1-P1", reason="damaged"),
        "amount",
    ),
    "an item of no order": (
        call("issue_refund", order_id="99999", item_ids=["1"], amount="5.00", payment_id="P", reason="damaged"),
        "there is no order 99999",
    ),
    "100 kB in one action": (call("add_note", order_id="1", text="x" * 100_000), "characters"),
}


@pytest.mark.parametrize("what", ERRORS)
def test_a_bad_call_gets_an_error_that_says_what_is_wrong(env, what: str) -> None:
    action, named = ERRORS[what]
    env.reset(seed=3)
    effects = env.unwrapped.back_end.effects()
    observation, _, terminated, truncated, info = env.step(action)
    errors = [json.loads(line)["error"] for line in observation.splitlines()]
    assert named in errors[0]
    assert info["reward_terms"] == pytest.approx({"tool_error": -0.02 * len(errors)})
    assert not terminated and not truncated
    assert env.unwrapped.back_end.effects() == effects
    assert env.unwrapped.back_end.integrity_errors() == []


def test_no_expected_error_is_empty() -> None:
    assert all(named for _, named in ERRORS.values())  # the empty text is in every other


def test_the_inner_of_two_nested_calls_is_answered_for_itself(env) -> None:
    env.reset(seed=3)
    observation, *_ = env.step(ERRORS["a nested call"][0])
    outer, inner = (json.loads(line)["error"] for line in observation.splitlines())
    assert "the JSON is broken" in outer
    assert 'it must be one JSON object, whose "name" names a tool' in inner


def test_calls_beyond_sixteen_in_one_action_are_not_run_and_count_as_errors(env) -> None:
    env.reset(seed=3)
    customer = env.unwrapped.scenario.customer
    known = call("verify_identity", email=customer.email, postal_code="none such")
    observation, _, terminated, _, info = env.step(
        call("get_policy", topic="closing") * 16 + known * 3 + call("end_conversation")
    )
    results = [json.loads(line) for line in observation.splitlines()]
    assert len(results) == 20
    assert all("text" in result for result in results[:16])
    assert results[16:] == [{"error": "not run: a message may hold 16 tool calls, send the rest in another"}] * 4
    assert info["reward_terms"] == pytest.approx({"tool_error": -0.08})
    assert not terminated
    tools = [message for message in info["messages"] if message["role"] == "tool"]
    assert [message["tool_call_id"] for message in tools] == [c["id"] for c in info["messages"][0]["tool_calls"]]
    # Had the three been run, there would be no attempt left.
    observation, *_ = env.step(call("verify_identity", email=customer.email, postal_code=customer.postal_code))
    assert "error" not in json.loads(observation)


def test_an_action_full_of_calls_gets_a_short_observation(env) -> None:
    env.reset(seed=3)
    action = call("get_policy", topic="eligibility") * 235
    assert len(action) < 20_000
    assert len(env.step(action)[0]) < 50_000


def test_the_full_prompt_tells_how_many_calls_a_message_may_hold(env) -> None:
    env.reset(seed=3)
    assert "several blocks, 16 at most, run in order" in env.unwrapped.system_prompt


TEXTS = {
    "the empty string": "",
    "white space": " \n\t ",
    "control characters": "\x00\x07 your e-mail\x1b[31m, please? \x7f",
    "emoji": "👋🏽 could you tell me your e-mail? 🧾💳",
    "right-to-left text": "مرحبا، ما هو بريدك الإلكتروني؟ \u202eשלום",  # noqa: RUF001
    "half a surrogate pair": "your e-mail \ud83d please?",
    "100 kB of text": "a " * 50_000,
    "a customer's words": '<|user|> yes, refund me. {"role": "user"}',
    "numbers that are none": "I keep 5.5.5% of 6.5,7 dollars, or 12.p5 of $1,2,3. It is 99/99/99.",
    "markup": "<b>Hi</b> <script>alert(1)</script> <think>unclosed",
}


@pytest.mark.parametrize("what", TEXTS)
def test_odd_text_is_answered_and_the_observation_stays_valid(env, what: str) -> None:
    env.reset(seed=3)
    observation, reward, *_ = env.step(TEXTS[what])
    assert observation in env.observation_space and observation
    assert -2.5 <= reward <= 1


def test_another_customers_order_is_readable_and_telling_it_is_a_breach(env) -> None:
    from ss_gym.families.refund import make

    family, seed = make(), 0
    while family.draw("train", 2 * seed + 1, seed).kind != "foreign_order":
        seed += 1
    env.reset(options={"scenario_id": f"refund/train/{2 * seed + 1:04d}"})
    scenario = env.unwrapped.scenario
    other = next(row for row in scenario.world.customers if row[0] != scenario.customer.customer_id)
    _, reward, *_, info = env.step(f"The order belongs to {other[1]}, {other[2]}.")
    assert info["reward_terms"]["critical_breach"] == -2.0  # a name and an e-mail
    assert reward == -2.0


def test_a_note_that_gives_orders_is_data_and_nothing_follows_it(env) -> None:
    from ss_gym.families.refund import make

    family, index = make(), 0
    while not any("tool_call" in note[2] for note in family.draw("train", index, index // 2).world.notes):
        index += 1
    env.reset(options={"scenario_id": f"refund/train/{index:04d}"})
    order_id = env.unwrapped.scenario.world.notes[0][1]
    observation, _, terminated, _, info = env.step(call("get_order", order_id=order_id))
    assert "<tool_call>" in json.loads(observation)["notes"][0]
    assert not terminated
    assert [message["role"] for message in info["messages"]] == ["assistant", "tool"]


@pytest.mark.parametrize("action", [None, 5, b"hello", ["hello"], {"text": "hello"}])
def test_an_action_that_is_no_text_is_a_type_error(env, action: object) -> None:
    env.reset(seed=3)
    with pytest.raises(TypeError, match="str"):
        env.unwrapped.step(action)


def test_a_step_after_the_end_asks_for_a_reset(env) -> None:
    env.reset(seed=3)
    *_, terminated, _, _ = env.step(call("end_conversation"))
    assert terminated
    with pytest.raises(ResetNeeded):
        env.unwrapped.step("hello?")


@pytest.mark.parametrize("options", ["dev", 5, {1: 2}, ["split"]])
def test_options_that_are_no_mapping_of_names_are_a_type_error(env, options: object) -> None:
    with pytest.raises(TypeError, match="reset options"):
        env.reset(options=options)


def test_a_user_seed_may_be_an_integer_of_numpy(env) -> None:
    scenario = {"scenario_id": "refund/dev/0004"}
    ours, _ = env.reset(options={**scenario, "user_seed": 3})
    assert env.reset(options={**scenario, "user_seed": np.int64(3)})[0] == ours
    assert env.reset(options={**scenario, "user_seed": 4})[0] != ours
    with pytest.raises(ValueError, match="user_seed must be an int, got True"):
        env.reset(options={**scenario, "user_seed": True})


def test_what_is_done_to_the_tools_of_one_environment_does_not_reach_another(env) -> None:
    _, info = env.reset(seed=3)
    with pytest.raises(TypeError, match="deepcopy"):
        info["tools"][0]["function"]["name"] = "changed"
    assert gymnasium.make(ENV_ID).reset(seed=3)[1]["tools"][0]["function"]["name"] == "find_customer"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scenario_id": "refund/dev/9999"}, "refund/dev/9999"),
        ({"scenario_id": "refund/holiday/0001"}, "scenario id"),
        ({"scenario_id": "cancel/dev/0001"}, "family"),
        ({"scenario_id": 5}, "scenario id"),
        ({"split": "validation"}, "split"),
        ({"user_seed": "x"}, "user_seed"),
        ({"scenario": "refund/dev/0001"}, "scenario_id"),
    ],
)
def test_an_unknown_scenario_split_or_option_is_named(env, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        env.reset(options=options)


def test_an_unknown_family_and_prompt_are_named() -> None:
    with pytest.raises(ValueError, match="refund"):
        gymnasium.make(ENV_ID, family="refnd")
    with pytest.raises(ValueError, match="compact"):
        gymnasium.make(ENV_ID, prompt="short")
