"""What the tests of datasets share: small logs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ss_gym.datasets import LoggedConversation
from ss_gym.datasets.columns import Columns, GrowingColumns, Span
from ss_gym.wrappers import RecordedTokens, RecordedTrajectory

DATA = Path(os.environ.get("SS_GYM_TEST_DATA", "../shared/data"))


def real_log(name: str) -> Path:
    """A log of real conversations; skips the test where it is not there."""
    if not (DATA / name).exists():
        pytest.skip(f"needs {name} in the folder that SS_GYM_TEST_DATA names (here {DATA})")
    return DATA / name


def call(name: str, arguments: str = "{}", call_id: str = "c1") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def said(*texts: str) -> list[dict[str, Any]]:
    """Customer and agent in turns."""
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


def chat(*texts: str, **fields: Any) -> dict[str, Any]:
    """A record in OpenAI form."""
    return {"messages": said(*(texts or ("Hi!", "Yes?"))), **fields}


def episode(number: int = 0, **changes: Any) -> RecordedTrajectory:
    """A recorded episode with tokens."""
    system = {"role": "system", "content": "Be brief."}
    look_up = {"role": "assistant", "content": "", "tool_calls": [call("get_order", '{"order_id":"17"}', "call_0")]}
    result = {"role": "tool", "tool_call_id": "call_0", "content": '{"found":true}'}
    answer, thanks = said("", f"Order {number} is on its way. 😀")[1], {"role": "user", "content": "Thanks!"}
    action = '<tool_call>{"name": "get_order", "arguments": {"order_id":"17"}}</tool_call>'
    values: dict[str, Any] = {
        "env_id": "StateSet/Refund-v0",
        "scenario_id": f"refund/train/{number:04d}",
        "seed": number,
        "options": {"user_seed": 5},
        "messages": (system, {"role": "user", "content": "Where is it?"}, look_up, result, answer, thanks),
        "actions": (action, answer["content"]),
        "rewards": (-0.02, 1.0),
        "reward_terms": ({"tool_error": -0.02}, {"success": 1.0}),
        "terminated": True,
        "truncated": False,
        "success": True,
        "audit": {"failed": []},
        "tokens": RecordedTokens((1, 2), ((3,), (4, 5, 0), (6,), (7, 0), ()), ((-0.5, -0.1, -1e-9), (-0.25, 0.0))),
    }
    return RecordedTrajectory(**{**values, **changes})


def lines(path: Path, records: Iterable[Any]) -> Path:
    """A file with a record a line."""
    text = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)
    path.write_text(text, encoding="utf-8")
    return path


def columns_of(conversations: Iterable[LoggedConversation]) -> Columns:
    growing = GrowingColumns()
    for number, conversation in enumerate(conversations):
        growing.append(Span(0, number, 0, number + 1), conversation)
    return growing.done()


def keyed(**keys: list[int]) -> Columns:
    """Columns with nothing in them but some keys."""
    count = len(next(iter(keys.values())))
    empty: dict[str, Any] = {one.name: np.zeros(count, np.uint64) for one in fields(Columns) if one.name != "tools"}
    return Columns(**{**empty, **{name: np.array(held, np.uint64) for name, held in keys.items()}}, tools=())
