"""The plans of an agent's conversations: made, followed, changed as the caller says, and shown to the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ss_gym.agents.conversation import Conversation, content_of
from ss_gym.agents.planners import HeuristicPlanner, ModelPlanner, Planner
from ss_gym.agents.planning import Plan, PlanningConfig, PlanStore
from ss_gym.spelling import nearest
from ss_gym.types import Message

# The keys of a context that are about plans; ``goal`` may mean something else to others.
_OWN_KEYS = ("plan_update", "plan_goal")
# What each action of a plan_update may say besides.
_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "advance": (),
    "complete": ("step",),
    "fail": ("step",),
    "skip": ("step",),
    "add": ("steps",),
    "replan": ("goal", "steps"),
}
_ENDS = {"advance": Plan.complete, "complete": Plan.complete, "fail": Plan.fail, "skip": Plan.skip}


class PlanKeeper:
    """Keeps a plan for each conversation of an agent.

    Args:
        config: how plans are made, shown and kept.
        ask: gives the model's answer to some messages; for plans that the model makes.
        trims: whether the agent leaves out what was said earlier, so that the plan must be told again.
        clock: of the plans' time to live; gives seconds and never goes back.
    """

    def __init__(
        self,
        config: PlanningConfig,
        ask: Callable[[Sequence[Message]], str],
        trims: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        heuristic = HeuristicPlanner(config.max_steps)
        self._planner: Planner = ModelPlanner(ask, heuristic) if config.planner == "model" else heuristic
        self._max_steps, self._show = config.max_steps, config.show
        self._repeats = trims or config.show != "changes"
        self._plans = PlanStore(config.max_plans, config.time_to_live, clock)

    def plan(self, key: str) -> Plan | None:
        """The plan of a conversation, as it was kept last."""
        return self._plans.get(key)

    def keep(self, key: str, plan: Plan) -> None:
        """Keeps the plan of a conversation."""
        self._plans.put(key, plan)

    def told(self, key: str, conversation: Conversation, context: Mapping[str, Any]) -> Plan:
        """The plan of a conversation now, of which its last message tells from now on; it is not kept yet.

        Args:
            key: the conversation's.
            conversation: ends with the message that is to be answered.
            context: may set ``goal``, ``plan_goal`` and ``plan_update``.

        Raises:
            ValueError: if one of these can't be meant.
        """
        goal, changed = _goal(context, "goal"), _goal(context, "plan_goal")
        update = _update(context)
        messages = [message for message in conversation.unamended if message["role"] != "system"]
        before = self._plans.get(key)
        if before is None:
            before = plan = self._planner(Plan(changed or goal), messages, 0)
        else:
            plan = self._planner(before, messages, _first_new(conversation))
        if update:
            plan = self._updated(before, plan, update, messages)
        if changed and Plan(changed).goal != plan.goal:
            plan = self._replanned(plan, changed, messages)
        self._tell(conversation, plan)
        return plan

    def _updated(self, before: Plan, plan: Plan, update: Mapping[str, Any], messages: Sequence[Message]) -> Plan:
        """A plan after what the caller says of it, who knows it as it was before the last words."""
        action = update["action"]
        if action == "add":
            return plan.add(update.get("steps", ()), self._max_steps)
        if action == "replan":
            if steps := update.get("steps"):
                return plan.replan(steps, update.get("goal"), self._max_steps)
            return self._replanned(plan, update.get("goal", plan.goal), messages)
        number = update.get("step", before.current)
        if number is None:
            return plan
        end = _ENDS[action]
        meant = end(before, number).steps[number - 1].text
        # It may have ended meanwhile, and have been left out.
        place = next((place for place, step in enumerate(plan.steps, 1) if step.text == meant), None)
        return plan if place is None else end(plan, place)

    def _replanned(self, plan: Plan, goal: str, messages: Sequence[Message]) -> Plan:
        """A plan whose pending steps are made anew."""
        fresh = self._planner(Plan(goal), messages, 0)
        ended = {step.text for step in plan.steps if step.status != "pending"}
        steps = [step.text for step in fresh.steps if step.status == "pending" and step.text not in ended]
        return plan.replan(steps, goal, self._max_steps)

    def _tell(self, conversation: Conversation, plan: Plan) -> None:
        """Adds the plan to the message that is to be answered, where it is to be shown."""
        place, text = len(conversation) - 1, plan.text()
        speaks = conversation[place]["role"] == "user"
        # An answer that was broken off has left it there already.
        if not text or place in conversation.originals or not (speaks or self._show == "steps"):
            return
        last = max(conversation.originals, default=None)
        known = last is not None and content_of(conversation[last]).endswith(text)
        if self._repeats or not known:
            conversation.amend(text)


def check_context(context: Mapping[str, Any], key: str, plans: bool) -> None:
    """Refuses words about a plan where there can be none.

    Args:
        context: of a call.
        key: the conversation's id; empty if it has none.
        plans: whether the agent plans.

    Raises:
        ValueError: if the agent does not plan, or the conversation has no id.
    """
    names = [name for name in (*_OWN_KEYS, *(("goal",) if plans else ())) if context.get(name) is not None]
    if names and not plans:
        raise ValueError(
            f"the context has {names[0]!r}, but the agent does not plan: make it with AgentConfig(enable_planning=True)"
        )
    if names and not key:
        raise ValueError(
            f"the context has {names[0]!r}, but no 'conversation_id': a plan is kept for a conversation that has one"
        )


def _goal(context: Mapping[str, Any], name: str) -> str:
    goal = context.get(name)
    if goal is not None and (not isinstance(goal, str) or not goal.strip()):
        raise ValueError(f"the context's {name!r} must be a text that says what is to be reached, got {goal!r:.80}")
    return goal or ""


def _update(context: Mapping[str, Any]) -> Mapping[str, Any]:
    """The context's ``plan_update``, checked; empty if there is none."""
    update = context.get("plan_update")
    if update is None:
        return {}
    if not isinstance(update, Mapping) or "action" not in update:
        raise ValueError(f"plan_update is a mapping such as {{'action': 'advance'}}, got {update!r:.80}")
    action = update["action"]
    if not isinstance(action, str) or action not in _ACTIONS:
        raise ValueError(f"plan_update has no action {action!r:.80}; {nearest(action, _ACTIONS.keys())}")
    for name in update:
        if name != "action" and name not in _ACTIONS[action]:
            hint = nearest(name, _ACTIONS[action]) if _ACTIONS[action] else "it takes nothing besides"
            raise ValueError(f"plan_update: the action {action!r} does not take {name!r:.80}; {hint}")
    steps = update.get("steps", ())
    if isinstance(steps, str) or not isinstance(steps, Sequence) or not all(isinstance(step, str) for step in steps):
        raise ValueError(f"plan_update: steps must be a list of texts, got {steps!r:.80}")
    if action == "add" and not steps:
        raise ValueError("plan_update: the action 'add' needs 'steps', a list of texts")
    _goal(update, "goal")
    return update


def _first_new(conversation: Conversation) -> int:
    """Where what was said and done since the plan was followed last begins, of the messages but the system's.

    That is the agent's last answer, with the calls that it made by itself before it.
    """
    own = (place for place in range(len(conversation) - 1, -1, -1) if conversation[place]["role"] == "assistant")
    first = next((place for place in own if place not in conversation.hidden), 0)
    while first - 1 in conversation.hidden:
        first -= 1
    return sum(message["role"] != "system" for message in conversation[:first])
