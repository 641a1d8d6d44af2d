"""``stateset-agents serve`` as a process of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import openai
import pytest

from tests.ss_baselines.invocation import assert_one_line_error, invoke

HELLO = [{"role": "user", "content": "I want my money back."}]


@contextmanager
def serving(*words, **variables):
    """A service, and its address."""
    command = [sys.executable, "-m", "ss_baselines.cli", "serve", "--port", "0", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables})
    try:
        told = ""
        while not (found := re.search(r" at (http://[\d.:]+)/v1", told)):
            line = process.stderr.readline()
            assert line, f"it ended before it served: {told}"
            told += line
        yield process, found[1]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_the_tiny_agent_is_served_where_none_is_named_and_ctrl_c_ends_it():
    with serving("--name", "clerk", "--max-tokens", "50") as (process, address):
        with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            once, again = (
                client.chat.completions.create(model="clerk", messages=HELLO, seed=3, max_tokens=30) for _ in range(2)
            )
            assert once.choices[0].message.content
            assert again.choices == once.choices
            assert once.usage.total_tokens == once.usage.prompt_tokens + once.usage.completion_tokens
            with client.chat.completions.create(
                model="clerk",
                messages=HELLO,
                seed=3,
                max_tokens=30,
                stream=True,
                stream_options={"include_usage": True},
            ) as chunks:
                told = list(chunks)
            said = "".join(chunk.choices[0].delta.content or "" for chunk in told if chunk.choices)
            assert said == once.choices[0].message.content
            assert told[-1].usage == once.usage
            with pytest.raises(openai.BadRequestError, match="context"):
                client.chat.completions.create(model="clerk", messages=[{"role": "user", "content": "word " * 9000}])
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(20) == 0
    assert rest.endswith("stopped\n")
    assert "Traceback" not in rest


def test_a_key_is_wanted_where_one_is_set_and_a_kill_leaves_the_port_free():
    with serving("--agent", "stub://a", STATESET_API_KEYS="first-secret") as (process, address):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{address}/v1/models")
        process.send_signal(signal.SIGKILL)
        process.wait()
        port = address.rpartition(":")[2]
        with serving("--agent", "stub://a", "--port", port) as (process, again):
            assert again == address
            assert urllib.request.urlopen(f"{again}/v1/models").status == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def test_what_can_not_be_served_is_told_in_one_line(tmp_path):
    assert_one_line_error(invoke("serve", "--agent", "tiny", "--checkpoint", "tiny"), "mean the same: leave out one")
    assert_one_line_error(invoke("serve", "--agent", "tinyy"), "did you mean 'tiny'?")
    assert_one_line_error(invoke("serve", "--agent", "reference"), "is a scripted agent")
    assert_one_line_error(
        invoke("serve", "--agent", "stub://a", "--api-keys", str(tmp_path / "none")), "check the path"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert_one_line_error(invoke("serve", "--agent", "stub://a", "--port", port), f"127.0.0.1:{port}", "in use")
