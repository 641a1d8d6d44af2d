"""The backend for OpenAI-compatible servers, against a stand-in that answers as each test wants."""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import gymnasium
import pytest

from ss_gym.actions import parse_action
from ss_gym.agents import AgentConfig, Conversation, MultiTurnAgent, Sampling, load_backend
from ss_gym.agents.backends import BackendError
from ss_gym.agents.openai_backend import OpenAIBackend, Usage
from ss_gym.types import Completion
from tests.ss_gym.agents.chat_server import answered, failed, serving

FAST = {"retry_after_ms": "1"}  # what the stand-in says of when to try again


def backend_at(port, **options):
    return load_backend(AgentConfig(f"openai://127.0.0.1:{port}/org/model", backend_options=options))


def asked(*texts):
    return [Conversation([{"role": "user", "content": text}]) for text in texts]


def test_the_answers_come_in_the_order_of_the_conversations_and_everything_is_passed_on():
    sampling = Sampling(7, 0.5, top_p=0.9, stop=("END",), seed=3)
    with serving(lambda request, n: answered(request["messages"][-1]["content"].upper()), delay=0.05) as (port, told):
        backend = backend_at(port, extra_body={"min_p": 0.1})
        assert isinstance(backend, OpenAIBackend)
        completions = backend.generate(asked(*"abcdef"), sampling)
    assert [completion.text for completion in completions] == [*"ABCDEF"]
    assert {completion.finish_reason for completion in completions} == {"stop"}
    request = next(each for each in told.requests if each["messages"][-1]["content"] == "c")
    expected = {"model": "org/model", "max_tokens": 7, "temperature": 0.5, "top_p": 0.9, "stop": ["END"], "seed": 5}
    expected |= {"min_p": 0.1, "path": "/v1/chat/completions"}
    assert request == {**expected, "messages": [{"role": "user", "content": "c"}]}  # and no tools, nor min_tokens
    assert told.most > 1
    assert backend.usage == Usage(6, 66, 18)


def test_the_limit_goes_by_the_name_that_the_model_wants():
    with serving(lambda request, n: answered()) as (port, told):
        backend_at(port, limit_name="max_completion_tokens").generate(asked("a"), Sampling(7))
    assert told.requests[0]["max_completion_tokens"] == 7 and "max_tokens" not in told.requests[0]


def test_no_more_requests_are_under_way_than_the_options_allow():
    with serving(lambda request, n: answered(), delay=0.05) as (port, told):
        backend_at(port, concurrency=2).generate(asked(*"abcdef"), Sampling())
    assert told.most == 2


def test_nor_are_they_where_several_ask_at_once():
    with serving(lambda request, n: answered(), delay=0.05) as (port, told):
        backend = backend_at(port, concurrency=2)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda text: backend.generate(asked(text), Sampling()), "abcd"))
    assert told.most == 2 and len(told.requests) == 4


def test_tokens_are_paid_for():
    with serving(lambda request, n: answered(usage=(1_000_000, 500_000))) as (port, _):
        backend = backend_at(port, prices=[0.25, 2.0])
        backend.generate(asked("a", "b"), Sampling())
    assert backend.usage == Usage(2, 2_000_000, 1_000_000, 2.5)


def test_a_server_that_does_not_count_is_no_error():
    status, body = answered()
    with serving(lambda request, n: (status, {**body, "usage": {"prompt_tokens": None}})) as (port, _):
        backend = backend_at(port)
        assert backend.generate(asked("a"), Sampling())[0].text == "Hello!" and backend.usage == Usage(1)


def test_what_was_cut_off_says_so():
    with serving(lambda request, n: answered("One", finish_reason="length")) as (port, _):
        assert backend_at(port).generate(asked("a"), Sampling())[0].finish_reason == "length"


