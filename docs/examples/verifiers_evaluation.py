"""verifiers evaluates a model behind an OpenAI-compatible address: by default the tiny agent, served here. A minute.

pip install "stateset-gym[train,serve]" verifiers
python docs/examples/verifiers_evaluation.py
python docs/examples/verifiers_evaluation.py --address http://127.0.0.1:8000/v1 --model Qwen/Qwen3-4B
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import ExitStack

import verifiers.v1 as vf

from ss_gym import AgentConfig, MultiTurnAgent
from ss_gym.interop.verifiers import load_environment
from ss_gym.serving.chat_service import chat_service
from ss_gym.serving.server import served


async def evaluated(env: vf.Env, address: str, model: str, customers: int) -> list[vf.Episode]:
    """The first customers of dev, all at once."""
    client = vf.EvalClientConfig(base_url=address, api_key_var="OPENAI_API_KEY")
    context = vf.ModelContext(model=model, client=client, sampling=vf.SamplingConfig(temperature=0.0))
    async with env.serving():
        return await asyncio.gather(*(env.run_episode(task, context) for task in env.taskset.take(customers)))


def main() -> None:
    """Evaluates, and tells how each conversation went."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--address", help="where the model is")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--customers", type=int, default=4)
    options = parser.parse_args()
    env = load_environment("StateSet/Refund-v0", split="dev", prompt="compact")
    with ExitStack() as stack:
        address = options.address
        if address is None:
            agent = MultiTurnAgent(AgentConfig(model_name="tiny"))
            asyncio.run(agent.initialize())
            address = f"{stack.enter_context(served(chat_service(agent, 'tiny')))}/v1"
        episodes = asyncio.run(evaluated(env, address, options.model, options.customers))
    for episode in episodes:
        for trace in episode.traces:
            print(f"{episode.task.data.id}: reward {trace.reward:.2f} after {trace.metrics['steps']:.0f} steps")


if __name__ == "__main__":
    main()
