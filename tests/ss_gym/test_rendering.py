from ss_gym.actions import action_message, parse_action
from ss_gym.rendering import print_messages, transcript

MESSAGES = [
    {"role": "user", "content": "Where is [bold]my[/bold] coat?\x1b[2J"},
    action_message(parse_action('One moment. <tool_call>{"name": "look_up", "arguments": {"ticket": 7}}</tool_call>')),
    {"role": "tool", "tool_call_id": "call_0", "content": '{"colour":"green"}'},
    action_message(parse_action("")),
]
LINES = [
    "Customer: Where is [bold]my[/bold] coat?[2J",
    "Agent (aside): One moment.",
    'Agent: -> look_up({"ticket":7})',
    'Tool: {"colour":"green"}',
    "Agent: ",
]


def test_a_transcript_has_a_line_a_message_and_no_control_characters():
    assert transcript(MESSAGES).split("\n") == LINES


def test_printed_messages_read_like_the_transcript(capsys):
    print_messages(MESSAGES)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [line.rstrip() for line in LINES]
