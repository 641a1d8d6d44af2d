"""A trained agent as a service: keys, limits, the official client, and tools that run on the shop's database.

    pip install 'stateset-gym[train,serve,openai]'
    python docs/examples/production_ready_customer_service.py --checkpoint outputs/complete/best

The checkpoint is that of `complete_grpo_training.py`; `stateset-agents serve` is the same as a command. `handle` is
what a shop runs beside it, here with the environment's customers. It prints how each conversation ended; half a minute.
"""

import argparse
import asyncio

import gymnasium as gym
import openai

from ss_gym import load_agent_from_checkpoint
from ss_gym.serving.access import ApiKeys
from ss_gym.serving.chat_desk import ChatLimits
from ss_gym.serving.chat_service import chat_service
from ss_gym.serving.server import served
from ss_trainers.chat import written_action

KEY = "a-key-for-the-shop"  # ApiKeys.read takes keys from a file or a variable
LIMITS = ChatLimits(per_key=8, completion_tokens=256, seconds=60.0)


def handle(client: openai.OpenAI, number: int) -> str:
    """A conversation with a customer; says how it ended."""
    with gym.make("StateSet/Refund-v0", prompt="compact") as env:
        _, info = env.reset(options={"scenario_id": f"refund/dev/{number:04d}"})
        messages, tools = [{"role": "system", "content": info["system_prompt"]}, *info["messages"]], info["tools"]
        while "success" not in info:
            answer = client.chat.completions.create(model="clerk", messages=messages, tools=tools, temperature=0)
            own = answer.choices[0].message.model_dump(exclude_none=True)
            *_, info = env.step(written_action(own))  # runs the calls, or says the words to the customer
            for call, result in zip(own.get("tool_calls", ()), info["messages"][1:], strict=False):
                result["tool_call_id"] = call["id"]  # that of the service
            messages += [own, *info["messages"][1:]]
    return f"customer {number}: {'done' if info['success'] else 'not done'} after {info['step']} steps"


def main() -> None:
    """Serves, and handles some customers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checkpoint", default="outputs/complete/best")
    parser.add_argument("--customers", type=int, default=6)
    options = parser.parse_args()
    agent = asyncio.run(load_agent_from_checkpoint(options.checkpoint))
    with served(chat_service(agent, "clerk", LIMITS, ApiKeys([KEY]))) as address:
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="stolen")
        try:
            client.models.list()
        except openai.AuthenticationError as error:
            print("a stranger:", error)
        client.api_key = KEY
        print(*(handle(client, number) for number in range(options.customers)), sep="\n")


if __name__ == "__main__":
    main()
