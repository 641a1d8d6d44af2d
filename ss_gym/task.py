"""Tasks from a list of one's own: a goal, tools if wanted, and a criterion of success."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar, TypeAlias

from ss_gym.actions import action_message
from ss_gym.asynchronous import settled
from ss_gym.entries import Entries, chosen, read_entries, text_of, texts_of
from ss_gym.environment import Conclusion, Opening, Response, TextEnvironment
from ss_gym.rewards.function import turns_of
from ss_gym.scenario_files import folder
from ss_gym.spelling import nearest
from ss_gym.tools import Toolkit, toolkit_of
from ss_gym.types import ConversationTurn, Message, ParsedAction, user_message
from ss_gym.vector import TextVectorEnv, make_vector

Turns: TypeAlias = Sequence[ConversationTurn]
Criterion: TypeAlias = Callable[[Turns, Mapping[str, Any]], bool | Awaitable[bool]]
Tools: TypeAlias = Sequence[Callable[..., Any]] | type[Toolkit] | Callable[[Mapping[str, Any]], Toolkit]

_NOT_YET = "That is not it yet."


def says_answer(turns: Turns, context: Mapping[str, Any]) -> bool:
    """Whether the agent's last words hold the task's ``answer``, whatever the case.

    An answer stands by itself: 4 is not in "42", "4.5", "-4", "3/4" or "x4". A task whose ``wrong`` lists other
    answers is not solved by words that hold one of them too: without them, naming many answers is enough.
    """
    said, wrong = _last_words(turns), [str(value) for value in context.get("wrong", ())]
    return _holds(said, str(context["answer"])) and not any(_holds(said, value) for value in wrong)


def gives_answer(turns: Turns, context: Mapping[str, Any]) -> bool:
    """Whether the agent's last words are the task's ``answer`` and nothing else, whatever the case."""
    return _last_words(turns).strip() == str(context["answer"]).strip().lower()


CRITERIA: Mapping[str, Criterion] = {"says_answer": says_answer, "gives_answer": gives_answer}


class TaskEnvironment(TextEnvironment):
    """A task that is done or not: the user names a goal, the agent uses tools and answers.

    After each reply the criterion is asked. If it holds, the task is done; otherwise the user says the
    next of the task's ``user_responses``, or that it is not it yet. A tool of the kind ``"end"`` ends
    the episode, done or not. Success is worth 1, on the last step; a task that is cut is not done.

    >>> env = TaskEnvironment([{"id": "sum", "goal": "What is 17 + 25?", "answer": 42}])
    >>> env.reset(seed=1)[0]
    'What is 17 + 25?'
    >>> env.step("420")[:4]
    ('That is not it yet.', 0.0, False, False)
    >>> env.step("It is 42.")[:4]
    ('', 1.0, True, False)

    Args:
        tasks: mappings with ``id`` and ``goal`` and, if wanted, ``context`` (a part of the system
            prompt), ``user_responses``, and whatever the criterion reads; or a file of them, see
            ``ss_gym.entries``. Some examples by default.
        success_criteria: takes the turns and a mapping with the task's fields and ``toolkit``, and gives
            whether the task is done, or an awaitable of that; or the name of one in ``CRITERIA``.
        tools: functions (see ``ss_gym.toolkit_of``), a ``Toolkit`` class, which is made anew for each
            episode, or a function that makes a toolkit for a task.
        max_turns: replies before the episode is cut.
        max_steps: actions of any kind before it is cut.
        max_action_chars: a longer action is an error of the agent.
        render_mode: ``human``, ``ansi`` or None.

    Reset options: ``scenario_id``, the id of a task; by default the seed chooses.

    Raises:
        ValueError: if the tasks are not of that form, or there is no criterion of that name.
        TypeError: if the criterion is no function, or the tools are none.
        Exception: from ``step``, what a tool raises other than ``ToolError``, and what the criterion raises.
    """

    option_names: ClassVar[frozenset[str]] = frozenset({"scenario_id"})
    term_names: frozenset[str] = frozenset({"success"})

    def __init__(
        self,
        tasks: Entries | None = None,
        success_criteria: Criterion | str = "says_answer",
        tools: Tools = (),
        max_turns: int = 6,
        max_steps: int = 40,
        max_action_chars: int = 20_000,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            max_turns=max_turns, max_steps=max_steps, max_action_chars=max_action_chars, render_mode=render_mode
        )
        self.tasks = read_tasks(tasks)
        if tasks is not None:
            self._built_from(tasks, list(self.tasks.values()))
        self._is_done = _criterion(success_criteria, self.tasks)
        self._make_toolkit = _maker(tools)

    def begin(self, seed: int, options: Mapping[str, Any]) -> Opening:
        """Choose a task; the user names its goal."""
        # What tools and criteria do to it ends with the episode.
        self._task = deepcopy(chosen(self.tasks, seed, options, "task"))
        self._toolkit = self._make_toolkit(self._task)
        self._lines = iter(self._task.get("user_responses", ()))
        self._success = False
        limits = f"You may reply {self.max_turns} times and act {self.max_steps} times in all."
        return Opening(
            messages=(user_message(self._task["goal"]),),
            system_prompt="\n\n".join(filter(None, [self._task.get("context", ""), limits])),
            tools=self._toolkit.schemas,
            info={"scenario_id": self._task["id"]},
        )

    def respond(self, action: ParsedAction) -> Response:
        """Run the tools, or ask the criterion and let the user answer."""
        if action.tool_calls:
            return self._run(action)
        self._success = self._asked(action, ())
        if self._success:
            return Response(ended=True)
        return Response((user_message(next(self._lines, _NOT_YET)),))

    def conclude(self, truncated: bool) -> Conclusion:
        """A task that was cut is not done."""
        success = self._success and not truncated
        return Conclusion({"success": float(success)}, success)

    def _run(self, action: ParsedAction) -> Response:
        results: list[Message] = []
        ended = False
        for call in action.tool_calls:
            result = self._toolkit.call(call)
            results.append({"role": "tool", "tool_call_id": call.id, "content": result.content})
            tool = self._toolkit.tools.get(call.name)
            if result.ok and tool is not None and tool.kind == "end":
                ended, self._success = True, self._asked(action, results)
                break
        return Response(tuple(results), ended=ended)

    def _asked(self, action: ParsedAction, results: Sequence[Message]) -> bool:
        """What the criterion says, the action and its results included."""
        turns = turns_of([*self.messages, action_message(action), *results])
        return bool(settled(self._is_done(turns, {**self._task, "toolkit": self._toolkit})))


def make_tasks(num_envs: int = 1, **kwargs: Any) -> TextVectorEnv:
    """The vector entry point of ``StateSet/Task-v0``; see ``ss_gym.vector.make_vector``."""
    return make_vector(num_envs, environment="ss_gym.task:TaskEnvironment", **kwargs)


def read_tasks(source: Entries | None = None) -> dict[str, dict[str, Any]]:
    """Tasks by id from a list or a file, checked; the examples of this package if None.

    Raises:
        ValueError: if they are not of the form that ``TaskEnvironment`` describes.
        OSError: if the file can't be read.
    """
    tasks = {}
    for place, entry in read_entries(folder() / "task" / "examples.yaml" if source is None else source, "tasks"):
        if not text_of(entry, "goal", place):
            raise ValueError(f"{place}.goal: the user needs something to ask for")
        text_of(entry, "context", place)
        texts_of(entry, "user_responses", place)
        if "toolkit" in entry:
            raise ValueError(f"{place}.toolkit: that is where the criterion finds the tools; call the field otherwise")
        tasks[str(entry["id"])] = deepcopy(dict(entry))
    return tasks


def _criterion(given: Criterion | str, tasks: Mapping[str, Mapping[str, Any]]) -> Criterion:
    if not isinstance(given, str):
        _check_callable(given)
        return given
    if given not in CRITERIA:
        raise ValueError(f"no criterion is called {given!r}; {nearest(given, CRITERIA)}")
    for name, task in tasks.items():
        answer = task.get("answer")
        if isinstance(answer, bool) or not isinstance(answer, str | int | float) or not str(answer).strip():
            raise ValueError(f"the task {name!r} has no answer that is a text or a number, for {given} to compare with")
        if not isinstance(task.get("wrong", []), list | tuple):
            raise ValueError(f"the task {name!r}: wrong must be a list of answers, got {task['wrong']!r:.80}")
    return CRITERIA[given]


def _check_callable(criterion: Any) -> None:
    if not callable(criterion):
        raise TypeError(f"success_criteria must be a function or the name of one, got {criterion!r:.80}")


def _maker(tools: Tools) -> Callable[[Mapping[str, Any]], Toolkit]:
    """What gives each episode a toolkit of its own."""
    if isinstance(tools, type) or not callable(tools):
        kind = tools if isinstance(tools, type) else toolkit_of(tools)
        if not issubclass(kind, Toolkit):
            raise TypeError(f"tools must be a list of functions or a Toolkit, got {kind.__name__}")
        return lambda task: kind()

    def made(task: Mapping[str, Any]) -> Toolkit:
        toolkit: Any = tools(task)
        if not isinstance(toolkit, Toolkit):
            given = getattr(tools, "__name__", "the function")
            raise TypeError(f"{given} made no Toolkit of a task: if it is a tool itself, pass a list, tools=[{given}]")
        return toolkit

    return made


def _last_words(turns: Turns) -> str:
    """What the agent said last to the user, in lower case; text beside a tool call is said to nobody."""
    said = (turn.content for turn in reversed(turns) if turn.role == "assistant" and not turn.tool_calls)
    return next(said, "").lower()


def _holds(text: str, answer: str) -> bool:
    """Whether an answer stands in a text by itself."""
    return re.search(rf"(?<![\w−/.-])(?<!\d[.,]){re.escape(answer.strip().lower())}(?!\w|[.,]\d)", text) is not None
