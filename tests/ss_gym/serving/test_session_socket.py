"""What the WebSocket of an environment's server makes of anything that it is sent."""

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ss_gym.serving.access import ApiKeys
from ss_gym.serving.connection import LostError, RefusedError
from ss_gym.serving.environment_api import SessionLimits
from ss_gym.serving.environment_server import environment_server
from ss_gym.serving.server import served
from tests.ss_gym.serving.session_clients import KEY, connected, told_by

CALL = '<tool_call>{"name": "list_orders", "arguments": {"customer_id": "C1"}}</tool_call>'


@pytest.fixture(scope="module")
def address():
    limits = SessionLimits(message_bytes=50_000)
    with served(environment_server("StateSet/Refund-v0", limits=limits, keys=ApiKeys([KEY]))) as address:
        yield address


MESSAGES = (
    st.text()
    | st.binary()
    | st.fixed_dictionaries(
        {"do": st.sampled_from(["reset", "step", "restore", "climb"]) | st.integers()},
        optional={
            "seed": st.none() | st.integers(-1) | st.floats() | st.text(),
            "options": st.none() | st.dictionaries(st.text(), st.text() | st.integers()) | st.just([]),
            "action": st.text() | st.sampled_from(["\ud800", CALL]) | st.integers(),
            "step": st.integers() | st.none(),
            "state": st.text() | st.just('{"seed": 1}') | st.integers(),
            "types": st.dictionaries(st.sampled_from(["/action", "/options", "/x"]), st.sampled_from(["tuple", "<f4"])),
            "further": st.none(),
        },
    ).map(json.dumps)
)


@settings(max_examples=200, suppress_health_check=list(HealthCheck), deadline=None)
@given(message=MESSAGES)
def test_any_message_gets_an_answer_and_breaks_nothing(address, message):
    with connected(address) as connection:
        if isinstance(message, bytes):
            connection._protocol.send_binary(message)
            connection._flush(time.monotonic() + 60)
            told = json.loads(connection.receive(10))
        else:
            told = json.loads(connection.ask(message, 10))
        assert told.keys() >= {"observation"} or told["error"]["code"] != "internal_error"
        assert told_by(connection, do="reset", seed=1)["info"]["messages"]
        assert told_by(connection, do="step", action="Hello!", step=1)["info"]["step"] == 1


def test_options_that_are_nested_too_deeply_are_refused_however_they_are_sent(address):
    nested = '{"x": ' + "[" * 100 + "]" * 100 + "}"
    tuples = {f"/options/x{'/0' * depth}": "tuple" for depth in range(99, -1, -1)}
    with connected(address) as connection:
        for types in ({}, tuples):
            told = json.loads(connection.ask(f'{{"do":"reset","options":{nested},"types":{json.dumps(types)}}}', 10))
            assert told["error"]["code"] in ("invalid_value", "invalid_json")
            assert "levels" in told["error"]["message"]


def test_a_page_of_another_site_may_not_connect(address):
    for origin, allowed in ((address, True), ("https://evil.example", False), ("null", False), ("http://[", False)):
        if allowed:
            with connected(address, Origin=origin) as connection:
                assert told_by(connection, do="reset")["observation"]
        else:
            with pytest.raises(RefusedError, match="another site") as caught, connected(address, Origin=origin):
                pass
            assert caught.value.status == 403


def test_a_message_that_is_too_large_ends_the_connection(address):
    with connected(address) as connection, pytest.raises(LostError, match="more than 50000 bytes") as caught:
        told_by(connection, do="step", action="x" * 60_000)
    assert caught.value.code == 1009
    with connected(address) as connection, pytest.raises(LostError):
        connection.ask(json.dumps({"do": "step", "action": "€" * 20_000}, ensure_ascii=False), 10)
