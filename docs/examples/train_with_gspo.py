"""Training as one awaited call: GSPO, an environment of one's own lines, a reward of one's own.

    python docs/examples/train_with_gspo.py

The tiny agent, used to looking things up, learns to ask the customer instead. It prints how many of its replies ask
something, before and after, and a reply to "It came broken."; half a minute.
"""

import argparse
import asyncio

from rich.console import Console

from ss_gym import AgentConfig, ConversationEnvironment, MultiTurnAgent, reward_function
from ss_trainers import GSPOConfig, get_config_for_task, train_with_gspo

LINES = ["Hello, I want my money back for my lamp.", "It came broken.", "Yes, that is right."]
SCENARIO = {"id": "lamp", "topic": "refunds", "context": "Broken goods are refunded.", "user_responses": LINES}


@reward_function(weight=1.0)
def asks(turns, context=None) -> float:
    """The share of the agent's replies that are a question in at most twenty words."""
    replies = [turn.content for turn in turns if turn.role == "assistant"]
    return sum(reply.endswith("?") and len(reply.split()) <= 20 for reply in replies) / len(replies)


async def played(agent: MultiTurnAgent, env: ConversationEnvironment) -> tuple[float, str]:
    """What a conversation is worth, and the agent's second reply: its words, or the tool that it called."""
    _, info = env.reset()
    messages, ended = [{"role": "system", "content": info["system_prompt"]}, *info["messages"]], False
    while not ended:
        *_, reward, terminated, truncated, info = env.step(await agent.generate_response(messages))
        messages += info["messages"]
        ended = terminated or truncated
    return reward, messages[4]["content"] or messages[4]["tool_calls"][0]["function"]["name"]


async def main() -> None:
    """Trains, and compares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--iterations", type=int, default=5)
    options = parser.parse_args()
    agent = MultiTurnAgent(AgentConfig(model_name="tiny", max_new_tokens=32))
    await agent.initialize()
    env = ConversationEnvironment([SCENARIO], reward_fn=asks)
    settings = get_config_for_task("customer_service", "tiny", max_new_tokens=32, groups_per_iteration=2)
    trained = await train_with_gspo(
        config=GSPOConfig.from_training_config(settings, num_outer_iterations=options.iterations),
        agent=agent,
        environment=env,
        console=Console(),
    )
    for name, one in (("before", agent), ("after", trained)):
        played_out = [await played(one, env) for _ in range(8)]
        print(f"{name}: {sum(reward for reward, _ in played_out) / 8:.2f}, e.g. {played_out[0][1][:90]!r}")


if __name__ == "__main__":
    asyncio.run(main())
