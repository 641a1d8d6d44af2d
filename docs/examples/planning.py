"""Plans, in an agent and around an environment; it runs in a second and needs no model.

    python docs/examples/planning.py

The stub says what it is told to say, so that the plan is all there is to see: two wishes in one message become two
steps, the question for more settles the first, the program settles one that the customer gave up, and a third wish
comes later. Then the same planner goes around an environment, for any agent.
"""

import asyncio

from ss_gym import AgentConfig, ConversationEnvironment, MultiTurnAgent
from ss_gym.wrappers import PlanContext

ANSWERS = (
    "Your lamp is refunded. Is there anything else?",
    "I'm afraid the subscription can't be cancelled before May.",
    "Order 66 comes tomorrow. Is there anything else?",
)
# What the customer says, and what the program around the agent knows about the plan by then.
TURNS = (
    ("Hi! Please refund my lamp and cancel my tea subscription.", {"goal": "a customer who stays"}),
    ("And the subscription?", {}),
    ("All right, I'll keep it. One more thing: where is order 66?", {"plan_update": {"action": "fail"}}),
)


async def talk() -> None:
    """An agent that plans: what the customer says, the plan that the model then reads, and its answer."""
    config = AgentConfig("stub://demo", stub_responses=ANSWERS, enable_planning=True, planning_config={"max_steps": 4})
    agent = MultiTurnAgent(config)
    await agent.initialize()
    history = []
    for said, context in TURNS:
        history.append({"role": "user", "content": said})
        answer = await agent.generate_response(history, {"conversation_id": "c1", **context})
        history.append({"role": "assistant", "content": answer})
        plan = agent.plan("c1")
        assert plan is not None
        print(f"Customer: {said}\n{plan.text()}\nAgent: {answer}\n")


def play() -> None:
    """The same around an environment: the observation shows the plan where it changes, the info always tells it."""
    said = [turn for turn, _ in TURNS]
    env = PlanContext(ConversationEnvironment([{"id": "a", "topic": "orders", "user_responses": said}]))
    observation, _ = env.reset(seed=1)
    print(f"Observation: {observation}\n")
    for answer in ANSWERS[:2]:
        observation, _, _, _, info = env.step(answer)
        print(f"Action: {answer}\nObservation: {observation}\nPlan: {info['plan']['status']}\n")


if __name__ == "__main__":
    asyncio.run(talk())
    play()
