"""The chat service over real connections, asked by the client of OpenAI."""

import asyncio
import json
import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from ss_gym.agents import AgentConfig, MultiTurnAgent
from ss_gym.agents.backends import BackendError
from ss_gym.serving.access import ApiKeys
from ss_gym.serving.chat_desk import ChatLimits
from ss_gym.serving.chat_service import chat_service
from ss_gym.serving.server import served
from ss_gym.types import Completion

KEY = "first-secret"
TOOLS = [{"type": "function", "function": {"name": "get_order", "parameters": {"type": "object", "properties": {}}}}]
CALLS = (
    '<think>Which one?</think>One moment. <tool_call>{"name": "get_order", "arguments": {"order_id": "17"}}</tool_call>'
    '<tool_call>{"name": "get_order", "arguments": {broken}}</tool_call>'
)
HELLO = [{"role": "user", "content": "Hello!"}]


def agent_that_says(*texts, backend=None, **settings):
    agent = MultiTurnAgent(AgentConfig("stub://a", stub_responses=texts, **settings), backend)
    agent.load()
    return agent


def service(*texts, limits=None, keys=None, backend=None, **settings):
    return chat_service(agent_that_says(*texts, backend=backend), "clerk", limits, keys, **settings)


def client_of(address, key="none", **settings):
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, **settings)


