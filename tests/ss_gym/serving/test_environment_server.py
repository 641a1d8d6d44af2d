"""The environment's server over real connections."""

import itertools
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import gymnasium
import pytest

from ss_gym.environment import Opening, Response, TextEnvironment
from ss_gym.serving.access import ApiKeys
from ss_gym.serving.connection import LostError, RefusedError
from ss_gym.serving.environment_api import SessionLimits
from ss_gym.serving.environment_server import environment_server
from ss_gym.serving.server import served
from tests.ss_gym.serving.session_clients import KEY, Plain, connected, fetched, told_by
from tests.ss_trainers.toy_env import register

ENV_ID, WAITING_ID = "StateSet/Refund-v0", "StateSetTest/Waiting-v0"
OTHER_KEY = "second-secret"
CALL = '<tool_call>{"name": "list_orders", "arguments": {"customer_id": "C1"}}</tool_call>'


class WaitingEnvironment(TextEnvironment):
    """Answers ``wait`` when it is let to, and ``fail`` not at all; counts those that are open."""

    begun, gate = threading.Event(), threading.Event()
    open_ones = 0

    def __init__(self, **settings):
        super().__init__(**settings)
        type(self).open_ones += 1

    def begin(self, seed, options):
        return Opening(({"role": "user", "content": f"I am {seed % 10}."},))

    def respond(self, action):
        if action.say == "wait":
            self.begun.set()
            self.gate.wait(20)
        if action.say == "fail":
            raise RuntimeError("the inside of the environment")
        told = self.from_outside(lambda: f"{action.say}, says {threading.current_thread().name}")
        return Response(({"role": "user", "content": told},), {"odd": float("nan")} if action.say == "nan" else {})

    def conclude(self, truncated):
        raise AssertionError("it does not end")

    def close(self):
        super().close()
        type(self).open_ones -= 1


class SecretiveEnvironment(gymnasium.Env):
    observation_space = action_space = gymnasium.spaces.Text(100)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return "hello", {"what": object()}


@pytest.fixture(scope="module", autouse=True)
def registered():
    gymnasium.register(WAITING_ID, WaitingEnvironment, order_enforce=False)
    gymnasium.register("StateSetTest/Secretive-v0", SecretiveEnvironment)
    yield
    for env_id in (WAITING_ID, "StateSetTest/Secretive-v0"):
        del gymnasium.registry[env_id]


@pytest.fixture(scope="module")
def address():
    limits = SessionLimits(message_bytes=50_000)
    with served(environment_server(ENV_ID, limits=limits, keys=ApiKeys([KEY, OTHER_KEY]))) as address:
        yield address


@pytest.fixture
def session(address):
    session = Plain(address)
    yield session
    session.close()


def as_json(value):
    return json.loads(json.dumps(value))


def test_an_episode_over_plain_http_is_that_of_a_local_environment(session):
    env = gymnasium.make(ENV_ID)
    observation, info = env.reset(seed=3, options={"split": "dev"})
    told = session.done("reset", seed=3, options={"split": "dev"})
    assert (told["observation"], told["info"]) == (observation, as_json(info))
    ended = False
    actions = itertools.chain([CALL, "\ud800 \x00 é", "🙂" * 2_000, "<tool_call>{"], itertools.repeat("Hm?"))
    while not ended:
        action = next(actions)
        observation, reward, terminated, truncated, info = env.step(action)
        told = session.done("step", action=action)
        assert (told["observation"], told["reward"]) == (observation, reward)
        assert (told["terminated"], told["truncated"], told["info"]) == (terminated, truncated, as_json(info))
        ended = terminated or truncated
    status, _, told = session.asked("step", action="Hm?")
    assert (status, told["error"]["code"]) == (409, "reset_needed")
    _, _, view = session.view()
    assert view["messages"] == as_json(env.messages)
    assert view["transcript"].startswith("Customer: ") and "Agent: -> list_orders(" in view["transcript"]
    session.done("reset")


def test_the_description_has_what_an_agent_is_told(address):
    env = gymnasium.make(ENV_ID)
    env.reset(seed=0)
    status, _, told = fetched(address, "GET", "/v1/environment")
    assert status == 200
    assert (told["id"], told["protocol"], told["rebuilds"]) == (ENV_ID, 1, True)
    assert (told["system_prompt"], told["tools"]) == (env.system_prompt, as_json(env.tools))
    assert told["action_space"] == {"max_length": 20_000, "min_length": 0, "characters": None}
    assert set(told["attributes"]["option_names"]) == env.option_names


