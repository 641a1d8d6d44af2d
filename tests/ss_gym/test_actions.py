import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.actions import action_message, parse_action, unreadable_action
from ss_gym.types import ParsedAction

GET_ORDER = '<tool_call>{"name": "get_order", "arguments": {"order_id": "48213"}}</tool_call>'
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

fragments = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        "<think>",
        "</think>",
        GET_ORDER,
        '{"name": "x"}',
        '{"name": "x", "arguments": {',
        "}",
        "[",
        '"',
        "\\ud800",
        "\ud800",
        "\x00\x1b[2J",
        "🙂",
        "מה שלומך",
        "\u202e",
        "\n",
        " ",
        "hello",
        "<",
        "<tool_",
        "NaN",
    ]
)
texts = st.one_of(st.text(), st.lists(st.one_of(fragments, st.text(max_size=5)), max_size=12).map("".join))


def test_plain_text_is_said_to_the_customer():
    assert parse_action("  Hello, how can I help?\n") == ParsedAction(
        "  Hello, how can I help?\n", "Hello, how can I help?"
    )


def test_a_tool_call_is_read_with_its_id_and_raw_text():
    (call,) = parse_action(GET_ORDER, 3).tool_calls
    assert (call.id, call.name, call.arguments, call.error) == ("call_3", "get_order", {"order_id": "48213"}, "")
    assert call.raw == '{"name": "get_order", "arguments": {"order_id": "48213"}}'


def test_several_calls_keep_their_order_and_count_on():
    calls = parse_action(GET_ORDER + '\n<tool_call>\n{"name": "end_conversation"}\n</tool_call>', 7).tool_calls
    assert [(call.id, call.name) for call in calls] == [("call_7", "get_order"), ("call_8", "end_conversation")]
    assert calls[1].arguments == {}


def test_a_tool_call_wins_over_the_text_beside_it():
    action = parse_action(f"Let me check. {GET_ORDER} Done!")
    assert action.say == ""
    assert action.aside == "Let me check.  Done!"


def test_thoughts_are_neither_said_nor_executed():
    action = parse_action(f"<think>maybe {GET_ORDER}?</think>Hello.")
    assert (action.say, action.tool_calls, action.thought) == ("Hello.", (), f"maybe {GET_ORDER}?")


def test_an_unclosed_thought_takes_the_rest_of_the_text():
    action = parse_action(f"Hi. <think>I wonder {GET_ORDER}")
    assert (action.say, action.tool_calls, action.thought) == ("Hi.", (), f"I wonder {GET_ORDER}")


def test_a_thought_that_the_prompt_opened_ends_at_its_closing_tag():
    action = parse_action(f"I could call {GET_ORDER} now.</think>Hello.")
    assert (action.say, action.tool_calls) == ("Hello.", ())
    assert action.thought.startswith("I could call")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<thi<think>one</think>nk>two", "< think>two"),
        ("<think>one</think></thi\x00nk>two", "< /think>two"),
        (
            '<tool_<think>one</think>call>{"name": "get_order"}</tool_call>',
            '< tool_call>{"name": "get_order"}</tool_call>',
        ),
    ],
)
def test_a_tag_whose_halves_come_together_when_something_is_cut_out_stays_a_text(text, said):
    action = parse_action(text)
    assert (action.say, action.tool_calls, action.thought) == (said, (), "one")
    assert parse_action(action.say).say == said


def test_a_closing_tag_inside_a_json_string_does_not_end_the_call():
    text = '<tool_call>{"name": "add_note", "arguments": {"text": "</tool_call> <think>"}}</tool_call>'
    (call,) = parse_action(text).tool_calls
    assert (call.arguments, call.error) == ({"text": "</tool_call> <think>"}, "")


