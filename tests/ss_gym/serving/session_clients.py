"""Clients of an environment's server that are less comfortable than RemoteEnvironment."""

import json
import time
import urllib.error
import urllib.request
from contextlib import closing, contextmanager

from ss_gym.serving.connection import Connection

KEY = "first-secret"


def fetched(address, method, path, body=None, key=KEY, **headers):
    """The status, headers and content of an answer; a body that is no bytes is sent as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}", **headers}
    request = urllib.request.Request(address + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
            told = json.loads(content) if "json" in answer.headers.get("Content-Type", "") else content
            return answer.status, answer.headers, told
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.loads(error.read())


class Plain:
    """A session as a client in another language would use it."""

    def __init__(self, address, key=KEY):
        status, headers, told = fetched(address, "POST", "/v1/sessions", key=key)
        assert status == 201
        self.path = f"/v1/sessions/{told['id']}"
        assert headers["Location"] == self.path
        self._address, self._key = address, key

    def asked(self, do, **fields):
        return fetched(self._address, "POST", f"{self.path}/{do}", fields, key=self._key)

    def done(self, do, **fields):
        status, _, told = self.asked(do, **fields)
        assert status == 200, told
        return told

    def view(self):
        return fetched(self._address, "GET", self.path, key=self._key)

    def close(self):
        return fetched(self._address, "DELETE", self.path, key=self._key)


@contextmanager
def connected(address, key=KEY, **headers):
    headers = {"Authorization": f"Bearer {key}", **headers}
    with closing(Connection(f"ws{address.removeprefix('http')}/v1/session", headers, 10)) as connection:
        assert json.loads(connection.receive(10))["protocol"] == 1
        yield connection


def told_by(connection, **fields):
    return json.loads(connection.ask(json.dumps(fields), 20))


def wait_for(condition):
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
