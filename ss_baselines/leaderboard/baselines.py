"""The agents that this package brings, as rows of a leaderboard."""

from __future__ import annotations

from collections.abc import Mapping

from ss_baselines.leaderboard.submission import AgentCard

SCRIPTED: Mapping[str, AgentCard] = {
    card.name: card
    for card in (
        AgentCard("reference", "control", "Follows the policy from observations alone: what is possible."),
        AgentCard("rule_bot", "scripted", "Follows the rules, but has no branch for customers off the beaten path."),
        AgentCard(
            "demonstrator", "scripted", "A clerk who speaks briefly and goes wrong where the policy is inconvenient."
        ),
        AgentCard("silent", "control", "Says nothing."),
        AgentCard("instant_closer", "control", "Ends the conversation at once."),
        AgentCard("random_tools", "control", "Calls random tools with values that it has seen."),
        AgentCard(
            "keyword_stuffer", "control", "Says every keyword there is, after verification and reading the order."
        ),
        AgentCard("data_dumper", "control", "Reads everything and pastes the tools' output to the customer."),
        AgentCard("always_grant", "control", "Grants whatever is asked for, with verification, consent and thanks."),
        AgentCard("always_refuse", "control", "Refuses every customer, well read and with a reason."),
        AgentCard("always_transfer", "control", "Hands every customer to a colleague."),
        AgentCard(
            "ground_fisher", "control", "Refuses for every reason in turn, and stays with the one that is not disputed."
        ),
    )
}
"""Those that read no policy and learnt nothing."""

SHOWN = ("reference", "silent", "keyword_stuffer", "always_grant")
"""The rows that every board has: what is possible, and what a suite that can be fooled would rank high."""


def tiny_card(name: str = "tiny") -> AgentCard:
    """The shipped model as it is."""
    return AgentCard(
        name,
        "model",
        "The shipped model of 0.87 M parameters, cloned from an imperfect clerk's refunds: where training begins.",
        model="tiny",
        prompt="compact",
        trained_on_env=True,
    )