def test_an_answer_that_was_lost_is_given_again_and_the_step_is_not_taken_twice(session):
    session.done("reset", seed=1)
    first = session.done("step", action="Hello!", step=1)
    assert session.done("step", action="Hello!", step=1) == first
    status, _, told = session.asked("step", action="Something else", step=1)
    assert (status, told["error"]["code"], told["error"]["param"]) == (409, "other_step", "step")
    assert session.asked("step", action="Hello!", step=3)[0] == 409
    assert session.done("step", action="Hello!", step=2)["info"]["step"] == 2


def test_a_state_goes_on_in_another_session(address, session):
    session.done("reset", seed=1)
    session.done("step", action="Hello!")
    state = session.view()[2]["state"]
    other = Plain(address)
    info = other.done("restore", state=state)["info"]
    assert info["messages"] == session.view()[2]["messages"] and info["tools"]
    assert other.view()[2]["state"] == state
    assert other.done("step", action=CALL, step=2) == session.done("step", action=CALL)
    assert other.done("reset") == session.done("reset")  # the generator goes on, too
    other.close()


@pytest.mark.parametrize(
    ("do", "fields", "status", "code", "words"),
    [
        ("step", {"action": 5}, 400, "invalid_value", "action"),
        ("step", {}, 400, "invalid_value", "action"),
        ("step", {"action": "a", "seed": 1}, 400, "unknown_field", "leave it out"),
        ("step", {"action": "a", "step": 0}, 400, "invalid_value", "step"),
        ("reset", {"seed": -1}, 400, "invalid_value", "seed"),
        ("reset", {"seed": 1.5}, 400, "invalid_value", "seed"),
        ("reset", {"seed": True}, 400, "invalid_value", "seed"),
        ("reset", {"options": [1]}, 400, "invalid_value", "options"),
        ("reset", {"options": {"splitt": "dev"}}, 400, "invalid_value", "did you mean 'split'?"),
        ("reset", {"options": {"split": "all"}}, 400, "invalid_value", "choose one of train, dev, test"),
        ("reset", {"options": {"scenario_id": 5}}, 400, "invalid_value", "5"),
        ("reset", {"options": {"split": json.loads("[" * 40 + "]" * 40)}}, 400, "invalid_value", "nested"),
        ("restore", {"state": "{}"}, 400, "invalid_state", "none that a server gave"),
        ("restore", {"state": "["}, 400, "invalid_state", "not JSON"),
        ("step", {"action": "x" * 60_000}, 413, "body_too_large", "50000 bytes"),
        ("climb", {}, 404, "not_found", "/docs"),
    ],
)
def test_a_request_that_can_not_be_served_is_told_what_is_wrong(session, do, fields, status, code, words):
    session.done("reset", seed=1)
    told_status, _, told = session.asked(do, **fields)
    assert (told_status, told["error"]["code"]) == (status, code)
    assert words in told["error"]["message"]
    session.done("reset")  # nothing is broken


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 40_000, b"null"])
def test_a_body_that_can_not_be_read_is_refused(address, session, body):
    status, _, told = fetched(address, "POST", f"{session.path}/step", body)
    assert status == 400 and told["error"]["message"]


def test_a_session_is_that_of_its_key_and_may_be_closed_once(address, session):
    for path in (session.path, "/v1/sessions/none"):
        status, _, told = fetched(address, "GET", path, key=OTHER_KEY)
        assert (status, told["error"]["code"]) == (404, "no_session")
    assert session.asked("step", action="Hello!")[0] == 409  # before the first reset
    assert session.close()[0] == 204
    status, _, told = session.close()
    assert (status, told["error"]["code"]) == (410, "ended_closed")