def test_calls_in_the_form_of_the_api_are_calls_of_the_environment_and_their_results_are_told():
    def answer(request, number):
        email, postal_code = "a@b.example", "1234"
        given = json.dumps({"email": email, "postal_code": postal_code}) if number == 0 else '{"order_id": '
        name = "verify_identity" if number == 0 else "get_order"
        call = {"id": "x1", "type": "function", "function": {"name": name, "arguments": given}}
        return answered("One moment." if number == 0 else None, [call], "tool_calls")

    env = gymnasium.make("StateSet/Refund-v0")
    observation, info = env.reset(seed=3)
    conversation = Conversation.begin(observation, info)
    with serving(answer) as (port, told):
        agent = MultiTurnAgent(AgentConfig(f"openai://127.0.0.1:{port}/m"))
        agent.load()
        for _ in range(2):
            (completion,) = agent.act([conversation])
            observation, _, _, _, info = env.step(completion.text)
            conversation.record(completion, observation, info)
    first, second = told.requests
    assert len(first["tools"]) == len(env.unwrapped.tools) > 3 and first["messages"][0]["role"] == "system"
    *_, own, result = second["messages"]
    assert own["content"] == "One moment." and own["tool_calls"][0]["function"]["name"] == "verify_identity"
    assert result["role"] == "tool" and result["tool_call_id"] == own["tool_calls"][0]["id"]
    assert json.loads(result["content"])["verified"] is False
    # Arguments that are no JSON are for the environment to tell the model of.
    assert "malformed tool call" in observation and parse_action(completion.text).tool_calls[0].error


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_what_may_pass_is_tried_again(status):
    def answer(request, number):
        return failed(status, **FAST) if number < 2 else answered("at last")

    with serving(answer) as (port, told):
        assert backend_at(port).generate(asked("a"), Sampling())[0].text == "at last"
    assert len(told.requests) == 3


@pytest.mark.parametrize(
    ("answer", "tries", "message"),
    [
        (failed(429, "slow down", **FAST), 3, r"takes no more requests for now, after 3 tries: .*slow down"),
        (failed(500, "it broke", **FAST), 3, r"refuses or fails: .*it broke"),
        (failed(401), 1, r"refuses the key: put a valid one into SOME_KEY"),
        (failed(404, "there is no model m"), 1, r"'org/model' at http://127.0.0.1:\d+/v1 .*there is no model m"),
        (failed(400, "too long"), 1, r"refuses or fails: .*too long"),
        ((200, {"choices": []}), 1, r"gave an answer without choices"),
        ((200, b"<html>", {"Content_Type": "text/html"}), 1, r"without choices: is its address right"),
        ((200, b"{"), 1, r"gave an answer that is none of such an API"),
    ],
)
def test_what_does_not_pass_is_an_error_that_says_why(answer, tries, message):
    with serving(lambda request, n: answer) as (port, told):
        backend = backend_at(port, retries=2, api_key_variable="SOME_KEY")
        with pytest.raises(BackendError, match=message):
            backend.generate(asked("a"), Sampling())
    assert len(told.requests) == tries


def test_one_that_fails_ends_the_batch_and_the_rest_is_not_asked():
    def answer(request, number):
        return failed(400, "too long") if number == 0 else answered()

    with serving(answer, delay=0.02) as (port, told):
        with pytest.raises(BackendError, match="too long"):
            backend_at(port, concurrency=1).generate(asked(*"abcdefgh"), Sampling())
        time.sleep(0.2)
        assert len(told.requests) <= 2


def test_one_that_fails_does_not_wait_for_those_that_are_under_way():
    release, ended = threading.Event(), []

    def answer(request, number):
        if request["messages"][0]["content"] == "b":
            return failed(400, "too long")
        release.wait(60)
        ended.append(number)
        return answered()

    with serving(answer) as (port, _):
        with pytest.raises(BackendError, match="too long"):
            backend_at(port).generate(asked(*"abc"), Sampling())
        assert not ended
        release.set()


def test_a_server_that_is_silent_or_not_there_is_an_error_in_time():
    with serving(lambda request, n: answered(), delay=1.0) as (port, _):
        with pytest.raises(BackendError, match=r"has not answered within 0.1 s, in 1 tries: give it more time"):
            backend_at(port, timeout=0.1, retries=0).generate(asked("a"), Sampling())
    with pytest.raises(BackendError, match=r"can't be reached \(.*\): is the server running"):
        backend_at(port, retries=0).generate(asked("a"), Sampling())


