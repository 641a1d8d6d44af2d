import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.tools import Money, ToolError, Toolkit, tool, with_options
from ss_gym.types import ToolCall

Size = Literal["small", "large"]


class TeaRoom(Toolkit):
    def __init__(self) -> None:
        self.paid = 0

    @tool(kind="read")
    def brew(self, leaf: str, cups: int = 1, size: Size | None = None) -> dict[str, Any]:
        """Brew tea,
        slowly.

        Args:
            leaf: which tea, for
                example "assam".
            cups: how many.
            size: of the cups.

        Returns:
            What was brewed.
        """
        return {"leaf": leaf, "cups": cups, "size": size}

    @tool(kind="write")
    def pay(self, amount: Money, extras: list[str]) -> dict[str, Any]:
        """Pay.

        Args:
            amount: the bill.
            extras: what else: anything.
        """
        if amount > 10_000:
            raise ToolError("that is too much")
        self.paid += amount
        return {"paid": amount, "extras": extras}

    @tool(kind="end")
    def leave(self) -> dict[str, Any]:
        """Leave."""
        return {}


def call(name: str, error: str = "", **arguments: Any) -> Any:
    result = TeaRoom().call(ToolCall("call_0", name, arguments, "", error))
    content = json.loads(result.content)
    assert result.ok == ("error" not in content)
    return content


def test_a_tool_gets_its_arguments_and_its_result_is_compact_json():
    result = TeaRoom().call(ToolCall("call_0", "brew", {"leaf": "ößi", "cups": 2}))
    assert result.content == '{"leaf":"ößi","cups":2,"size":null}'
    assert result.ok
    assert result.call.id == "call_0"


def test_money_arrives_in_cents():
    assert call("pay", amount="$24.5", extras=[]) == {"paid": 2450, "extras": []}


def test_schemas_come_from_signature_and_docstring():
    brew, pay, leave = TeaRoom().schemas
    assert brew == {
        "type": "function",
        "function": {
            "name": "brew",
            "description": "Brew tea, slowly.",
            "parameters": {
                "type": "object",
                "properties": {
                    "leaf": {"type": "string", "description": 'which tea, for example "assam".'},
                    "cups": {"type": "integer", "description": "how many."},
                    "size": {
                        "anyOf": [{"type": "string", "enum": ["small", "large"]}, {"type": "null"}],
                        "description": "of the cups.",
                    },
                },
                "required": ["leaf"],
                "additionalProperties": False,
            },
        },
    }
    assert pay["function"]["parameters"]["properties"]["amount"]["type"] == "string"
    assert pay["function"]["parameters"]["properties"]["extras"]["description"] == "what else: anything."
    assert leave["function"]["parameters"]["required"] == []


def test_tools_know_their_kind():
    assert {name: tool.kind for name, tool in TeaRoom.tools.items()} == {"brew": "read", "pay": "write", "leave": "end"}


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("brw", {}, 'no tool is called "brw"; did you mean "brew"?'),
        ("quite different", {}, 'no tool is called "quite different"; the tools are brew, pay, leave'),
        ("brew", {}, 'brew: missing argument "leaf" (a string)'),
        ("brew", {"leaf": 5}, 'brew: argument "leaf" must be a string, got 5'),
        ("brew", {"leaf": "a", "cups": "2"}, 'brew: argument "cups" must be an integer, got "2"'),
        ("brew", {"leaf": "a", "cups": None}, 'brew: argument "cups" must be an integer, got null'),
        ("brew", {"leaf": "a", "size": 1}, 'brew: argument "size" must be one of "small", "large", or null, got 1'),
        ("brew", {"leaf": "a", "milk": 1}, 'brew: unexpected argument "milk"; it takes leaf, cups, size'),
        ("leave", {"why": ""}, 'leave: unexpected argument "why"; it takes no arguments'),
        ("pay", {"amount": 1.999, "extras": []}, 'pay: argument "amount" must be an amount such as "24.00", got 1.999'),
        ("pay", {"amount": 1, "extras": "jam"}, 'pay: argument "extras" must be a list, each item a string, got "jam"'),
        ("pay", {"amount": 1, "extras": [2]}, 'pay: argument "extras" must be a list, each item a string, got [2]'),
        ("pay", {"amount": 100.01, "extras": []}, "that is too much"),
    ],
)  # fmt: skip
def test_errors_name_the_argument_what_was_expected_and_what_came(name, arguments, error):
    assert call(name, **arguments) == {"error": error}


