"""What a chat service keeps of conversations, tells of streams and frees, with backends that show it."""

import gc
import json
import threading
import time
import weakref
from http.client import HTTPConnection

import pytest

from ss_gym.agents import UnanswerableError
from ss_gym.serving.access import ApiKeys
from ss_gym.serving.chat_desk import ChatLimits
from ss_gym.serving.environment_server import environment_server
from ss_gym.serving.server import served
from ss_gym.types import Completion
from tests.ss_gym.serving.session_clients import wait_for
from tests.ss_gym.serving.test_chat_service import CALLS, HELLO, KEY, TOOLS, client_of, fetched, refused, service

AFTER_CALL = '<tool_call>{"name": "get_order", "arguments": {}}</tool_call> I have looked.'


class Whole:
    """Answers with a text, and results of tools with "Done.", as a whole; notes what it found of earlier answers."""

    def __init__(self, text):
        self._text = text
        self.found = []
        self.conversations = []

    def generate(self, conversations, sampling):
        (conversation,) = conversations
        self.conversations.append(weakref.ref(conversation))
        self.found.append([completion.text for completion in conversation.completions.values()])
        return [Completion("Done." if conversation[-1]["role"] == "tool" else self._text)]


class Pieces(Whole):
    """The same in pieces."""

    def stream(self, conversation, sampling):
        (completion,) = self.generate([conversation], sampling)
        for start in range(0, len(completion.text), 5):
            yield completion.text[start : start + 5]
        return completion


class Thinker:
    """Thinks and thinks."""

    def __init__(self):
        self.begun, self.ended = threading.Event(), threading.Event()

    def generate(self, conversations, sampling):
        raise AssertionError("it is listened to")

    def stream(self, conversation, sampling):
        try:
            self.begun.set()
            yield "<think>"
            while True:
                time.sleep(0.01)
                yield "Hm. "
        finally:
            self.ended.set()


def streamed(client, **fields):
    """The assistant's message as a client puts it together."""
    said, calls = "", []
    with client.chat.completions.create(model="clerk", stream=True, **fields) as chunks:
        for chunk in chunks:
            said += chunk.choices[0].delta.content or ""
            calls += chunk.choices[0].delta.tool_calls or ()
    message = {"role": "assistant", "content": said}
    return {**message, "tool_calls": [call.model_dump(exclude={"index"}) for call in calls]} if calls else message


def results_of(message):
    return [{"role": "tool", "tool_call_id": call["id"], "content": "{}"} for call in message["tool_calls"]]


def test_a_backend_that_does_not_stream_is_told_as_a_whole():
    with served(service(backend=Whole("I see. Goodbye."))) as address, client_of(address) as client:
        assert streamed(client, messages=HELLO)["content"] == "I see. Goodbye."


def test_the_first_piece_is_the_first_that_is_told_and_is_timed_once():
    text = "<think>I need not say all this.</think>Hello!"
    with served(service(backend=Pieces(text))) as address, client_of(address) as client:
        assert streamed(client, messages=HELLO)["content"] == "Hello!"
        assert b"first_piece_seconds_count 1.0" in fetched(address, "/metrics")[2]


def test_a_client_that_goes_away_before_the_first_piece_is_not_worked_for():
    backend = Thinker()
    with served(service(backend=backend, limits=ChatLimits(batch=1, waiting=0))) as address:
        connection = HTTPConnection(address.removeprefix("http://"))
        body = json.dumps({"model": "clerk", "messages": HELLO, "stream": True})
        connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        assert backend.begun.wait(10)
        connection.close()
        assert backend.ended.wait(10)
        wait_for(lambda: b"abandoned_requests_total 1.0" in fetched(address, "/metrics")[2])


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_that_is_not_kept_is_freed_at_once(stream):
    backend = Pieces("Hello!")
    body = {"model": "clerk", "messages": HELLO, "stream": stream}
    with served(service(backend=backend, limits=ChatLimits(remembered=0))) as address:
        gc.disable()  # it comes late where much is in memory
        try:
            for _ in range(3):
                assert fetched(address, "/v1/chat/completions", body)[0] == 200
            # The thread that answers may still hold the last.
            wait_for(lambda: [each() for each in backend.conversations[:-1]] == [None] * 2)
        finally:
            gc.enable()


