"""Calls in the forms of several model families, read as environments read them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.actions import parse_action
from ss_gym.agents.dialects import DIALECTS, as_action, dialect_of
from tests.growth import grows_with_length

ARGUMENTS = {"order_id": "48213", "note": 'a "}</tool_call>;[ARGS]'}
CALL = json.dumps(ARGUMENTS)


def calls(text, dialect):
    return [(call.name, call.arguments, bool(call.error)) for call in parse_action(as_action(text, dialect)).tool_calls]


@pytest.mark.parametrize(
    ("dialect", "text", "aside"),
    [
        ("hermes", f'One.<tool_call>{{"name": "a", "arguments": {CALL}}}</tool_call>', "One."),
        ("llama", f'{{"name": "a", "parameters": {CALL}}}', ""),
        ("llama", f' <|python_tag|>{{"name": "a", "parameters": {CALL}}}<|eom_id|>', ""),
        ("llama", f'One.<|python_tag|>{{"type": "function", "name": "a", "parameters": {CALL}}}', "One."),
        ("llama", f"One.<function=a>{CALL}</function>", "One."),
        ("llama", f"<function=a>{CALL}", ""),
        ("mistral", f'One.[TOOL_CALLS] [{{"name": "a", "arguments": {CALL}, "id": "x12345678"}}]', "One."),
        ("mistral", f"[TOOL_CALLS]a[ARGS]{CALL}", ""),
        ("mistral", f"[TOOL_CALLS]a[CALL_ID]x12345678[ARGS] {CALL}", ""),
        ("json", f'{{"name": "a", "arguments": {CALL}}}', ""),
        ("json", f'{{"tool": "a", "input": {CALL}}}', ""),
        ("json", f'[{{"type": "function", "function": {{"name": "a", "arguments": {json.dumps(CALL)}}}}}]', ""),
        ("json", f'One.\n```json\n{{"name": "a", "arguments": {CALL}}}\n```', "One."),
        ("json", f'One.\r\n```json\r\n{{"name": "a", "arguments": {CALL}}}\r\n```\r\n', "One."),
        ("json", f'```\n[{{"name": "a", "arguments": {CALL}}}]```', ""),
    ],
)
def test_one_call(dialect, text, aside):
    action = parse_action(as_action(text, dialect))
    assert [(call.name, call.arguments, call.error) for call in action.tool_calls] == [("a", ARGUMENTS, "")]
    assert action.aside == aside and action.say == ""


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("llama", f'<|python_tag|>{{"name": "a", "parameters": {CALL}}}; {{"name": "b", "parameters": {{}}}}'),
        ("llama", f"<function=a>{CALL}</function><function=b></function>"),
        ("mistral", f'[TOOL_CALLS][{{"name": "a", "arguments": {CALL}}}, {{"name": "b", "arguments": {{}}}}]'),
        ("mistral", f"[TOOL_CALLS]a[ARGS]{CALL}[TOOL_CALLS]b[ARGS]{{}}"),
        ("mistral", f"[TOOL_CALLS]a[ARGS]{CALL}b[ARGS]{{}}"),
        ("json", f'[{{"name": "a", "arguments": {CALL}}}, {{"name": "b"}}]'),
        ("json", f'```\n{{"name": "a", "args": {CALL}}}\n```\n```json\n{{"name": "b", "parameters": {{}}}}\n```'),
    ],
)
def test_several_calls(dialect, text):
    assert calls(text, dialect) == [("a", ARGUMENTS, False), ("b", {}, False)]


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("llama", '<|python_tag|>{"name": "a", "parameters": {'),
        ("llama", '<function=a>{"order_id": </function>'),
        ("mistral", '[TOOL_CALLS][{"name": "a"'),
        ("mistral", '[TOOL_CALLS]a[ARGS]{"order_id": '),
        ("mistral", "[TOOL_CALLS]and nothing more"),
        ("llama", '<|python_tag|>{"name": "a", "parameters": [1]}'),
        ("llama", '<|python_tag|>{"name": "a", "parameters": {"x": NaN}}'),
    ],
)
def test_what_is_marked_as_a_call_and_is_none_is_an_error_for_the_model(dialect, text):
    found = calls(text, dialect)
    assert found and found[-1][2]


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("json", "Your order is {not here}."),
        ("json", '{"order": "17"}'),
        ("json", '{"name": "Bob", "age": 3}'),
        ("json", "```python\nprint(1)\n```"),
        ("llama", '{"order": "17"}'),
        ("llama", "[1, 2] are numbers"),
        ("mistral", "I use [ARGS] and {}"),
    ],
)
def test_what_is_no_call_is_said(dialect, text):
    assert as_action(text, dialect) == text and parse_action(text).say == text


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("mistral", '[TOOL_CALLS] [{"name": "a", "arguments": {}}]\nOne moment.'),
        ("llama", '<|python_tag|>{"name": "a", "parameters": {}} One moment.'),
        ("mistral", "[TOOL_CALLS]a[ARGS]{} One moment."),
    ],
)
def test_words_after_a_call_stay_words(dialect, text):
    action = parse_action(as_action(text, dialect))
    assert [(call.name, call.error) for call in action.tool_calls] == [("a", "")] and action.aside == "One moment."


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("llama", '<think>like <tool_call>?</think>\n{"name": "a", "parameters": {}}'),
        ("json", '<think>{"name": "b"}</think>```json\n{"name": "a"}\n```'),
        ("mistral", "<think>[TOOL_CALLS]b[ARGS]{}</think>[TOOL_CALLS]a[ARGS]{}"),
    ],
)
def test_calls_after_a_thought_are_read_and_none_in_it(dialect, text):
    assert calls(text, dialect) == [("a", {}, False)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_in_our_form_is_one_in_any_dialect(dialect):
    assert calls('<tool_call>{"name": "a", "arguments": {"x": 1}}</tool_call>', dialect) == [("a", {"x": 1}, False)]


MARKS = ["<|python_tag|>", "<|eom_id|>", "<function=a>", "</function>", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"]
MARKS += ["```", "```json\n", "<tool_call>", "</tool_call>", "<think>"]
PIECES = [*'[]{}":;,a1é \n\\\x00\ud800', '"name"', '"arguments"', "NaN", '{"name": "a", "arguments": {}}', *MARKS]


@pytest.mark.parametrize("dialect", DIALECTS)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_text_is_read(dialect, text):
    action = parse_action(as_action(text, dialect))
    assert all(call.error or call.name for call in action.tool_calls)


FORMS = [
    ("hermes", 'One.<tool_call>{"name": "a", "arguments": NOTE}</tool_call>'),
    ("llama", '{"name": "a", "parameters": NOTE}'),
    ("llama", '<|python_tag|>{"name": "a", "parameters": NOTE}<|eom_id|>'),
    ("llama", "One.<function=a>NOTE</function>"),
    ("mistral", '[TOOL_CALLS][{"name": "a", "arguments": NOTE}]'),
    ("mistral", "One.[TOOL_CALLS]a[ARGS]NOTE"),
    ("json", '{"name": "a", "arguments": NOTE}'),
    ("json", 'One.\n```json\n{"name": "a", "arguments": NOTE}\n```'),
]


@pytest.mark.parametrize(("dialect", "form"), FORMS)
@pytest.mark.parametrize("mark", [*MARKS, "</function>} <function=b>{}", "```\n```json\n{}", '"}}]</tool_call>'])
def test_a_mark_inside_an_argument_is_a_text(dialect, form, mark):
    note = {"note": f"see {mark} there", "again": mark}
    text = form.replace("NOTE", json.dumps(note))
    assert calls(text, dialect) == [("a", note, False)]
    assert parse_action(as_action(text, dialect)).aside in ("", "One.")


def test_a_fence_of_something_else_is_left_and_calls_after_it_are_read():
    code = '```json\n{"x": 1}\n```'
    action = parse_action(as_action(f'{code}\n```json\n{{"name": "a", "arguments": {{}}}}\n```', "json"))
    assert [call.name for call in action.tool_calls] == ["a"] and action.aside == code


@pytest.mark.parametrize("dialect", ["llama", "json"])
@pytest.mark.parametrize("depth", [2, 300, 900])
def test_a_call_that_is_wrapped_again_and_again_is_none(dialect, depth):
    text = '{"function": ' * depth + '{"name": "a"}' + "}" * depth
    assert as_action(text, dialect) == text


LONG = ["{", "[", '{"a":', "<function=a>", "[TOOL_CALLS]", "[TOOL_CALLS]a[ARGS]", "a[ARGS]{}", "```\n", "[TOOL_CALLS] "]
LONG += [
    "<think></think>",
    "<think>",
    "<think> ",
    "<|python_tag|>{",
    '{"name": "a"} ',
    "```json\n{}\n",
    " ",
    "[TOOL_CALLS]a[ARGS] ",
    "```json\n```",
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("piece", LONG)
def test_long_texts_take_time_with_their_length_and_not_with_its_square(dialect, piece):
    for start in ("", "[TOOL_CALLS]a[ARGS]"):
        assert grows_with_length(lambda text: parse_action(as_action(text, dialect)), piece, start)


@pytest.mark.parametrize(
    ("dialect", "start", "piece"),
    [("mistral", "[TOOL_CALLS]a[CALL_ID]", " "), ("json", "```\n", " "), ("hermes", "", "<tool_call>x")],
)
def test_what_is_tried_in_many_ways_takes_no_longer(dialect, start, piece):
    assert grows_with_length(lambda text: parse_action(as_action(text, dialect)), piece, start)


@pytest.mark.parametrize(
    ("template", "dialect"),
    [
        ("{{ '<tool_call>' }}", "hermes"),
        ("{{ '[TOOL_CALLS]' }}", "mistral"),
        ('{"name": function name, "parameters": dictionary}', "llama"),
        ("{{ message.content }}", "hermes"),
    ],
)
def test_the_dialect_of_a_template(template, dialect):
    assert dialect_of(template) == dialect
