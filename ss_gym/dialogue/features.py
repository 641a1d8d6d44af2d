"""The state of a conversation as numbers, for learners that can't read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ss_gym.commerce.rules import units
from ss_gym.dialogue.menu import CONDITIONS, FamilyMenu, ordinary
from ss_gym.dialogue.state import HEARD, DialogueState
from ss_gym.families import load_family

_REASONS = ("changed_mind", "damaged", "wrong_item", "defective", "not_received")
_STATUSES = ("ordered", "refunded", "credited", "exchanged", "cancelled")
_ORDER_STATUSES = ("processing", "shipped", "delivered", "cancelled")
_MOST = 2.0  # ratios above this are not told apart


class StateFeatures:
    """Features of a conversation of one family: flags, and what was read against the policy's limits.

    Called with a ``DialogueState`` and which choices of the menu are available, it gives a vector
    ``(len(names),)`` of numbers from 0 to 2.

    Args:
        family: whose.

    Attributes:
        names: what each number is.
        high: the greatest that it can be.
    """

    high = _MOST

    def __init__(self, family: str) -> None:
        rules = units(load_family(family).rules)
        self._ratios = [(name, unit) for name, unit in rules.items() if unit in ("days", "money")]
        self.names = (
            *CONDITIONS,
            *(f"reason {reason}" for reason in _REASONS),
            *(f"order {status}" for status in _ORDER_STATUSES),
            *(f"item {status}" for status in _STATUSES),
            *(f"days over {name}" if unit == "days" else f"price over {name}" for name, unit in self._ratios),
            *(f"within {name}" for name, _ in self._ratios),
            *(
                "electronics",
                "several wanted",
                "ordinary share",
                "number told",
                "failed twice",
            ),
            *("options", "option named", "quote over limit"),
            *(f"heard {name}" for name in HEARD),
            *(f"can {name}" for name in FamilyMenu(family).names),
            *("replies", "steps"),
        )

    def __call__(self, state: DialogueState, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """The features of a state."""
        case, order, wanted = state.case, state.case.order, state.case.wanted
        first = wanted[0] if wanted else None
        values: list[float] = [condition(state) for condition in CONDITIONS.values()]
        values += [case.reason == reason for reason in _REASONS]
        values += [order is not None and order.status == status for status in _ORDER_STATUSES]
        values += [first is not None and first.status == status for status in _STATUSES]
        ratios = [self._ratio(state, name, unit) for name, unit in self._ratios]
        values += [ratio or 0.0 for ratio in ratios]
        values += [ratio is not None and ratio <= 1.0 for ratio in ratios]
        values += [
            any(line.category == "electronics" for line in wanted),
            len(wanted) > 1,
            len(ordinary(state)) / len(wanted) if wanted else 0.0,
            bool(case.order_number),
            state.failed > 1,
            bool(state.options),
            bool(state.option),
            state.quoted() > getattr(case.terms, "transfer_limit_cents", np.inf),
        ]
        values += [state.heard[name] for name in HEARD]
        values += mask.tolist()
        values += [state.replies / 12, state.steps / 40]
        return np.minimum(np.array(values, np.float32), _MOST)

    def _ratio(self, state: DialogueState, name: str, unit: str) -> float | None:
        """What was read over the policy's limit; None before it was."""
        limit, order = getattr(state.case.terms, name, 0), state.case.order
        if unit == "money":
            return state.price() / limit if limit and state.case.wanted else None
        return order.days / limit if limit and order is not None and order.days is not None else None