def test_without_the_key_there_is_nothing_but_the_state_of_the_server(address):
    for method, path in (("GET", "/v1/environment"), ("POST", "/v1/sessions"), ("GET", "/v1/sessions/a")):
        status, headers, told = fetched(address, method, path, key="wrong-secret")
        assert (status, headers["WWW-Authenticate"], told["error"]["code"]) == (401, "Bearer", "invalid_api_key")
    with pytest.raises(RefusedError, match="wants a key") as caught, connected(address, "wrong-secret"):
        pass
    assert caught.value.status == 401
    for path in ("/healthz", "/readyz", "/metrics"):
        assert fetched(address, "GET", path, key="")[0] == 200


def test_only_so_many_sessions_are_open_at_once():
    with served(environment_server(ENV_ID, limits=SessionLimits(sessions=2))) as address:
        with connected(address):
            session = Plain(address)
            status, headers, told = fetched(address, "POST", "/v1/sessions")
            assert (status, told["error"]["code"]) == (503, "too_many_sessions")
            assert int(headers["Retry-After"]) >= 1
            with pytest.raises(RefusedError, match="all 2 sessions") as caught, connected(address):
                pass
            assert (caught.value.status, caught.value.retry_after) == (503, 5.0)
            session.close()
            with connected(address):
                assert fetched(address, "POST", "/v1/sessions")[0] == 503


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_sessions_end_when_nobody_uses_them_or_their_time_is_over():
    clock, limits = Clock(), SessionLimits(idle_seconds=0.2, life_seconds=1.0)  # swept every 0.05 seconds
    app = environment_server(ENV_ID, limits=limits, clock=clock)
    with served(app) as address, connected(address) as connection:
        idle, old = Plain(address), Plain(address)
        for now in (0.15, 0.3):
            clock.now = now
            told_by(connection, do="reset")
            old.done("reset")
        assert idle.view()[2]["error"]["code"] == "ended_idle"
        clock.now = 1.1
        assert old.view()[2]["error"]["code"] in ("ended_idle", "ended_old")
        with pytest.raises(LostError, match="idle") as caught:
            connection.receive(10)
        assert caught.value.code == 4410
    clock = Clock()
    with served(environment_server(ENV_ID, limits=limits, clock=clock)) as address:
        session = Plain(address)
        for step in range(1, 11):
            clock.now = step * 0.1
            session.done("reset")
        clock.now = 1.05
        status, _, told = session.view()
        assert (status, told["error"]["code"]) == (410, "ended_old")


@pytest.fixture
def waiting():
    """A server whose environment waits."""
    WaitingEnvironment.begun.clear()
    WaitingEnvironment.gate.clear()
    with served(environment_server(WAITING_ID)) as address:
        yield address
        WaitingEnvironment.gate.set()


def test_an_environment_that_waits_keeps_nobody_else_waiting(waiting):
    one, other = Plain(waiting), Plain(waiting)
    for session in (one, other):
        session.done("reset", seed=1)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(one.done, "step", action="wait")
        assert WaitingEnvironment.begun.wait(20)
        assert one.view()[0] == 409
        assert one.asked("step", action="Hello!")[2]["error"]["code"] == "busy"
        assert "Hello!, says" in other.done("step", action="Hello!")["observation"]
        assert fetched(waiting, "GET", "/healthz")[0] == 200
        WaitingEnvironment.gate.set()
        assert answer.result()["replies"] == ["wait, says session"]
    again = other.done("step", action="Hello!")
    assert again["replies"] == ["Hello!, says session"]  # those of this step


def test_an_environment_that_does_not_answer_is_given_up():
    WaitingEnvironment.gate.clear()
    with served(environment_server(WAITING_ID, limits=SessionLimits(answer_seconds=0.5))) as address:
        session = Plain(address)
        session.done("reset", seed=1)
        status, _, told = session.asked("step", action="wait")
        assert (status, told["error"]["code"]) == (504, "overdue")
        assert session.view()[2]["error"]["code"] == "ended_overdue"
        with connected(address) as connection:
            told_by(connection, do="reset")
            assert told_by(connection, do="step", action="wait")["error"]["code"] == "overdue"
            with pytest.raises(LostError):
                connection.receive(10)
        WaitingEnvironment.gate.set()