def events(*chunks):
    """What a server streams."""
    told = [
        {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [], **chunk}
        for chunk in chunks
    ]
    lines = [*(f"data: {json.dumps(each)}\n\n" for each in told), "data: [DONE]\n\n"]
    return 200, "".join(lines).encode(), {"Content_Type": "text/event-stream"}


def delta(finish_reason=None, **content):
    return {"choices": [{"index": 0, "delta": content, "finish_reason": finish_reason}]}


def called(index, **function):
    return delta(tool_calls=[{"index": index, "id": "x", "type": "function", "function": function}])


def drained(stream):
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return pieces, end.value


def test_an_answer_is_streamed_with_its_calls_at_the_end():
    usage = {"usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}
    chunks = [delta(role="assistant", content="One "), delta(content="moment."), called(1, name="b", arguments="")]
    chunks += [called(0, name="a", arguments='{"x"'), called(0, arguments=": 1}"), delta("tool_calls"), usage]
    with serving(lambda request, n: events(*chunks)) as (port, told):
        backend = backend_at(port)
        pieces, completion = drained(backend.stream(asked("a")[0], Sampling()))
    written = ('{"name": "a", "arguments": {"x": 1}}', '{"name": "b", "arguments": {}}')
    blocks = "".join(f"<tool_call>{each}</tool_call>" for each in written)
    assert pieces == ["One ", "moment.", blocks] and completion == Completion("One moment." + blocks)
    assert told.requests[0]["stream"] is True and backend.usage == Usage(1, 7, 2)


def test_a_stream_that_breaks_off_or_is_refused_is_an_error():
    with serving(lambda request, n: events(delta(content="One"))) as (port, _):
        with pytest.raises(BackendError, match="broke off its answer"):
            drained(backend_at(port).stream(asked("a")[0], Sampling()))
    with serving(lambda request, n: failed(400, "too long")) as (port, _):
        with pytest.raises(BackendError, match="too long"):
            drained(backend_at(port).stream(asked("a")[0], Sampling()))
    with serving(lambda request, n: events(delta("length", content="One"))) as (port, _):
        backend = backend_at(port)
        assert drained(backend.stream(asked("a")[0], Sampling()))[1].finish_reason == "length"
        assert backend.usage == Usage(1)


def test_the_key_is_read_from_the_variable_that_is_named(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    with serving(lambda request, n: answered()) as (port, told):
        backend_at(port, api_key_variable="SOME_KEY").generate(asked("a"), Sampling())
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        backend_at(port).generate(asked("a"), Sampling())
    assert told.keys == ["Bearer secret", "Bearer none"]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("openai://localhost:8000/m", "http://localhost:8000/v1"),
        ("openai://api.example.com/org/m", "https://api.example.com/v1"),
        ("openai://api.example.com:443/m", "https://api.example.com:443/v1"),
    ],
)
def test_where_the_api_is_follows_from_the_name(name, url):
    assert load_backend(AgentConfig(name)).base_url == url
    elsewhere = AgentConfig(name, backend_options={"base_url": "http://here/api"})
    assert load_backend(elsewhere).base_url == "http://here/api"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("openai://localhost:8000", {}, r"does not name a server and its model: write openai://HOST:PORT/MODEL"),
        ("openai:///m", {}, r"does not name a server"),
        ("openai://h/m", {"timout": 3}, r"'openai://h/m' has no backend option 'timout'; did you mean 'timeout'\?"),
        ("openai://h/m", {"timeout": 0}, r"timeout must be above 0"),
        ("openai://h/m", {"prices": [1.0]}, r"prices are two numbers"),
        ("openai://h/m", {"timeout": "60"}, r"'openai://h/m' has a backend option of a wrong kind \('>' not supported"),
        ("stub://demo", {"timeout": 3}, r"'stub://demo' has no backend option 'timeout'; it has none"),
    ],
)
def test_what_no_server_could_be_asked_with_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        load_backend(AgentConfig(name, backend_options=options))


def test_without_the_package_the_extra_is_named():
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from ss_gym.agents import AgentConfig, load_backend\n"
        "load_backend(AgentConfig('openai://h/m'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: the backend of 'openai://h/m' needs the package 'openai': pip install" in run.stderr
    assert "'stateset-gym[openai]'" in run.stderr
