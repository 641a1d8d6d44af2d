"""``stateset-agents serve-env`` as a process of its own."""

import json
import signal
import socket
from urllib.parse import urlsplit

import gymnasium
import pytest

from ss_baselines.agents.reference import ReferenceAgent
from ss_gym import RemoteEnvironment
from ss_gym.serving.client import RemoteError
from ss_gym.testing.episodes import episode
from tests.ss_baselines.invocation import assert_one_line_error, invoke
from tests.ss_baselines.server_process import serving_env

ENV_ID = "StateSet/Refund-v0"


def test_an_episode_outlives_a_server_that_is_killed_and_ctrl_c_ends_the_next_one():
    words = ("--keyword", "max_turns=20", "--prompt", "compact")
    local = gymnasium.make(ENV_ID, max_turns=20, prompt="compact")
    expected = list(episode(local, ReferenceAgent(), {"seed": 3}))
    with serving_env(*words) as server:
        remote = RemoteEnvironment(server.address, ENV_ID)
        assert remote.max_turns == 20
        playing = episode(remote, ReferenceAgent(), {"seed": 3})
        played = [next(playing) for _ in range(3)]
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with serving_env(*words, port=urlsplit(server.address).port) as again:
        assert again.address == server.address
        played += list(playing)
        assert repr(played) == repr(expected)
        assert repr(remote.reset()) == repr(local.reset())
        impatient = RemoteEnvironment(again.address, retries=0)
        impatient.reset(seed=1)
        again.process.send_signal(signal.SIGINT)
        assert again.process.wait(30) == 0
        log = again.log.read_text()
    assert log.endswith("stopped\n") and "Traceback" not in log
    ended = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert [(line["transport"], line["ended"], line["episodes"]) for line in ended] == [("websocket", "closed", 1)] * 2
    with pytest.raises(RemoteError, match="can't be reached, in one try"):
        impatient.step("Hello!")


def test_a_key_is_wanted_where_one_is_set_and_sigterm_ends_it_within_an_episode():
    with serving_env("--sessions", "1", "--idle", "60", STATESET_API_KEYS="first-secret") as server:
        with pytest.raises(RemoteError, match="refuses the key"):
            RemoteEnvironment(server.address)
        remote = RemoteEnvironment(server.address, api_key="first-secret")
        assert remote.description.limits.sessions == 1 and remote.description.limits.idle_seconds == 60.0
        with pytest.raises(RemoteError, match="all 1 sessions are taken"):
            RemoteEnvironment(server.address, api_key="first-secret", retries=0)
        remote.reset(seed=1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.log.read_text()


def test_what_can_not_be_served_is_told_in_one_line(tmp_path):
    assert_one_line_error(invoke("serve-env", "--env", "StateSet/Refun-v0"), "did you mean StateSet/Refund-v0?")
    assert_one_line_error(invoke("serve-env", "--env", "StateSet/RefundDiscrete-v0"), "is no text environment")
    assert_one_line_error(invoke("serve-env", "--keyword", "max_trns=3"), "takes no keyword 'max_trns'")
    assert_one_line_error(invoke("serve-env", "--keyword", "max_turns"), "'max_turns' is not NAME=VALUE")
    assert_one_line_error(invoke("serve-env", "--keyword", "max_turns={"), "is not YAML")
    assert_one_line_error(invoke("serve-env", "--keyword", "max_turns=0"), "max_turns must be at least 1")
    assert_one_line_error(invoke("serve-env", "--user", "human"), "choose another user")
    assert_one_line_error(invoke("serve-env", "--api-keys", str(tmp_path / "none")), "check the path")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert_one_line_error(invoke("serve-env", "--port", port), f"127.0.0.1:{port}", "in use")