def test_a_complete_call_at_the_end_needs_no_closing_tag():
    (call,) = parse_action('<tool_call>{"name": "get_order", "arguments": {}}  \n').tool_calls
    assert (call.name, call.error) == ("get_order", "")


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("", "the JSON is broken"),
        ("get_order(48213)", "the JSON is broken"),
        ('{"name": "get_order", "arguments": {"order_id": "48213"}', "the JSON is broken"),
        ('{"name": "get_order", "arguments": {"order_id": NaN}}', "NaN is not a JSON value"),
        ('{"name": "get_order", "arguments": {"n": ' + "9" * 641 + "}}", "a number of 641 digits is too long"),
        ('{"name": "get_order", "arguments": {"n": -' + "9" * 5000 + "}}", "a number of 5000 digits is too long"),
        ('{"name": "get_order", "arguments": {"n": -1e999}}', "the number -1e999 is too large"),
        ('{"name": "get_order"} and more', "something other than </tool_call> follows"),
        ('["get_order"]', "one JSON object"),
        ("3", "one JSON object"),
        ('{"arguments": {}}', 'whose "name" names a tool'),
        ('{"name": 5, "arguments": {}}', 'whose "name" names a tool'),
        ('{"name": "get_order", "arguments": "48213"}', '"arguments" must be a JSON object'),
        ('{"name": "get_order", "order_id": "48213"}', 'unexpected key "order_id"'),
        ("[" * 15_000, "nested too deeply"),
        ('{"name":"a","arguments":{"x":' * 3000, "nested too deeply"),
        ('{"name": "a", "arguments": {"x": ' + "[" * 900 + "]" * 900 + "}}", "nested too deeply"),
        ('{"name": "a", "arguments": {"x": ' + "[" * 31 + "]" * 31 + "}}", "nested too deeply"),
    ],
)
@pytest.mark.parametrize("close", ["</tool_call>", ""])
def test_a_malformed_block_becomes_a_call_that_says_why(block, reason, close):
    (call,) = parse_action(f"<tool_call>{block}{close}").tool_calls
    assert reason in call.error
    assert "<tool_call>" in call.error  # shows the right form


@pytest.mark.parametrize(
    "block",
    [
        "",
        "get_order(48213)",
        "{",
        '{"name": "x",}',
        '{"name": "x"',
        "{'name': 'x'}",
        '{"name" "x"}',
        '{"a": "\n"}',
        '"x',
    ],
)
def test_what_is_said_of_broken_json_is_not_pythons_own_text_which_changes_between_versions(block):
    (call,) = parse_action(f"<tool_call>{block}</tool_call>").tool_calls
    assert call.error == (
        "malformed tool call: the JSON is broken (check its quotes, commas and brackets); "
        'write <tool_call>{"name": "...", "arguments": {...}}</tool_call>'
    )


def test_long_numbers_are_read_up_to_what_every_process_reads():
    (call,) = parse_action('<tool_call>{"name": "x", "arguments": {"n": -' + "9" * 640 + "}}</tool_call>").tool_calls
    assert call.arguments == {"n": 1 - 10**640}


SHOW = """
import sys
from ss_gym.actions import action_message, parse_action
for text in sys.stdin.read().split("\\0"):
    print(ascii(parse_action(text)), ascii(action_message(parse_action(text))))
"""


def test_calls_are_read_the_same_whatever_limits_python_has():
    nested = '{"name": "x", "arguments": {"x": ' + "[" * 150 + "1" + "]" * 150 + "}}"
    blocks = [f'{{"name": "x", "arguments": {{"n": {"7" * digits}}}}}' for digits in (600, 640, 641, 4300, 4301, 5000)]
    blocks += [
        nested,
        nested[:-2],
        nested + " and more",
        "[" * 70,
        "[" * 63 + "{",
        '{"x": "' + "[" * 200,
        "{" * 300 + "}",
    ]
    texts = "\0".join(f"<tool_call>{block}</tool_call>" for block in blocks)
    shown = []
    for digits, depth in (("4300", 1000), ("0", 1000), ("640", 130), ("4300", 100_000)):
        script = f"import sys\nimport ss_gym.actions, json\nsys.setrecursionlimit({depth})\n{SHOW}"
        environment = {**os.environ, "PYTHONINTMAXSTRDIGITS": digits}
        done = subprocess.run(
            [sys.executable, "-c", script], input=texts, capture_output=True, text=True, check=True, env=environment
        )
        shown.append(done.stdout)
    assert len(shown[0].splitlines()) == len(blocks)
    assert len(set(shown)) == 1