def test_what_fails_inside_is_not_told_and_the_session_goes_on(waiting, caplog):
    session = Plain(waiting)
    session.done("reset", seed=1)
    status, headers, told = session.asked("step", action="fail")
    assert (status, told["error"]["code"]) == (500, "internal_error")
    assert headers["X-Request-Id"]
    assert "inside of the environment" not in told["error"]["message"]
    assert caplog.text.count("RuntimeError: the inside of the environment") == 1
    assert b'errors_total{status="500"} 1.0' in fetched(waiting, "GET", "/metrics")[2]
    assert session.done("step", action="nan")["types"] == {"/reward": "float", "/info/reward_terms/odd": "float"}
    with connected(waiting) as connection:
        told_by(connection, do="reset")
        assert told_by(connection, do="step", action="fail")["error"]["code"] == "internal_error"
        assert told_by(connection, do="step", action="Hello!")["info"]["step"] == 1


def test_the_environment_of_another_package_is_served_and_not_restored():
    with served(environment_server(register())) as address:
        session = Plain(address)
        assert session.asked("step", action="a")[0] == 409
        told = session.done("reset", seed=1)
        env = gymnasium.make(register(), disable_env_checker=True)
        assert told["observation"] == env.reset(seed=1)[0]
        assert "state" not in told
        assert session.done("step", action="a")["reward"] == env.step("a")[1]
        assert session.asked("restore", state="{}")[2]["error"]["code"] == "not_restorable"
        assert (session.view()[2]["messages"], session.view()[2]["steps"]) == ([], 1)
        assert session.done("step", action="a")["terminated"]
        assert session.asked("step", action="a")[0] == 409


def test_an_info_that_can_not_be_sent_is_told_with_its_place():
    with served(environment_server("StateSetTest/Secretive-v0")) as address:
        status, _, told = Plain(address).asked("reset", seed=1)
        assert (status, told["error"]["code"]) == (500, "unsendable")
        assert "/info/what is of the type object" in told["error"]["message"]


def test_what_can_not_be_served_is_refused_at_once():
    with pytest.raises(TypeError, match="only environments of text"):
        environment_server("StateSet/RefundDiscrete-v0")
    with pytest.raises(ValueError, match="a person at this terminal"):
        environment_server(ENV_ID, {"user": "human"})
    with pytest.raises(gymnasium.error.NameNotFound):
        environment_server("StateSet/Nothing-v0")


def test_metrics_count_and_the_log_has_a_line_a_session_without_what_was_said(caplog):
    caplog.set_level(logging.INFO, "ss_gym.serving.requests")
    with served(environment_server(ENV_ID, keys=ApiKeys([KEY]))) as address:
        with connected(address) as connection:
            told_by(connection, do="reset", seed=1)
            said = told_by(connection, do="step", action="A very secret word.")["observation"]
            told_by(connection, do="step")
        session = Plain(address)
        session.done("reset", seed=1)
        counted = fetched(address, "GET", "/metrics")[2].decode()
    # A line is written when its answer has gone out, so all are there only when the server has ended.
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name.endswith("requests")]
    assert 'stateset_environment_opened_sessions_total{transport="websocket"} 1.0' in counted
    assert 'stateset_environment_ended_sessions_total{reason="closed"} 1.0' in counted
    assert 'stateset_environment_errors_total{status="400"} 1.0' in counted
    assert "stateset_environment_sessions 1.0" in counted
    assert "stateset_environment_step_seconds_count 1.0" in counted
    assert "stateset_environment_reset_seconds_count 2.0" in counted
    (ended,) = [line for line in lines if line.get("transport") == "websocket" and line["steps"]]
    assert (ended["transport"], ended["key"], ended["ended"]) == ("websocket", "key-1", "closed")
    assert (ended["episodes"], ended["steps"]) == (1, 1)
    assert {line["path"] for line in lines if "path" in line} == {"/v1/sessions", f"{session.path}/reset", "/metrics"}
    assert "secret word" not in caplog.text and said not in caplog.text and KEY not in caplog.text


def test_a_server_that_ends_closes_all_environments():
    before = WaitingEnvironment.open_ones
    with served(environment_server(WAITING_ID)) as address:
        sessions = [Plain(address) for _ in range(3)]
        sessions[0].done("reset", seed=1)
        with connected(address) as connection:
            assert WaitingEnvironment.open_ones == before + 4
            told_by(connection, do="reset", seed=1)
    for _ in range(200):  # those of threads close by themselves
        if WaitingEnvironment.open_ones == before:
            break
        time.sleep(0.01)
    assert WaitingEnvironment.open_ones == before
