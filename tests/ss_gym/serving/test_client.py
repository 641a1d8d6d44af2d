"""What a client of an environment's server makes of servers that are none, or want something else."""

import json
import pickle
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager

import pytest
from websockets.sync.server import serve

from ss_gym import RemoteEnvironment
from ss_gym.serving.access import ApiKeys
from ss_gym.serving.client import RemoteError
from ss_gym.serving.environment_api import SessionLimits
from ss_gym.serving.environment_server import environment_server
from ss_gym.serving.server import served
from tests.ss_gym.serving.session_clients import wait_for

ENV_ID = "StateSet/Refund-v0"


@contextmanager
def speaking(*greetings, status=None):
    """A server that says something else: it answers the handshake with a status, or greets with a message."""

    def greet(connection):
        for greeting in greetings:
            connection.send(greeting)
        for _ in connection:
            pass  # and never answers

    def refuse(connection, request):
        return connection.respond(status, "no") if status else None

    with serve(greet, "127.0.0.1", 0, process_request=refuse) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def test_a_server_that_is_none_is_told_in_a_sentence(url, remote):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RemoteError, match=r"can't be reached, in 2 tries \(.*refused\): is it running"):
        RemoteEnvironment(nobody, retries=1)
    with pytest.raises(RemoteError, match=r"has StateSet/Refund-v0, not StateSet/Refund-v1"):
        RemoteEnvironment(url, "StateSet/Refund-v1")
    greeting = json.loads(remote.description.model_dump_json())
    for spoken, status, words in (
        (json.dumps({**greeting, "protocol": 2, "server": "9.9"}), None, r"stateset-gym 9\.9\) speaks version 2"),
        ("Hello!", None, "a WebSocket, but no environment's server"),
        (json.dumps({**greeting, "limits": 5}), None, "a WebSocket, but no environment's server"),
        ("", 404, "is no environment's server .*serve-env"),
        ("", 401, "refuses the key: give a valid one as api_key=… or in STATESET_API_KEY"),
    ):
        with speaking(spoken, status=status) as address, pytest.raises(RemoteError, match=words):
            RemoteEnvironment(address, retries=0)
    for bad in ("localhost:8002", "ftp://a", "http://", "http://a:b", "http://a/?x=1"):
        with pytest.raises(ValueError, match="is no address of a server"):
            RemoteEnvironment(bad)
    for settings in ({"timeout": 0}, {"retries": -1}):
        with pytest.raises(ValueError, match="timeout must be above 0"):
            RemoteEnvironment(url, **settings)


def test_a_server_that_does_not_answer_is_given_up_and_what_it_says_later_is_not_taken_for_an_answer(remote):
    greeting = remote.description.model_dump_json()
    with speaking(greeting) as address:
        slow = RemoteEnvironment(address, timeout=0.1)
        with pytest.raises(RemoteError, match=r"has not answered within 0\.1 s: give it more time"):
            slow.reset(seed=1)
        assert slow._client._connection is None
    with speaking(greeting, "[]") as address, pytest.raises(RemoteError, match="an answer that can't be read"):
        RemoteEnvironment(address).reset(seed=1)


def test_who_finds_no_room_waits_for_it_and_says_so_if_there_is_none():
    with served(environment_server(ENV_ID, limits=SessionLimits(sessions=1))) as address:
        first = RemoteEnvironment(address)
        with pytest.raises(RemoteError, match=r"takes nobody, in one try: all 1 sessions are taken"):
            RemoteEnvironment(address, retries=0)
        first.close()
        wait_for(lambda: opened(address))


def opened(address):
    try:
        RemoteEnvironment(address, retries=0).close()
    except RemoteError:
        return False
    return True


def test_the_key_is_given_or_that_of_the_environment_variable(monkeypatch):
    with served(environment_server(ENV_ID, keys=ApiKeys(["first-secret"]))) as address:
        with pytest.raises(RemoteError, match="refuses the key"):
            RemoteEnvironment(address)
        with closing(RemoteEnvironment(address, api_key="first-secret")) as remote:
            assert b"first-secret" in pickle.dumps(remote)
        monkeypatch.setenv("STATESET_API_KEY", "first-secret")
        with closing(RemoteEnvironment(address)) as remote:
            assert remote.reset(seed=1)[0]
            assert b"first-secret" not in pickle.dumps(remote)


def test_the_client_needs_websockets_alone_and_says_so():
    script = "import sys; sys.modules.update({name: None for name in sys.argv[1:]}); import ss_gym.remote"
    for missing, words in (
        (("fastapi", "starlette", "uvicorn", "prometheus_client"), ""),
        (("websockets",), "needs the package 'websockets': pip install 'stateset-gym[serve]'"),
    ):
        done = subprocess.run([sys.executable, "-c", script, *missing], capture_output=True, text=True)
        assert done.returncode == bool(words) and words in done.stderr