def test_nesting_that_a_tool_may_need_is_read():
    call_text = json.dumps({"name": "a", "arguments": {"x": json.loads("[" * 30 + "]" * 30), "y": "[" * 99}})
    (call,) = parse_action(f"<tool_call>{call_text}</tool_call>").tool_calls
    assert call.error == ""


def test_a_nested_block_is_malformed_and_the_inner_call_is_read():
    outer, inner = parse_action(f"<tool_call>{GET_ORDER}").tool_calls
    assert outer.error and not outer.name
    assert (inner.name, inner.error) == ("get_order", "")


def test_a_block_without_closing_tag_before_another_is_malformed():
    first, second = parse_action('<tool_call>{"name": "get_order"}' + GET_ORDER).tool_calls
    assert "</tool_call>" in first.error
    assert second.error == ""


def test_control_characters_but_newline_and_tab_are_not_heard():
    assert parse_action("a\x00b\x1b[31mc\td\ne\r\nf\x7f\x9b").say == "ab[31mc\td\ne\nf"


def test_emoji_and_right_to_left_text_are_heard_as_written():
    assert parse_action("שלום 👩‍👩‍👧 مرحبا").say == "שלום 👩‍👩‍👧 مرحبا"


def test_lone_surrogates_never_reach_tools():
    text = '<tool_call>{"name": "x\\ud800", "arguments": {"a": ["\\udfff"], "b\\ud800": "\ud800é"}}</tool_call>'
    (call,) = parse_action(text).tool_calls
    assert (call.name, call.arguments) == ("x\ufffd", {"a": ["\ufffd"], "b\ufffd": "\ufffdé"})


def test_the_empty_text_says_nothing():
    assert parse_action("") == ParsedAction("", "")


@given(texts, st.integers(0, 100))
def test_any_text_is_parsed_into_encodable_parts(text, first_id):
    action = parse_action(text, first_id)
    assert action.text == text
    assert [call.id for call in action.tool_calls] == [f"call_{first_id + i}" for i in range(len(action.tool_calls))]
    assert not (action.say and action.tool_calls)
    for heard in (action.say, action.aside):
        assert not CONTROL.search(heard)
    json.dumps(action_message(action), ensure_ascii=False).encode()
    for call in action.tool_calls:
        assert bool(call.name) or bool(call.error)
        call.raw.encode()


@given(st.text(alphabet=st.characters(exclude_characters="<", exclude_categories=["Cc", "Cs"])))
def test_text_without_tags_is_said_as_it_is(text):
    assert parse_action(text).say == text.strip()


@pytest.mark.parametrize("piece", ["x", "<", "<tool_call>", "<think>", "</think>", "[", '{"a":', "🙂", "\x00", '"'])
def test_100_kb_of_anything_is_parsed(piece):
    text = (piece * 100_000)[:100_000]
    assert parse_action(text).text == text


def test_a_message_in_openai_form_carries_ids_and_json_arguments():
    assert action_message(parse_action(f"Let me see. {GET_ORDER}", 2)) == {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [
            {
                "id": "call_2",
                "type": "function",
                "function": {"name": "get_order", "arguments": '{"order_id":"48213"}'},
            }
        ],
    }
    assert action_message(parse_action("<think>hm</think>Hi")) == {"role": "assistant", "content": "Hi"}


def test_a_refused_action_is_one_unreadable_call():
    action = unreadable_action("x" * 9, "too long", 4)
    assert (action.say, action.tool_calls[0].id, action.tool_calls[0].error) == ("", "call_4", "too long")
    assert action_message(action)["tool_calls"][0]["function"] == {"name": "unreadable_call", "arguments": "{}"}