def test_a_block_that_could_not_be_read_is_an_error_of_its_own():
    assert call("", error="malformed tool call") == {"error": "malformed tool call"}


def test_a_failing_call_does_not_reach_the_tool():
    room = TeaRoom()
    room.call(ToolCall("call_0", "pay", {"amount": "5.00"}))
    assert room.paid == 0


def test_errors_quote_long_names_briefly():
    for content in (call("x" * 100_000), call("brew", **{"y" * 100_000: 1}), call("brew", leaf=["z" * 100_000])):
        assert len(content["error"]) < 200


@given(
    st.sampled_from(["brew", "pay", "leave"]) | st.text(),
    st.dictionaries(
        st.sampled_from(["leaf", "cups", "size", "amount", "extras"]) | st.text(max_size=4),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(max_size=4), max_size=4),
    ),
)
def test_whatever_an_agent_writes_is_answered_with_json(name, arguments):
    result = TeaRoom().call(ToolCall("call_0", name, arguments))
    assert ("error" in json.loads(result.content)) != result.ok


def test_a_subclass_inherits_and_replaces_tools():
    class Garden(TeaRoom):
        @tool(kind="read")
        def brew(self, leaf: str) -> dict[str, Any]:
            """Brew outdoors.

            Args:
                leaf: which tea.
            """
            return {"outdoors": leaf}

    assert list(Garden.tools) == ["brew", "pay", "leave"]
    assert Garden().call(ToolCall("call_0", "brew", {"leaf": "assam"})).content == '{"outdoors":"assam"}'
    assert TeaRoom.tools["brew"].required == ("leaf",)


def test_execute_can_put_something_around_every_tool():
    class Counted(TeaRoom):
        kinds: tuple[str, ...] = ()

        def execute(self, tool, arguments):
            self.kinds += (tool.kind,)
            return super().execute(tool, arguments)

    room = Counted()
    room.call(ToolCall("call_0", "leave", {}))
    room.call(ToolCall("call_1", "pay", {}))  # refused before it is run
    assert room.kinds == ("end",)


def test_a_tool_without_docstring_is_a_type_error():
    with pytest.raises(TypeError, match="tool serve: a docstring"):

        class Bad(Toolkit):
            @tool(kind="read")
            def serve(self) -> None: ...


def test_an_argument_without_a_line_in_the_docstring_is_a_type_error():
    with pytest.raises(TypeError, match="tool serve, argument tray needs"):

        class Bad(Toolkit):
            @tool(kind="read")
            def serve(self, tray: str) -> None:
                """Serve."""


def test_a_bug_inside_a_tool_is_not_swallowed():
    class Broken(Toolkit):
        @tool(kind="read")
        def serve(self) -> dict[str, Any]:
            """Serve."""
            raise KeyError("tray")

    with pytest.raises(KeyError, match="tray"):
        Broken().call(ToolCall("call_0", "serve", {}))


def test_a_tool_has_the_role_that_it_was_marked_with_whatever_its_options() -> None:
    class Desk(Toolkit):
        @tool(kind="end", role="transfer")
        def hand_over(self, reason: Size) -> None:
            """Hand over.

            Args:
                reason: why.
            """

    assert with_options(Desk.tools["hand_over"], "reason", ("other",)).role == "transfer"
    assert TeaRoom.tools["brew"].role == ""