def fetched(address, path, body=None, **headers):
    """The status, headers and content of an answer."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def refused(address, **fields):
    """The status and the error of a request that is like a good one but for some fields."""
    status, _, content = fetched(
        address, "/v1/chat/completions", {"model": "clerk", "messages": HELLO, **fields}, Authorization=f"Bearer {KEY}"
    )
    return status, json.loads(content)["error"]


@pytest.fixture(scope="module")
def address():
    limits = ChatLimits(body_bytes=20_000, completion_tokens=100)
    with served(service("Hello! How can I help?", CALLS, limits=limits, keys=ApiKeys([KEY]))) as address:
        yield address


@pytest.fixture
def client(address):
    with client_of(address, KEY) as client:
        yield client


def test_the_official_client_chats(client):
    answer = client.chat.completions.create(model="clerk", messages=HELLO)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "Hello! How can I help?")
    assert choice.finish_reason == "stop"
    assert choice.message.tool_calls is None
    assert answer.usage is None  # a stub has no tokens, so none are made up
    assert [model.id for model in client.models.list()] == ["clerk"]
    assert client.models.retrieve("clerk").id == "clerk"


def test_max_tokens_and_stop_are_the_requests_own(client):
    short = client.chat.completions.create(model="clerk", messages=HELLO, max_completion_tokens=2)
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("Hello! How", "length")
    for stop in (" can", [" I", " can"]):
        stopped = client.chat.completions.create(model="clerk", messages=HELLO, stop=stop)
        assert stopped.choices[0].message.content == "Hello! How"


def test_it_streams(client):
    with client.chat.completions.create(model="clerk", messages=HELLO, stream=True) as chunks:
        deltas = [chunk.choices[0] for chunk in chunks]
    assert deltas[0].delta.role == "assistant"
    assert [delta.delta.content for delta in deltas[1:-1]] == ["Hello!", " How", " can", " I", " help?"]
    assert [delta.finish_reason for delta in deltas[-2:]] == [None, "stop"]


SECOND = [*HELLO, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Order 17."}]


def test_calls_are_told_as_calls_and_thoughts_not_at_all(client):
    (choice,) = client.chat.completions.create(model="clerk", messages=SECOND, tools=TOOLS).choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "One moment."
    good, broken = choice.message.tool_calls
    assert (good.function.name, json.loads(good.function.arguments)) == ("get_order", {"order_id": "17"})
    assert broken.function.name == "unreadable_call"
    assert "{broken}" in broken.function.arguments  # so that the model can be told what is wrong with it
    assert good.id != broken.id


def test_calls_are_streamed(client):
    told = []
    with client.chat.completions.create(model="clerk", messages=SECOND, tools=TOOLS, stream=True) as chunks:
        told = [chunk.choices[0] for chunk in chunks]
    assert "".join(each.delta.content or "" for each in told) == "One moment."
    calls = [call for each in told for call in each.delta.tool_calls or ()]
    assert [call.index for call in calls] == [0, 1]
    assert json.loads(calls[0].function.arguments) == {"order_id": "17"}
    assert told[-1].finish_reason == "tool_calls"


CUT = {"tools": TOOLS, "max_tokens": 5}  # of the words that a stub counts, the last is in the middle of the first call


def test_a_call_that_the_limit_cuts_is_told_so(client):
    (choice,) = client.chat.completions.create(model="clerk", messages=SECOND, **CUT).choices
    assert choice.finish_reason == "length"
    (call,) = choice.message.tool_calls
    assert call.function.name == "unreadable_call"
    with client.chat.completions.create(model="clerk", messages=SECOND, stream=True, **CUT) as chunks:
        told = [chunk.choices[0] for chunk in chunks]
    assert told[-1].finish_reason == "length"
    assert [call.function.name for each in told for call in each.delta.tool_calls or ()] == ["unreadable_call"]


def test_the_results_of_calls_are_taken_and_the_conversation_goes_on(client):
    message = client.chat.completions.create(model="clerk", messages=SECOND, tools=TOOLS).choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "{}"} for call in message.tool_calls]
    went_on = client.chat.completions.create(model="clerk", messages=[*SECOND, message, *results], tools=TOOLS)
    assert went_on.choices[0].message.content == "Hello! How can I help?"


@pytest.mark.parametrize("settings", [{}, {"tools": TOOLS, "tool_choice": "none"}])
def test_without_tools_calls_are_text(client, settings):
    (choice,) = client.chat.completions.create(model="clerk", messages=SECOND, **settings).choices
    assert choice.message.content.startswith('One moment. <tool_call>{"name": "get_order"')
    assert (choice.message.tool_calls, choice.finish_reason) == (None, "stop")
    with client.chat.completions.create(model="clerk", messages=SECOND, stream=True, **settings) as chunks:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == choice.message.content


def test_several_answers_can_be_asked_for(client):
    answer = client.chat.completions.create(model="clerk", messages=HELLO, n=3)
    assert [(choice.index, choice.message.content) for choice in answer.choices] == [
        (place, "Hello! How can I help?") for place in range(3)
    ]
    with client.chat.completions.create(model="clerk", messages=HELLO, n=2, stream=True) as chunks:
        told = {0: "", 1: ""}
        for chunk in chunks:
            told[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert set(told.values()) == {"Hello! How can I help?"}


def test_content_may_come_in_parts_and_instructions_from_developers(client):
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo!"}]
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    assert client.chat.completions.create(model="clerk", messages=messages).choices[0].message.content


def test_the_asynchronous_client_works_as_well(address):
    async def answers():
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0) as client:
            asked = [client.chat.completions.create(model="clerk", messages=HELLO) for _ in range(20)]
            return await asyncio.gather(*asked)

    assert {answer.choices[0].message.content for answer in asyncio.run(answers())} == {"Hello! How can I help?"}


BAD = [
    ({"model": "other"}, 404, "no model 'other' here, only 'clerk'"),
    ({"messages": []}, 400, "messages: List should have at least 1 item"),
    ({"messages": [{"role": "system", "content": "x"}]}, 400, "only instructions"),
    ({"messages": [*HELLO, {"role": "assistant", "content": "x"}]}, 400, "the last is the assistant's own"),
    ({"messages": [*HELLO, {"role": "system", "content": "x"}, *HELLO]}, 400, "instructions stand at the beginning"),
    ({"messages": [{"role": "user"}]}, 400, "messages.0: a message has content"),
    ({"messages": [{"role": "tool", "content": "x"}]}, 400, "tool_call_id"),
    ({"messages": [{"role": "king", "content": "x"}]}, 400, "messages.0.role"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages.0.content"),
    ({"temprature": 1.0}, 400, "unknown field 'temprature'"),
    ({"temperature": 3}, 400, "temperature: "),
    ({"top_p": 0}, 400, "top_p: "),
    ({"max_tokens": 0}, 400, "max_tokens: "),
    ({"max_tokens": 101}, 400, "max_tokens may be 100 at most, not 101"),
    ({"max_tokens": 1, "max_completion_tokens": 2}, 400, "leave out one"),
    ({"stop": ""}, 400, "stop"),
    ({"stop": ["a"] * 17}, 400, "more than 16"),
    ({"n": 17}, 400, "n: "),
    ({"n": 1.5}, 400, "n: "),
    ({"seed": 2**63}, 400, "seed: "),
    ({"logprobs": True}, 400, "logprobs: "),
    ({"logit_bias": {"1": 5}}, 400, "logit_bias: "),
    ({"presence_penalty": 1}, 400, "presence_penalty: "),
    ({"response_format": {"type": "json_object"}}, 400, "response_format.type: "),
    ({"tool_choice": "required"}, 400, "tool_choice: "),
    ({"stream_options": {"include_usage": True}}, 400, "not streamed"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, 400, "tools.0.function.name"),
]


@pytest.mark.parametrize(("fields", "status", "fragment"), BAD)
def test_what_can_not_be_answered_is_refused_with_the_reason(address, fields, status, fragment):
    got, error = refused(address, **fields)
    assert (got, set(error)) == (status, {"message", "type", "param", "code"})
    assert fragment in error["message"]


def test_schemas_that_are_nested_too_deeply_are_refused(address):
    nested = {}
    for _ in range(40):
        nested = {"properties": nested}
    status, error = refused(address, tools=[{"type": "function", "function": {"name": "a", "parameters": nested}}])
    assert status == 400
    assert "nested deeper than 32" in error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model": "\\ud800", "messages": []}', b"[" * 10_000])
def test_bodies_that_are_no_request_are_refused(address, body):
    status, _, content = fetched(address, "/v1/chat/completions", body, Authorization=f"Bearer {KEY}")
    assert status == 400
    assert json.loads(content)["error"]["message"]


def test_bodies_that_are_too_long_are_refused(address):
    status, error = refused(address, messages=[{"role": "user", "content": "x" * 20_000}])
    assert (status, error["code"]) == (413, "body_too_large")
    host, port = address.removeprefix("http://").split(":")
    # In chunks, without saying before how long it is.
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"4e20\r\n" + b"x" * 0x4E20 + b"\r\n" + b"ff\r\n" + b"x" * 0xFF + b"\r\n0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_key_is_wanted(address):
    for key in ("none", "first-secret-and-more"):
        with pytest.raises(openai.AuthenticationError, match="wants a key"):
            client_of(address, key).chat.completions.create(model="clerk", messages=HELLO)
    assert fetched(address, "/v1/models")[0] == 401
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert fetched(address, path)[0] == 200


def test_paths_and_methods_that_are_not_there_are_told_in_the_same_form(address):
    status, _, content = fetched(address, "/v2/nothing")
    assert (status, json.loads(content)["error"]["code"]) == (404, "not_found")
    status, headers, content = fetched(address, "/v1/chat/completions")
    assert (status, json.loads(content)["error"]["code"]) == (405, "method_not_allowed")
    assert headers["allow"] == "POST"


class Slow:
    """Answers when it is let; the question ``bad`` never."""

    concurrency = 64

    def __init__(self):
        self.let = threading.Event()
        self.begun = threading.Semaphore(0)
        self.ended = threading.Event()

    def generate(self, conversations, sampling):
        self.begun.release()
        text = conversations[0][-1]["content"]
        if text == "bad":
            raise RuntimeError("out of memory")
        if text == "far":
            raise BackendError("'m' at http://elsewhere can't be reached")
        assert self.let.wait(10)
        return [Completion("done")]

    def stream(self, conversation, sampling):
        try:
            yield "one "
            if conversation[-1]["content"] == "bad":
                raise RuntimeError("out of memory")
            while not self.let.wait(0.01):
                yield "more "
        finally:
            self.ended.set()
        return Completion("one more")


def test_more_than_it_can_take_is_told_to_come_later():
    backend, limits = Slow(), ChatLimits(batch=2, waiting=1, per_key=2)
    with served(service(backend=backend, limits=limits, keys=ApiKeys([KEY, "second-secret"]))) as address:
        first, second = client_of(address, KEY), client_of(address, "second-secret")
        with ThreadPoolExecutor() as pool:
            asked = [pool.submit(first.chat.completions.create, model="clerk", messages=HELLO) for _ in range(2)]
            for _ in asked:
                assert backend.begun.acquire(timeout=60)
            with pytest.raises(openai.RateLimitError, match="has 2 requests under way") as told:
                first.chat.completions.create(model="clerk", messages=HELLO)
            assert told.value.response.headers["Retry-After"] == "1"
            asked.append(pool.submit(second.chat.completions.create, model="clerk", messages=HELLO))
            deadline = time.monotonic() + 60
            while b"waiting_requests 1.0" not in fetched(address, "/metrics")[2]:
                assert time.monotonic() < deadline
            with pytest.raises(openai.InternalServerError, match="takes no more than 3") as told:
                second.chat.completions.create(model="clerk", messages=HELLO)
            assert told.value.status_code == 503
            backend.let.set()
            assert {each.result().choices[0].message.content for each in asked} == {"done"}
        metrics = fetched(address, "/metrics")[2].decode()
    for status, count in ((200, 3), (429, 1), (503, 1)):
        assert f'stateset_chat_requests_total{{status="{status}"}} {count}.0' in metrics


def test_what_takes_too_long_ends():
    backend = Slow()
    with served(service(backend=backend, limits=ChatLimits(seconds=0.1))) as address, client_of(address) as client:
        with pytest.raises(openai.InternalServerError, match=r"longer than 0\.1 s") as told:
            client.chat.completions.create(model="clerk", messages=HELLO)
        assert told.value.status_code == 504
        with (
            client.chat.completions.create(model="clerk", messages=HELLO, stream=True) as chunks,
            pytest.raises(openai.APIError, match=r"longer than 0\.1 s"),
        ):
            for _ in chunks:
                pass
        assert backend.ended.wait(5)
        backend.let.set()


def test_failures_are_told_without_what_is_inside(caplog):
    backend = Slow()
    with served(service(backend=backend)) as address, client_of(address) as client:
        with pytest.raises(openai.InternalServerError, match="its log says why") as told:
            client.chat.completions.create(model="clerk", messages=[{"role": "user", "content": "bad"}])
        assert told.value.status_code == 500
        assert "memory" not in str(told.value)
        with pytest.raises(openai.InternalServerError, match="can't be reached") as told:
            client.chat.completions.create(model="clerk", messages=[{"role": "user", "content": "far"}])
        assert told.value.status_code == 502
        with (
            client.chat.completions.create(
                model="clerk", messages=[{"role": "user", "content": "bad"}], stream=True
            ) as chunks,
            pytest.raises(openai.APIError, match="its log says why"),
        ):
            for _ in chunks:
                pass
        assert b"broken_streams_total 1.0" in fetched(address, "/metrics")[2]
    assert "out of memory" in caplog.text


def test_a_client_that_goes_away_is_not_worked_for():
    backend = Slow()
    with served(service(backend=backend, limits=ChatLimits(batch=1, waiting=0))) as address:
        with client_of(address) as client:
            chunks = client.chat.completions.create(model="clerk", messages=HELLO, stream=True)
            next(iter(chunks))
            chunks.close()
        assert backend.ended.wait(5)
        with client_of(address, timeout=0.1) as client, pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model="clerk", messages=HELLO)
        deadline = time.monotonic() + 60
        while b"abandoned_requests_total 2.0" not in fetched(address, "/metrics")[2]:
            assert time.monotonic() < deadline
        backend.let.set()
        while True:  # there is room again
            with client_of(address) as client:
                try:
                    answer = client.chat.completions.create(model="clerk", messages=HELLO)
                    break
                except openai.InternalServerError:
                    assert time.monotonic() < deadline
        assert answer.choices[0].message.content == "done"


def test_a_shutdown_finishes_what_runs():
    backend = Slow()
    with ThreadPoolExecutor() as pool:
        with served(service(backend=backend)) as address:
            asked = pool.submit(client_of(address).chat.completions.create, model="clerk", messages=HELLO)
            assert backend.begun.acquire(timeout=60)
            threading.Timer(0.2, backend.let.set).start()
        assert asked.result(5).choices[0].message.content == "done"
        with pytest.raises(openai.APIConnectionError):
            client_of(address).chat.completions.create(model="clerk", messages=HELLO)


def lines(caplog):
    return [json.loads(each.message) for each in caplog.records if each.name == "ss_gym.serving.requests"]


def test_each_request_is_a_line_of_the_log_without_what_was_said(caplog):
    caplog.set_level(logging.INFO, "ss_gym.serving.requests")
    with served(service("My secret answer.")) as address:
        body = {"model": "clerk", "messages": [{"role": "user", "content": "My secret question."}]}
        headers = fetched(address, "/v1/chat/completions", body, **{"X-Request-Id": "mine-1"})[1]
        forged = fetched(address, "/v1/chat/completions", body, **{"X-Request-Id": 'x" y'})[1]
    line, other = lines(caplog)
    assert headers["x-request-id"] == line["request"] == "mine-1"
    assert forged["x-request-id"] == other["request"] != 'x" y'
    assert (line["path"], line["status"], line["key"], line["finish"]) == (
        "/v1/chat/completions",
        200,
        "anyone",
        ["stop"],
    )
    assert 0 <= line["waited"] <= line["seconds"] < 10
    assert "secret" not in caplog.text


def test_what_was_said_is_logged_where_that_is_wished(caplog):
    caplog.set_level(logging.INFO, "ss_gym.serving.requests")
    with served(service("Hi!", log_bodies=True)) as address, client_of(address) as client:
        client.chat.completions.create(model="clerk", messages=HELLO)
    (line,) = lines(caplog)
    assert (line["messages"], line["answers"]) == (HELLO, [{"role": "assistant", "content": "Hi!"}])


@pytest.mark.parametrize(
    "limits", [{"batch": 0}, {"seconds": 0}, {"waiting": -1}, {"per_key": 0}, {"body_bytes": 0}, {"patience": -1}]
)
def test_limits_under_which_nothing_is_served_are_refused(limits):
    with pytest.raises(ValueError, match="must"):
        ChatLimits(**limits)
