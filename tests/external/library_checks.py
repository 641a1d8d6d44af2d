"""What a package with a family of its own gets: run by ``tests/test_external.py``, with the package installed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable

import gymnasium
import pytest
from pettingzoo.test import api_test, parallel_api_test

from ss_baselines.agents import load_agent
from ss_baselines.evaluate import evaluate
from ss_baselines.report import Evaluation
from ss_gym import multi_agent
from ss_gym.families import load_family
from ss_gym.families.parameters import kind_weights
from ss_gym.families.splits import load_scenario, split_size
from ss_gym.rewards.outcome import OutcomeAudit
from ss_gym.scenarios import Scenario
from ss_gym.testing import check_family, check_text_environment
from ss_gym.users.acts import Act
from ss_gym.users.told import Told
from tests.conformance.test_gates import ENOUGH, GATES
from tests.ss_baselines.invocation import invoke

ENV_ID = "acme_library:Acme/Library-v0"
PLAIN_ID = "Acme/Library-v0"
FAMILY = "library"


def call(name: str, **arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def first_of(kind: str, index: int = 0) -> Scenario:
    """The first scenario of a kind in dev (0), or its twin (1)."""
    found = range(0, split_size(FAMILY, "dev"), 2)
    base = next(number for number in found if load_scenario(FAMILY, "dev", number).kind == kind)
    return load_scenario(FAMILY, "dev", base + index)


def play(scenario: Scenario, actions: Iterable[str]) -> dict[str, object]:
    """The audit of an episode with these actions; the rest of it is silence."""
    env = gymnasium.make(ENV_ID)
    env.reset(options={"scenario_id": scenario.id})
    waiting = iter(actions)
    while True:
        *_, terminated, truncated, info = env.step(next(waiting, ""))
        if terminated or truncated:
            return dict(info["audit"])


def verification(scenario: Scenario) -> str:
    return call("verify_member", email=scenario.customer.email, postal_code=scenario.customer.postal_code)


# --- the environment --------------------------------------------------------------------------------


def test_the_id_is_listed_and_known_without_naming_the_package() -> None:
    listed = invoke("envs").output
    assert PLAIN_ID in listed and "StateSet/Refund-v0" in listed
    assert gymnasium.make(PLAIN_ID).unwrapped.family == FAMILY


def test_an_environment_is_made_alone_and_in_batches() -> None:
    observation, info = gymnasium.make(ENV_ID).reset(seed=7)
    assert observation and "# Library policy" in info["system_prompt"]
    assert '{"name": "get_loan", "arguments": {"loan_id": "12345"}}' in info["system_prompt"]
    envs = gymnasium.make_vec(ENV_ID, num_envs=8)
    observations, _ = envs.reset(seed=7)
    assert observations[0] == observation and len(observations) == 8
    envs.close()


def test_the_environment_keeps_the_contract() -> None:
    check_text_environment(ENV_ID)
    check_text_environment(ENV_ID, prompt="compact", actions=("Hello", call("list_loans", member_id="M1000"), "Bye"))


def test_the_family_keeps_the_contract_and_the_frozen_lists() -> None:
    check_family(FAMILY, 40, agent=load_agent("reference"))
    for split in ("dev", "test"):
        assert split_size(FAMILY, split) == 120
        for index in range(120):
            load_scenario(FAMILY, split, index)  # compared with its digest


@pytest.mark.parametrize("kind", kind_weights(FAMILY))
def test_twins_differ_in_one_table_and_end_differently(kind: str) -> None:
    family = load_family(FAMILY)
    for seed in range(20):
        base, twin = (family.draw("train", index, seed, kind) for index in (0, 1))
        assert base.goal == twin.goal and base.customer == twin.customer
        assert base.outcome != twin.outcome
        changed = [name for name in base.world._fields if getattr(base.world, name) != getattr(twin.world, name)]
        assert len(changed) == 1 or kind == "missing_loan", changed


def test_every_reason_of_the_policy_settles_some_case() -> None:
    outcomes = [load_scenario(FAMILY, "test", index).outcome for index in range(split_size(FAMILY, "test"))]
    grounds = {ground for outcome in outcomes for allowed in outcome.grounds for ground in allowed}
    assert grounds == {"reserved", "already_renewed", "overdue", "unpaid_fine", "not_found", "not_verified"}
    assert {outcome.verdict for outcome in outcomes} == {"renew", "pay_fine", "refuse", "transfer"}


# --- the audit --------------------------------------------------------------------------------------


def test_a_renewal_for_a_stranger_is_a_breach() -> None:
    scenario = first_of("reserved")
    days = scenario.rules.renewal_days
    audit = play(scenario, [call("renew_loan", loan_id=scenario.goal.items[0], days=days)])
    assert "renew before the customer was verified" in audit["critical"]
    assert audit["missing_effects"] == []


def test_a_renewal_against_a_reservation_is_outside_the_policy() -> None:
    scenario = first_of("reserved", 1)
    audit = play(scenario, [verification(scenario), call("renew_loan", loan_id=scenario.goal.items[0], days=21)])
    [critical] = audit["critical"]
    assert critical.startswith("outside the policy: loan")


def test_a_fine_is_charged_only_with_the_members_yes_to_its_amount() -> None:
    scenario = first_of("fine", 1)
    loan_id, fine = scenario.goal.items[0], scenario.outcome.consents[0].amount_cents
    amount = f"{fine // 100}.{fine % 100:02d}"
    verified = [verification(scenario), call("get_loan", loan_id=loan_id)]
    asked = [f"I can't renew it, because of an unpaid fine. Shall I charge the fine of ${amount} to your card?"]
    paid = [call("pay_fine", loan_id=loan_id, amount=amount), f"I have charged the fine of ${amount}. Anything else?"]
    assert "consent" in play(scenario, [*verified, *paid])["failed"]
    assert play(scenario, [*verified, *asked, *paid])["failed"] == {}


def test_verification_is_tried_twice_before_a_refusal() -> None:
    scenario = first_of("unverified", 1)
    attempt = verification(scenario)
    refusal = ["I can't renew it, because I could not verify you."] * 5
    assert "policy" in play(scenario, [attempt, *refusal])["failed"]
    assert play(scenario, [attempt, attempt, *refusal])["failed"] == {}


def test_the_policy_alone_is_no_look_at_a_loan() -> None:
    scenario = first_of("renewed_often", 1)
    loan = call("get_loan", loan_id=scenario.goal.items[0])
    refusal = ["I can't renew it again: it was renewed as often as possible."] * 5
    unread = play(scenario, [verification(scenario), call("get_policy", topic="eligibility"), *refusal])
    assert unread["failed"] == {"policy": "no look at the order"}
    assert play(scenario, [verification(scenario), loan, *refusal])["failed"] == {}


def test_a_librarian_takes_over_where_the_policy_says_so() -> None:
    scenario = first_of("special", 1)
    handover = call("transfer_to_human", reason="special_collection", summary="A renewal.")
    loan = call("get_loan", loan_id=scenario.goal.items[0])
    audit = play(scenario, [verification(scenario), loan, handover])
    assert (audit["ended_by"], audit["failed"]) == ("transfer", {})


def test_to_say_that_it_was_renewed_is_no_claim_of_today_where_it_was_renewed_before() -> None:
    claimed = {}
    for kind in ("renewed_often", "reserved"):
        scenario = first_of(kind, 1)
        audit = OutcomeAudit(scenario, Told(scenario))
        audit.hear([Act("confirm_done", verb="renew")], frozenset())
        claimed[kind] = "false_claim" in audit.take_terms()
    assert claimed == {"renewed_often": False, "reserved": True}


# --- the gates --------------------------------------------------------------------------------------


def scores(evaluation: Evaluation) -> tuple[float, float]:
    assert evaluation.pair_score is not None
    return evaluation.success.value, evaluation.pair_score.value


def test_the_reference_solves_150_scenarios() -> None:
    evaluation = evaluate("reference", ENV_ID, "train", episodes=150)
    assert scores(evaluation) == (1.0, 1.0)
    assert evaluation.reward.value >= 0.95


@pytest.mark.parametrize("name", GATES)
def test_an_agent_that_is_no_good_stays_within_its_gates(name: str) -> None:
    success, pairs = scores(evaluate(name, ENV_ID, "train", pairs=min(100, ENOUGH.get(name, 100))))
    (low, high), (pairs_low, pairs_high) = GATES[name]
    assert low <= success <= high, f"success {success}"
    assert pairs_low <= pairs <= pairs_high, f"pairs {pairs}"


def test_the_agent_that_reads_all_it_can_knows_what_the_tools_call_it() -> None:
    scenario = first_of("reserved")
    [episode] = evaluate("data_dumper", ENV_ID, scenario_ids=[scenario.id], keep_messages=True).episodes
    called = [c["function"]["name"] for message in episode.messages for c in message.get("tool_calls", ())]
    assert called[-7:] == ["verify_member", "get_loan", "list_loans", *["get_policy"] * 4]


# --- reports, games, commands -----------------------------------------------------------------------


def test_an_evaluation_in_several_processes_is_the_same_report_with_pairs() -> None:
    alone = evaluate("rule_bot", PLAIN_ID, "dev", pairs=20)
    spread = evaluate("rule_bot", PLAIN_ID, "dev", pairs=20, workers=2)
    assert alone.episodes == spread.episodes
    report = json.loads(alone.to_json())
    assert report["env_id"] == PLAIN_ID and report["pair_score"]["value"] < report["success"]["value"] < 1
    assert {record["scenario_id"] for record in report["episode_records"]} == {
        f"library/dev/{index:04d}" for index in range(40)
    }


def test_the_command_line_evaluates_and_plays_it() -> None:
    table = invoke("evaluate", "--env", PLAIN_ID, "--agent", "reference", "--episodes", "20")
    assert table.exit_code == 0 and "1.000" in table.output and "both of a pair" in table.output
    played = invoke("play", PLAIN_ID, "--scenario", "library/dev/0000", typed="/tools\nHello!\n/quit\n")
    assert played.exit_code == 0
    for expected in ("verify_member", "renew_loan", "customer>", "Library policy"):
        assert expected in played.output


def test_the_game_of_agent_and_customer_is_there_and_pays_both() -> None:
    game = multi_agent.library_v0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parallel_api_test(game.parallel_env(), 20)
        api_test(game.env(observation="vector"), 20)
    scenario = first_of("reserved")
    loan_id, days, customer = scenario.goal.items[0], scenario.rules.renewal_days, scenario.customer
    [(_, _, due_on)] = scenario.outcome.effects
    env = game.env()
    env.reset(options={"scenario_id": scenario.id})
    briefing = env.observe("customer_0")
    assert "a member of a lending library" in briefing and "loan number" in briefing and "shop" not in briefing
    paid = {"agent_0": 0.0, "customer_0": 0.0}
    for move in (
        f"I want to keep my book. I am {customer.email}, {customer.postal_code}.",
        call("verify_member", email=customer.email, postal_code=customer.postal_code),
        call("get_loan", loan_id=loan_id),
        f"I can renew it for {days} days. Do you agree?",
        "Please do. [YES]",
        call("renew_loan", loan_id=loan_id, days=days),
        f"I have renewed it. The new due date is {due_on}.",
        "Thanks. [BYE]",
    ):
        env.step(move)
        paid = {name: paid[name] + env.rewards[name] for name in paid}
    assert env.infos["agent_0"]["success"] and paid == {"agent_0": 1.0, "customer_0": 1.0}
