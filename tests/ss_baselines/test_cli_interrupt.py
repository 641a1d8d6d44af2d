"""Ctrl-C in a command: exit code 130, one word, and nothing half-written. ``rollout`` and ``serve`` have their own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from ss_baselines.agents import ScriptedAgent
from ss_gym.agents.backends import StubBackend
from ss_gym.agents.checkpoint import read_manifest
from tests.ss_baselines.interruption import listen, press
from tests.ss_baselines.invocation import assert_one_line_error, invoke
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import SayTheLetter, register


def assert_stopped(result: Result) -> None:
    assert result.exit_code == 130, result.output
    assert result.stderr.splitlines()[-1] == "stopped"
    assert "Traceback" not in result.output


def test_an_evaluation_writes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept, new = tmp_path / "kept.json", tmp_path / "new" / "result.json"
    kept.write_text("{}", encoding="utf-8")
    for file in (kept, new):
        press(monkeypatch, ScriptedAgent, "act", 3)
        result = invoke("evaluate", "--agent", "rule_bot", "--episodes", "2", "--json", str(file))
        assert_stopped(result)
        assert result.stdout == ""
    assert kept.read_text(encoding="utf-8") == "{}"
    assert list(tmp_path.iterdir()) == [kept]


def test_a_training_saves_what_is_done_and_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run, config = tmp_path / "run", tmp_path / "run.yaml"
    settings = {
        "env": register(),
        "model": str(save_tiny(tmp_path / "model")),
        "training": {"iterations": 2, "groups_per_iteration": 1, "group_size": 2, "max_new_tokens": 4},
    }
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    press(monkeypatch, SayTheLetter, "step", 6)  # two episodes of two steps an iteration: in the middle of the second
    result = invoke("train", "--config", str(config), "--save", str(run))
    assert_stopped(result)
    assert f"go on with: stateset-agents train --resume {run}" in result.stderr
    assert read_manifest(run / "checkpoint").provenance["iteration"] == 1
    assert len((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    assert [path.name for path in run.iterdir() if "partial" in path.name] == []
    # Killed between the two renames of a save, the run is found just the same.
    (run / "checkpoint").rename(run / "checkpoint.previous")
    assert_one_line_error(invoke("train", "--config", str(config), "--save", str(run)), "holds a run already")
    assert invoke("train", "--resume", str(run)).exit_code == 0
    assert read_manifest(run / "checkpoint").provenance["iteration"] == 2


def test_the_stub_and_the_self_test_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    press(monkeypatch, StubBackend, "generate", 2)
    assert_stopped(invoke("train", "--stub", "--env", "StateSet/Refund-v0"))
    press(monkeypatch, ScriptedAgent, "act", 2)
    assert_stopped(invoke("doctor"))


def test_nobody_waits_for_a_server_that_is_silent() -> None:
    listen()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        name = f"openai://127.0.0.1:{silent.getsockname()[1]}/m"
        command = [sys.executable, "-m", "ss_baselines.cli", "evaluate", "--agent", name, "--message", "Hello"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(4) == b"POST"
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.split() == ["stopped"]


def test_somebody_who_plays_leaves_with_ctrl_c() -> None:
    listen()  # what the process hears, too
    command = [sys.executable, "-m", "ss_baselines.cli", "play", "StateSet/Conversation-v0", "--seed", "1"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    seen = b""
    while not seen.endswith(b"you> "):
        byte = process.stdout.read(1)
        assert byte, seen
        seen += byte
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.decode().split() == ["stopped"]
