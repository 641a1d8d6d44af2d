"""How the command line understands the names of models, and what it shows while they are loaded."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub.utils import logging as hub_logging

from ss_baselines.commands import library_logs
from ss_baselines.commands.agents import check_model_name, trained_model
from ss_gym.agents.checkpoint import PREVIOUS_SUFFIX
from tests.ss_baselines.invocation import invoke
from tests.ss_trainers.toy_env import register


def test_names_of_models_are_told_apart_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / f"replaced{PREVIOUS_SUFFIX}").mkdir()
    for name in ("tiny", "smollm2-135m", "run", "replaced", "./run", "stub://demo", "hf://gpt2", "owner/model-1.5"):
        check_model_name(name)
    for name in ("", "gpt2", "ran", "./ran", "/no/such/folder", "owner/model/more", "silent"):
        with pytest.raises((ValueError, FileNotFoundError)):
            check_model_name(name)
    assert [trained_model(name) for name in ("tiny", "run", "hf://gpt2")] == ["tiny", "run", "gpt2"]


def test_a_failed_look_up_on_a_hub_is_one_line() -> None:
    # The tries on a port that nobody listens to, without the waits between them.
    program = "import time; time.sleep = lambda seconds: None; from ss_baselines.cli import main; main()"
    words = ["evaluate", "--agent", "owner/model", "--message", "hi"]
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    result = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: no model 'owner/model'")


def test_what_a_library_logs_while_it_loads_is_shown_only_if_that_goes_well() -> None:
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    root, logger = hub_logging.get_logger(), hub_logging.get_logger("huggingface_hub.test")
    root.addHandler(handler)
    try:
        with pytest.raises(OSError, match="not there"), library_logs.held_back():
            logger.warning("trying again")
            raise OSError("not there")
        with library_logs.held_back():
            logger.warning("some weights were missing")
            assert heard == []
        logger.warning("later")
    finally:
        root.removeHandler(handler)
    assert heard == ["some weights were missing", "later"]


def test_what_a_model_is_used_to_is_asked_only_of_environments_that_have_it() -> None:
    for words, keywords in (
        (["--env", register()], {}),
        ([], {"prompt": "compact"}),
        (["--prompt", "full"], {"prompt": "full"}),
    ):
        result = invoke("train", "--model", "tiny", *words, "--dry-run")
        assert result.exit_code == 0, result.output
        assert yaml.safe_load(result.stdout)["env_kwargs"] == keywords


def test_a_model_answers_one_message() -> None:
    result = invoke("evaluate", "--checkpoint", "stub://demo", "--message", "Hello")
    assert result.exit_code == 0, result.output
    assert "Hello" in result.stdout
    empty = invoke("evaluate", "--checkpoint", "stub://demo", "--message", "")
    assert empty.exit_code == 0 and empty.stdout == "Hello! How can I help you today?\n"
