"""Rewards of one's own: plain and asynchronous ones, their sum, and the battery of exploits that they must pass.

    python docs/examples/custom_reward.py

It prints what two replies are worth, and what the battery says of a reward that counts nice words (exploits beat the
honest reply) and of the sum, in which they count only as far as the reply helps. A few seconds, no torch.
"""

import asyncio

import gymnasium as gym

from ss_gym import CompositeReward, ConversationTurn, HelpfulnessReward, RewardFunction, SafetyReward, reward_function
from ss_gym.testing import check_reward
from ss_gym.wrappers import RewardWrapper

HELPFULNESS = HelpfulnessReward()


@reward_function(weight=0.5)
def courtesy(turns, context=None) -> float:
    """How many nice words there are, up to three."""
    said = " ".join(turn.content.lower() for turn in turns if turn.role == "assistant")
    return min(1.0, sum(said.count(word) for word in ("please", "thank", "welcome", "sorry")) / 3)


@reward_function(weight=0.3)
async def courteous_help(turns, context=None) -> float:
    """The same, as far as the reply helps; it may wait for a model or a service meanwhile."""
    await asyncio.sleep(0)
    return HELPFULNESS.compute(turns, context).score * (0.8 + 0.2 * courtesy.compute(turns).score)


def checked(reward: RewardFunction) -> str:
    """What the battery says."""
    try:
        check_reward(reward)
    except AssertionError as error:
        return f"refused: {str(error).partition(' under ')[0]}"
    return "passed"


def main() -> None:
    """Compares, and checks."""
    question = ConversationTurn("user", "How long do I have to send the shoes back?")
    policy = {"system_prompt": "Shoes may be sent back within 30 days of delivery."}
    reward = CompositeReward([HelpfulnessReward(weight=0.5), SafetyReward(weight=0.2), courteous_help])
    for reply in ("You have 30 days from delivery.", "Please, thank you, welcome, sorry!"):
        result = reward.compute([question, ConversationTurn("assistant", reply)], policy)
        parts = ", ".join(f"{name} {score:.2f}" for name, score in result.breakdown.items())
        print(f"{result.score:.2f} = {parts}: {reply}")
    print(*(f"{one.name}: {checked(one)}" for one in (courtesy, reward)), sep="\n")
    env = RewardWrapper(gym.make("StateSet/Refund-v0"), reward)  # added to the last reward of an episode
    env.reset(seed=7)
    *_, info = env.step('<tool_call>{"name": "end_conversation", "arguments": {}}</tool_call>')
    print("terms in an environment:", {name: round(value, 2) for name, value in info["reward_terms"].items() if value})


if __name__ == "__main__":
    main()