@pytest.mark.parametrize("kind", [Whole, Pieces])
@pytest.mark.parametrize("text", [CALLS, AFTER_CALL], ids=["call_last", "words_last"])
def test_a_streamed_answer_that_comes_back_is_known_again(kind, text):
    backend = kind(text)
    with served(service(backend=backend)) as address, client_of(address) as client:
        message = streamed(client, messages=HELLO, tools=TOOLS)
        assert streamed(client, messages=[*HELLO, message, *results_of(message)], tools=TOOLS)["content"] == "Done."
    assert backend.found == [[], [text]]


def test_an_answer_that_comes_back_changed_or_with_another_key_is_read_anew():
    backend, keys = Whole(CALLS), ApiKeys([KEY, "second-secret"])
    changes = [
        ({}, {}, KEY, True),
        ({"id": "call_0"}, {}, KEY, False),
        ({"function": {"name": "get_order", "arguments": '{"order_id": "17"}'}}, {}, KEY, False),
        ({}, {"content": "One moment!"}, KEY, False),
        ({}, {}, "second-secret", False),
    ]
    with served(service(backend=backend, keys=keys)) as address, client_of(address, KEY) as client:
        for call, changed, key, known in changes:
            own = client.chat.completions.create(model="clerk", messages=HELLO, tools=TOOLS).choices[0].message
            message = own.model_dump(exclude_unset=True) | changed
            message["tool_calls"][0] |= call
            messages = [*HELLO, message, *results_of(message)]
            with client_of(address, key) as asking:
                answer = asking.chat.completions.create(model="clerk", messages=messages, tools=TOOLS)
            assert answer.choices[0].message.content == "Done."
            assert backend.found[-1] == ([CALLS] if known else [])


def test_messages_may_be_given_as_the_client_of_openai_dumps_them():
    backend, asked = Pieces(CALLS), {"model": "clerk", "tools": TOOLS}
    with served(service(backend=backend)) as address, client_of(address) as client:
        answers = [client.chat.completions.create(messages=HELLO, **asked)]
        with client.chat.completions.stream(messages=HELLO, **asked) as events:
            answers.append(events.get_final_completion())
        for answer in answers:
            message = answer.choices[0].message.model_dump()
            client.chat.completions.create(messages=[*HELLO, message, *results_of(message)], **asked)
            assert backend.found[-1] == [CALLS]


def test_more_answers_than_may_ever_be_under_way_are_refused():
    limits = ChatLimits(batch=2, waiting=1)
    with served(service("Hello!", limits=limits)) as address:
        status, error = refused(address, n=4)
        assert (status, error["param"], error["message"]) == (400, "n", "n may be 3 at most here, not 4")
        assert (
            len(
                json.loads(fetched(address, "/v1/chat/completions", {"model": "clerk", "messages": HELLO, "n": 3})[2])[
                    "choices"
                ]
            )
            == 3
        )


def test_errors_of_an_environment_that_is_served_beside_are_counted_among_its_own():
    app = service("Hello!", environment=environment_server("StateSet/Refund-v0"))
    with served(app) as address:
        assert refused(address, temperature=3)[0] == 400
        assert fetched(address, "/v1/nothing")[0] == 404
        assert fetched(address, "/v1/sessions/none")[0] == 404
        assert fetched(address, "/v1/sessions/none/step", {"action": "Hi!"})[0] == 404
        assert fetched(address, "/v1/environment", {})[0] == 405
        assert fetched(address, "/v1/environment")[0] == 200
        counted = fetched(address, "/metrics")[2].decode()
    name = "stateset_environment_errors_total"
    lines = [line.removeprefix(name) for line in counted.splitlines() if line.startswith(name)]
    assert lines == ['{status="404"} 2.0', '{status="405"} 1.0']


class Faulty:
    """Finds fault with whoever asks, or has a fault of its own."""

    def generate(self, conversations, sampling):
        if conversations[0][-1]["content"] == "picture":
            raise UnanswerableError("this model reads text alone")
        raise ValueError("shapes (3, 4) and (5,) of the secret weights don't fit")


@pytest.mark.parametrize("stream", [False, True])
def test_clients_are_told_their_own_faults_and_not_those_of_the_backend(stream, caplog):
    with served(service(backend=Faulty())) as address:
        status, error = refused(address, messages=[{"role": "user", "content": "picture"}], stream=stream)
        assert (status, error["code"], error["message"]) == (400, "invalid_value", "this model reads text alone")
        assert "text alone" not in caplog.text
        status, error = refused(address, stream=stream)
        assert (status, error["code"]) == (500, "internal_error")
        assert "secret" not in error["message"]
    assert "secret weights" in caplog.text
