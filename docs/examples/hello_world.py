"""Hello, world: an agent without a model in a conversation of three lines. No torch, less than a second.

    python docs/examples/hello_world.py

It prints the conversation and its reward, the share of replies that are short.
"""

import asyncio

from ss_gym import AgentConfig, ConversationEnvironment, MultiTurnAgent, reward_function

SCENARIO = {
    "id": "saturday",
    "topic": "opening hours",
    "context": "The shop opens at 9, on Saturdays at 10.",
    "user_responses": ["Hello! Are you open on Saturdays?", "When exactly?", "Thank you, see you then."],
}
REPLIES = ("Yes, we are.", "From 10 o'clock.", "You are welcome!")


@reward_function(weight=1.0)
def is_brief(turns, context=None) -> float:
    """The share of the agent's replies that have at most ten words."""
    replies = [turn.content for turn in turns if turn.role == "assistant"]
    return sum(len(reply.split()) <= 10 for reply in replies) / len(replies)


async def main() -> None:
    """Plays one episode."""
    agent = MultiTurnAgent(AgentConfig(model_name="stub://hello", stub_responses=REPLIES))
    await agent.initialize()
    env = ConversationEnvironment(scenarios=[SCENARIO], reward_fn=is_brief)
    observation, info = env.reset(seed=7)
    messages, ended = list(info["messages"]), False
    while not ended:
        print("Customer:", observation)
        reply = await agent.generate_response(messages)
        print("Agent:   ", reply)
        observation, reward, terminated, truncated, info = env.step(reply)
        messages += info["messages"]
        ended = terminated or truncated
    print(f"Reward: {reward:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
