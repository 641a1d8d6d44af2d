"""The state of a conversation as numbers, for learners that can't read."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ss_gym.dialogue.facts import number_of
from ss_gym.dialogue.menu import FamilyMenu
from ss_gym.dialogue.menu_file import FILE, ORDER_STATUSES
from ss_gym.dialogue.state import HEARD, DialogueState
from ss_gym.families import load_family
from ss_gym.scenario_files import field_error
from ss_gym.spelling import nearest

_LINE_STATUSES = ("ordered", "refunded", "credited", "exchanged", "cancelled")
_MOST = 2.0  # ratios above this are not told apart


class StateFeatures:
    """Features of a conversation of one family: flags, and what was read against the policy's limits.

    Called with a ``DialogueState`` and which choices of the menu are available, it gives a vector
    ``(len(names),)`` of numbers from 0 to 2. What is special to a family stands in its ``menu.yaml`` under
    ``features``: the ``reasons`` of a wish, the ``ratios`` of what was read to a rule, further ``flags`` (facts and
    other conditions), and the ``statuses`` of what a wish is about, and of its ``lines``, where they have others than
    orders.

    Args:
        menu: of the family.
        family: whose.

    Attributes:
        names: what each number is.
        high: the greatest that it can be.

    Raises:
        ValueError: the section is broken; names the file, the line and the field.
    """

    high = _MOST

    def __init__(self, menu: FamilyMenu, family: str) -> None:
        self._menu, self._family = menu, family
        self._reasons = menu.file.features.get("reasons", ())
        self._lines = menu.file.features.get("lines", _LINE_STATUSES)
        self._statuses = menu.file.features.get("statuses", ORDER_STATUSES)
        conditions = [condition.text for condition in menu.conditions]
        self._flags = tuple(flag for flag in menu.file.flags if flag.text not in conditions)
        self._ratios = tuple(self._ratio_of(text, family) for text in menu.file.features.get("ratios", ()))
        self.names = (
            *conditions,
            *(f"reason {reason}" for reason in self._reasons),
            *(f"order {status}" for status in self._statuses),
            *(f"item {status}" for status in self._lines),
            *(f"{name} over {rule}" for name, rule in self._ratios),
            *(f"{name} within {rule}" for name, rule in self._ratios),
            *("electronics", "several wanted", "ordinary share", "number told", "failed twice"),
            *("options", "option named", "quote over limit"),
            *(f"heard {name}" for name in HEARD),
            *(f"can {name}" for name in menu.names),
            *("replies", "steps"),
            *(flag.text for flag in self._flags),
        )

    def __reduce__(self) -> tuple[type[StateFeatures], tuple[FamilyMenu, str]]:
        """Pickles by the menu, since conditions do not."""
        return StateFeatures, (self._menu, self._family)

    def __call__(self, state: DialogueState, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """The features of a state."""
        case, order, wanted = state.case, state.case.order, state.case.wanted
        first = wanted[0] if wanted else None
        values: list[float] = list(self._menu.holds(state).values())
        values += [case.reason == reason for reason in self._reasons]
        values += [order is not None and order.status == status for status in self._statuses]
        values += [first is not None and first.status == status for status in self._lines]
        ratios = [_ratio(state, name, rule) for name, rule in self._ratios]
        values += [max(ratio, 0.0) if ratio is not None else 0.0 for ratio in ratios]
        values += [ratio is not None and ratio <= 1.0 for ratio in ratios]
        values += [
            any(line.category == "electronics" for line in wanted),
            len(wanted) > 1,
            len(self._menu.remarks.ordinary(wanted)) / len(wanted) if wanted else 0.0,
            bool(case.order_number),
            state.failed > 1,
            bool(state.options),
            bool(state.option),
            state.quoted() > getattr(case.terms, "transfer_limit_cents", np.inf),
        ]
        values += [state.heard[name] for name in HEARD]
        values += mask.tolist()
        values += [state.replies / 12, state.steps / 40]
        values += [flag.holds(state, self._menu.remarks) for flag in self._flags]
        return np.minimum(np.array(values, np.float32), _MOST)

    def _ratio_of(self, text: Any, family: str) -> tuple[str, str]:
        """What ``days_since_delivery / return_window_days`` stands for."""
        name, _, rule = (part.strip() for part in str(text).partition("/"))
        rules = [field.name for field in fields(load_family(family).rules)]
        if rule not in rules or not name.isidentifier():
            problem = f"{text!r:.80} must be a fact, a slash and a rule; {nearest(rule, rules)}"
            raise field_error(self._menu.file.owner, FILE, ("features", "ratios"), problem)
        return name, rule


def _ratio(state: DialogueState, name: str, rule: str) -> float | None:
    """What was read over the policy's limit; None before it was."""
    limit, value = getattr(state.case.terms, rule, 0), number_of(state, name)
    return value / limit if limit and value is not None else None
