"""Shows agents a plan of the conversation; ``ss_gym.wrappers.vector`` has it for batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from ss_gym.agents.planners import HeuristicPlanner, Planner
from ss_gym.agents.planning import Plan, Shown, check_choice, with_plan
from ss_gym.spaces import Utterance
from ss_gym.spelling import nearest
from ss_gym.types import Message
from ss_gym.wrappers.following import check_text
from ss_gym.wrappers.observation import MAX_CHARS, ConversationObservation
from ss_gym.wrappers.views import kept

_HEURISTIC = "heuristic"


class PlanView:
    """What the environment says, and below it the plan; see ``PlanContext`` for the settings."""

    class State:
        """What was said, the plan, and what of both the agent was told last.

        Args:
            plan: without steps yet.
        """

        def __init__(self, plan: Plan) -> None:
            self.plan = plan
            self.messages: list[Message] = []  # as the environment told them
            self.read = ""  # the plan as the agent has read it last
            self.text = ""
            self.told: list[Message] = []

    def __init__(self, planner: str | Planner, max_steps: int, show: Shown, goal: str) -> None:
        check_choice("show", show, get_args(Shown))
        if not isinstance(goal, str):
            raise TypeError(f"goal must be a str, got {goal!r:.80}")
        self.space = Utterance(MAX_CHARS)
        self._planner, self._show, self._goal = planner_of(planner, max_steps), show, goal

    def begin(self) -> State:
        """No plan yet."""
        return self.State(Plan(self._goal))

    def add(self, state: State, observation: Any, messages: Sequence[Message]) -> None:
        """Follows the conversation step by step, as it went."""
        told: list[Message] = []
        for message in kept(messages, include_system=False):
            if message["role"] == "assistant" and told:
                self._step(state, told)
                told = []
            told.append(message)
        plan = self._step(state, told)
        state.text = with_plan(observation, plan)[-self.space.max_length :]

    def observations(self, states: Sequence[State]) -> list[str]:
        """The text of each."""
        return [state.text for state in states]

    def facts(self, state: State) -> dict[str, Any]:
        """The plan, and the messages with it."""
        return {"messages": state.told, "plan": state.plan.as_info()}

    def _step(self, state: State, messages: Sequence[Message]) -> str:
        """Takes in what one step told; gives the plan's text if it is shown with it, else nothing."""
        start = len(state.messages)
        state.messages += messages
        plan = self._planner(state.plan, state.messages, start)
        if not isinstance(plan, Plan):
            raise TypeError(f"a planner must give a Plan, got {type(plan).__name__}")
        state.plan, state.told = plan, [dict(message) for message in messages]
        role, text = (messages[-1]["role"] if messages else ""), plan.text()
        shows = role == "user" or (role == "tool" and self._show == "steps")
        if not shows or (self._show == "changes" and text == state.read):
            return ""
        state.read = text
        state.told[-1]["content"] = with_plan(str(state.told[-1]["content"]), text)
        return text


class PlanContext(ConversationObservation):
    """Shows a plan of the conversation beside what the environment says, whatever the agent and the environment.

    The plan stands at the end of what the user says, in the observation and in the last of ``info["messages"]``, so
    that an agent that keeps its history reads it where it was shown, and nothing that was read before changes; the
    system prompt stays as it is. ``info["plan"]`` tells its ``goal``, ``status`` and ``steps`` after every step. The
    environment, its reward and its state know nothing of it: the plan follows from what was said and done.

    >>> from ss_gym import ConversationEnvironment
    >>> said = ["Refund my lamp and cancel order 5.", "And the order?"]
    >>> env = PlanContext(ConversationEnvironment([{"id": "a", "topic": "refunds", "user_responses": said}]))
    >>> print(env.reset(seed=1)[0])
    Refund my lamp and cancel order 5.
    <BLANKLINE>
    <plan>
    Goal: settle what the user asks for, one thing after the other
    1. now: Refund my lamp
    2. open: cancel order 5
    </plan>
    >>> env.step("Your lamp is refunded.")[4]["plan"]["status"]
    'active'

    Args:
        env: an environment whose observations are text; put it inside of wrappers that change them.
        planner: ``"heuristic"`` (:class:`ss_gym.agents.planners.HeuristicPlanner`), or a function from the plan so
            far, the messages so far and the place of the first new one to the plan now. At the start of an episode
            the plan has no steps.
        max_steps: most steps of a plan of the heuristic planner.
        show: ``"changes"``: when the user speaks and the plan is not as it was shown last; ``"turns"``: whenever the
            user speaks; ``"steps"``: also beside results of tools, which are then no JSON any more.
        goal: that of the plan; the planner's own if empty.

    Raises:
        TypeError: if the observations are no text, or the planner is none; from ``reset`` and ``step``, if it gives no
            plan.
        ValueError: if a setting is out of range.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        planner: str | Planner = _HEURISTIC,
        max_steps: int = 6,
        show: Shown = "changes",
        goal: str = "",
    ) -> None:
        # Not copied: a planner may hold a model.
        RecordConstructorArgs.__init__(
            self, _disable_deepcopy=True, planner=planner, max_steps=max_steps, show=show, goal=goal
        )
        check_text(env.observation_space, "observations", type(self).__name__)
        super().__init__(env, PlanView(planner, max_steps, show, goal))


def planner_of(planner: str | Planner, max_steps: int) -> Planner:
    """The planner itself, or that of a name.

    Names are those of a table, and none of modules: checkpoints name wrappers with their arguments, and nothing else
    is to be imported because one of them says so.

    Raises:
        TypeError: if it is neither a name nor a function.
        ValueError: if there is none of that name.
    """
    if callable(planner):
        return planner
    if not isinstance(planner, str):
        raise TypeError(f"a planner is 'heuristic' or a function that gives a Plan, got {planner!r:.80}")
    if planner == "model":
        raise ValueError(
            "an environment has no model that could plan: give a function, or let the agent plan "
            "(AgentConfig.enable_planning)"
        )
    if planner != _HEURISTIC:
        raise ValueError(f"there is no planner {planner!r:.80}; {nearest(planner, [_HEURISTIC])}")
    return HeuristicPlanner(max_steps)
