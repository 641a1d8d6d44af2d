"""The command line, mostly in this process, and once as the installed command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
import torch
import yaml
from typer.testing import Result

from ss_baselines.cli import sane_threads, set_thread_environment
from ss_baselines.commands.failures import one_line
from ss_baselines.commands.play import TypingError, tool_action
from ss_trainers.backends.models import check_device
from ss_trainers.checkpoint import read_state
from tests.ss_baselines.invocation import assert_one_line_error, invoke
from tests.ss_trainers.tiny_model import save_tiny
from tests.ss_trainers.toy_env import register

ENV = "StateSet/Refund-v0"
SCENARIO = "refund/dev/0002"


def test_version_is_one_line() -> None:
    result = invoke("version")
    assert result.exit_code == 0
    assert result.stdout.startswith("stateset-gym ")


def test_without_a_command_the_help_is_shown() -> None:
    result = invoke()
    assert result.exit_code == 0
    for command in ("version", "doctor", "envs", "play", "evaluate", "rollout", "train", "serve"):
        assert command in result.stdout


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["evalute"], ["evalute", "--help"]),
        (["evaluate", "--episode", "3"], ["--episodes", "stateset-agents evaluate --help"]),
        (["evaluate"], ["--agent", "--checkpoint"]),
        (["evaluate", "--agent", "reference", "--episodes", "0"], ["--episodes"]),
        (["evaluate", "--agent", "tiny", "--greedy", "--temperature", "0.5"], ["exclude each other"]),
        (["evaluate", "--agent", "refrence"], ["refrence", "reference"]),
        (["evaluate", "--agent", "reference", "--split", "devv"], ["devv"]),
        (["evaluate", "--agent", "./no/such/folder"], ["no/such/folder"]),
        (["evaluate", "--agent", "reference", "--env", "StateSet/Refnd-v0"], ["did you mean StateSet/Refund-v0?"]),
        (["play", "CartPole"], ["CartPole", ENV]),
        (["play", ENV, "--scenario", "refund/dev/xx"], ["refund/dev/xx"]),
        (["train", "--algorithm", "grppo"], ["grppo", "grpo"]),
        (["train", "--config", "no-such.yaml"], ["no-such.yaml"]),
        (["evaluate", "--agent", "reference", "--message", "hi"], ["'reference' is a scripted agent", "tiny"]),
        (["evaluate", "--agent", "nowhere", "--message", "hi"], ["no model 'nowhere'", "hf://"]),
        (["evaluate", "--agent", "no/such/folder"], ["no such folder"]),
        (["train", "--model", "nowhere"], ["no model 'nowhere'", "hf://"]),
        (["train", "--model", "tinny"], ["did you mean 'tiny'?"]),
        (["train", "--model", "rule_bot"], ["'rule_bot' is a scripted agent"]),
        (["train", "--model", "stub://demo"], ["stub://demo", "cannot be trained"]),
        (["play", "CartPole-v1"], ["no text environment", "Box", "Discrete", ENV]),
        (["play", "no_such_module:Refund-v0"], ["no_such_module", "cannot be imported"]),
        (["evaluate", "--env", "CartPole-v1", "--agent", "reference"], ["no text environment", ENV]),
        (["train", "--env", "CartPole-v1"], ["no text environment", ENV]),
        (["train", "--stub", "--env", "CartPole-v1"], ["no text environment", ENV]),
        (["train", "--save", "/proc/x"], ["'/proc/x'", "choose another folder"]),
        (["train", "--resume", "/proc/x"], ["no checkpoint at '/proc/x'"]),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(words: list[str], fragments: list[str]) -> None:
    assert_one_line_error(invoke(*words), *fragments)


def test_debug_shows_the_traceback_wherever_it_stands() -> None:
    for words in (["--debug", "play", "CartPole"], ["play", "CartPole", "--debug"]):
        result = invoke(*words)
        assert isinstance(result.exception, ValueError)


def test_an_unexpected_error_names_its_type_and_points_to_debug() -> None:
    assert one_line(IndexError("list index\nout of range")) == (
        "unexpected IndexError: list index out of range; add --debug to see where"
    )


@pytest.mark.parametrize(
    ("error", "fragments"),
    [
        (FileNotFoundError(2, "No such file or directory", "/proc/x"), ["'/proc/x'", "no such file", "check the path"]),
        (
            PermissionError(13, "Permission denied", "/root/x"),
            ["'/root/x'", "permission denied", "a place that you may"],
        ),
        (OSError(28, "No space left on device"), ["no space left", "free some space"]),
        (OSError(5, "Input/output error", "/x"), ["'/x'", "input/output error", "--debug"]),
    ],
)
def test_an_error_of_the_system_says_what_to_do_and_no_number(error: OSError, fragments: list[str]) -> None:
    for fragment in fragments:
        assert fragment in one_line(error)
    assert "Errno" not in one_line(error)


def test_a_missing_package_names_the_extra() -> None:
    error = ModuleNotFoundError("No module named 'torch._C'", name="torch._C")
    assert one_line(error) == "this needs the package 'torch._C': pip install 'stateset-gym[train]'"


def test_at_least_one_thread_and_never_more_than_half_of_the_cores() -> None:
    assert 1 <= sane_threads() <= max(1, (os.cpu_count() or 1) // 2)


def test_doctor_finds_a_working_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("doctor")
    assert result.exit_code == 0, result.output
    for word in ("gymnasium", "extras", "OMP_WAIT_POLICY", "can be written", "steps/s"):
        assert word in " ".join(result.stdout.split())


def test_doctor_looks_at_our_own_cache_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STATESET_GYM_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("COLUMNS", "400")
    result = invoke("doctor")
    assert_one_line_error(result, "checks that need attention, see above: 1")
    (row,) = [line for line in result.stdout.splitlines() if "converted models" in line]
    assert "is a file, not a folder" in row
    assert "give yourself the right" in row


def test_doctor_says_that_mps_is_of_no_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="double precision"):
        check_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setenv("COLUMNS", "400")
    (row,) = [line for line in invoke("doctor").stdout.splitlines() if "devices" in line]
    assert "mps (of no use here: sampling needs double precision" in row


def test_envs_lists_limits_and_splits() -> None:
    result = invoke("envs")
    assert result.exit_code == 0
    (row,) = [line for line in result.stdout.splitlines() if ENV in line]
    assert "12" in row
    assert "40" in row
    assert "endless" in row
    assert row.count("600") == 2
    (task,) = [line for line in result.stdout.splitlines() if "StateSet/Task-v0" in line]
    assert task.split()[3:6:2] == ["6", "40"]


def test_ones_own_conversations_and_tasks_are_played_in_the_terminal() -> None:
    result = invoke("play", "StateSet/Task-v0", "--scenario", "weekday", typed="Monday\nSaturday\n")
    assert result.exit_code == 0, result.output
    assert "That is not it yet." in result.stdout and "yes" in result.stdout
    result = invoke("play", "StateSet/Conversation-v0", "--seed", "1", typed="Yes\nYes\nBye\n")
    assert result.exit_code == 0, result.output


def play(*lines: str) -> Result:
    return invoke("play", ENV, "--scenario", SCENARIO, typed="".join(f"{line}\n" for line in lines))


def test_a_person_can_call_tools_talk_and_sees_the_audit() -> None:
    result = play(
        "/tools",
        "/tool verify_identity email=nobody@example.com postal_code='10 115'",
        "Could you tell me your order number?",
        "/tool end_conversation",
    )
    assert result.exit_code == 0, result.output
    assert "issue_refund" in result.stdout
    assert '"verified":false' in result.stdout
    assert "customer>" in result.stdout
    audit = result.stdout.partition("audit")[2]
    assert SCENARIO in audit
    assert "no" in audit
    assert "reward" in audit


def test_a_line_that_cannot_be_understood_costs_nothing() -> None:
    result = play("/tol get_order", "/tool", "/tool get_ordr order_id=1", "/tool get_order 1", "", "/quit")
    assert result.exit_code == 0
    assert "did you mean /tool?" in result.stdout
    assert "say which tool" in result.stdout
    assert "did you mean get_order?" in result.stdout
    assert "is not key=value" in result.stdout
    assert "tool>" not in result.stdout
    assert "not scored" in result.stdout


def test_the_end_of_the_input_leaves_the_episode() -> None:
    result = play("/help")
    assert result.exit_code == 0
    assert "not scored" in result.stdout


def test_environments_of_others_are_played_without_what_ours_tell() -> None:
    result = invoke("play", register(), "--seed", "3", typed="a\nb\n")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("customer> say ") == 3
    audit = result.stdout.partition("audit")[2]
    assert "success" in audit
    assert "reward" in audit


class _Pictures(gym.Env):  # type: ignore[type-arg]
    observation_space = gym.spaces.Box(0, 255, (2, 2))
    action_space = gym.spaces.Text(10)


def test_an_environment_that_only_takes_text_is_no_text_environment() -> None:
    if "Toy/Pictures-v0" not in gym.registry:
        gym.register("Toy/Pictures-v0", entry_point=_Pictures)
    assert_one_line_error(invoke("play", "Toy/Pictures-v0"), "no text environment", "Box", "Text")


def test_an_environment_without_scenarios_is_told_before_the_model_is_loaded() -> None:
    assert_one_line_error(invoke("evaluate", "--env", register(), "--agent", "hf://nowhere"), "no family of scenarios")


TOOLS = {
    "issue_refund": {
        "parameters": {
            "properties": {
                "order_id": {"type": "string"},
                "item_ids": {"type": "array", "items": {"type": "string"}},
                "count": {"type": "integer"},
                "share": {"type": "number"},
                "express": {"type": "boolean"},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            }
        }
    }
}


def test_typed_arguments_follow_the_tools_schema() -> None:
    action = tool_action(
        "issue_refund order_id=48213 item_ids=48213-1,48213-2 count=2 share=0.5 express=true note='as agreed'", TOOLS
    )
    call = json.loads(action.removeprefix("<tool_call>").removesuffix("</tool_call>"))
    assert call == {
        "name": "issue_refund",
        "arguments": {
            "order_id": "48213",
            "item_ids": ["48213-1", "48213-2"],
            "count": 2,
            "share": 0.5,
            "express": True,
            "note": "as agreed",
        },
    }


def test_a_value_of_the_wrong_type_is_left_for_the_environment_to_judge() -> None:
    assert '"count": "two"' in tool_action("issue_refund count=two", TOOLS)


def test_an_open_quotation_mark_is_told() -> None:
    with pytest.raises(TypingError, match="quotation mark"):
        tool_action("issue_refund note='as agreed", TOOLS)


def test_threads_are_set_before_torch_unless_the_user_has_set_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    set_thread_environment()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_the_installed_command_works_outside_the_checkout_and_exits_with_2_on_errors(tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "stateset-agents"
    good = subprocess.run([command, "envs"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert good.returncode == 0, good.stderr
    assert ENV in good.stdout
    bad = subprocess.run([command, "play", "Nope-v0"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr
    assert len(bad.stderr.strip().splitlines()) == 1


def test_a_dry_run_prints_settings_that_are_a_config_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: tiny\ntraining:\n  iterations: 7\n", encoding="utf-8")
    first = invoke("train", "--config", str(file), "--dry-run")
    assert first.exit_code == 0, first.output
    assert yaml.safe_load(first.stdout)["training"]["iterations"] == 7
    assert yaml.safe_load(first.stdout)["env_kwargs"] == {"prompt": "compact"}
    file.write_text(first.stdout, encoding="utf-8")
    second = invoke("train", "--config", str(file), "--dry-run", "true")
    assert second.stdout == first.stdout


def test_reward_weights_of_a_config_file_are_what_is_trained_on_and_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    sizes = {"iterations": 1, "groups_per_iteration": 1, "group_size": 2, "max_new_tokens": 4}
    weights = {"tool_error": 100.0, "default": 0.0}
    file.write_text(yaml.safe_dump({"reward_weights": weights, "training": sizes}), encoding="utf-8")
    result = invoke("train", "--config", str(file), "--save", str(tmp_path / "run"))
    assert result.exit_code == 0, result.output
    [wrapper] = read_state(tmp_path / "run/checkpoint").settings["env_wrappers"]
    assert wrapper["kwargs"] == {"weights": {"tool_error": 100.0}, "default": 0.0}
    # To ask for the same again changes nothing, to ask for others is not ignored.
    same = {"tool_error": 100.0, "default": 0.0, "success": 0.0}
    for changed, told in (
        ({"reward_weights": {"default": 1.0}}, "reward_weights differs from that of the run"),
        ({"reward_weights": {}}, "reward_weights differs"),
        ({"env_kwargs": {"max_turns": 3}, "reward_weights": weights}, "env_kwargs differs"),
        ({"config": {"clip_low": 0.3}}, "config differs"),
        ({"env": "CartPole-v1"}, "env differs"),
        ({"env": "StateSet/Refund-v0", "model": "tiny", "reward_weights": same}, "has done all its 1 iterations"),
        ({"config": {"clip_low": 0.2}, "env_kwargs": {"prompt": "compact"}}, "has done all its 1 iterations"),
    ):
        file.write_text(yaml.safe_dump(changed), encoding="utf-8")
        assert_one_line_error(invoke("train", "--config", str(file), "--resume", str(tmp_path / "run")), told)
    # The prompt that it was trained with is known too.
    file.write_text(yaml.safe_dump({"training": {"iterations": 2}}), encoding="utf-8")
    result = invoke("train", "--config", str(file), "--resume", str(tmp_path / "run"))
    assert result.exit_code == 0, result.output
    assert read_state(tmp_path / "run/checkpoint").settings["env_wrappers"] == [wrapper]
    first, second = (json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines())
    for metrics in (first, second):
        assert metrics["return"] == pytest.approx(100 * metrics.get("reward/tool_error", 0.0))


def test_a_population_of_a_config_file_is_met_and_gone_on_with(tmp_path: Path) -> None:
    file, run = tmp_path / "run.yaml", tmp_path / "run"
    sizes = {"iterations": 1, "groups_per_iteration": 2, "group_size": 2, "max_new_tokens": 4}
    population = {
        "kind": "transfer",
        "total_steps": 4,
        "simulated": {"kind": "uniform", "style_variation": 1.0},
        "real": {"kind": "options", "options": {"user_params": {"noise": 0.2}}},
    }
    file.write_text(yaml.safe_dump({"population": population, "training": sizes}), encoding="utf-8")
    result = invoke("train", "--config", str(file), "--save", str(run))
    assert result.exit_code == 0, result.output
    assert read_state(run / "checkpoint").settings["population"] == population
    file.write_text(yaml.safe_dump({"population": {**population, "total_steps": 5}}), encoding="utf-8")
    assert_one_line_error(
        invoke("train", "--config", str(file), "--resume", str(run)), "the population differs from that of"
    )
    more = {"population": population, "training": {"iterations": 3}}
    file.write_text(yaml.safe_dump(more), encoding="utf-8")
    result = invoke("train", "--config", str(file), "--resume", str(run))
    assert result.exit_code == 0, result.output
    told = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["population/sim_ratio"] for line in told] == [1.0, 0.75, 0.5]


@pytest.mark.parametrize(
    ("text", "fragments"),
    [
        ("population:\n  kind: unifrm", ["population.kind", "did you mean 'uniform'?"]),
        ("population:\n  kind: uniform\n  style_varation: 1", ["did you mean 'style_variation'?"]),
        ("population:\n  kind: calibrated\n  calibration: /none.npz", ["/none.npz"]),
        ("trainig: {}", ["trainig", "did you mean 'training'?"]),
        ("training:\n  iteration: 3", ["iteration", "did you mean 'iterations'?"]),
        ("training:\n  iterations: many", ["iterations"]),
        ("config:\n  clip_hgh: 0.3", ["clip_hgh", "did you mean 'clip_high'?"]),
        ("config: [1", ["line"]),
        ("env: StateSet/Refnd-v0", ["did you mean StateSet/Refund-v0?"]),
        ("training:\n  iterations: 1", ["say where to save", "--save"]),
        ("env_kwargs:\n  max_turn: 3", ["max_turn", "did you mean 'max_turns'?"]),
        ("reward_weights:\n  sucess: 1", ["sucess", "did you mean 'success'?"]),
        ("reward_weights:\n  success: .nan", ["success", "finite number"]),
        ("reward_weights:\n  success: true", ["reward_weights.success", "must be a number"]),
        ("env_kwargs:\n  max_turns: many", ["max_turns='many'"]),
        ("env_kwargs:\n  prompt: short", ["'short'", "'compact'"]),
    ],
)
def test_a_faulty_config_file_is_one_line_that_says_what_to_do(text: str, fragments: list[str], tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text, encoding="utf-8")
    assert_one_line_error(invoke("train", "--config", str(file)), *fragments)


def test_dry_run_takes_nothing_but_true_and_false() -> None:
    assert_one_line_error(invoke("train", "--dry-run", "maybe"), "true or false", "maybe")


def test_the_stub_plays_and_says_that_nothing_was_trained() -> None:
    result = invoke("train", "--stub")
    assert result.exit_code == 0, result.output
    assert "stub://demo" in result.stdout
    assert "nothing was trained" in result.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A config file, and the folder of a run of one iteration in an environment of a third party."""
    folder = tmp_path_factory.mktemp("run")
    settings = {
        "env": register(),
        "model": str(save_tiny(folder / "model")),
        "training": {"iterations": 1, "groups_per_iteration": 1, "group_size": 2, "max_new_tokens": 4},
    }
    config = folder / "run.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    result = invoke("train", "--config", str(config), "--dry-run", "false", "--save", str(folder / "out"))
    assert result.exit_code == 0, result.output
    assert str(folder / "out" / "checkpoint") in result.stderr.replace("\n", "")
    return config, folder / "out"


def test_a_run_is_saved_with_its_metrics_and_answers(trained: tuple[Path, Path]) -> None:
    _, run = trained
    assert len((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    assert invoke("evaluate", "--checkpoint", str(run), "--message", "Hello").exit_code == 0


def test_a_run_is_not_overwritten(trained: tuple[Path, Path]) -> None:
    config, run = trained
    assert_one_line_error(invoke("train", "--config", str(config), "--save", str(run)), "--resume", str(run))


def test_a_finished_run_goes_on_only_with_more_iterations(trained: tuple[Path, Path], tmp_path: Path) -> None:
    _, run = trained
    assert_one_line_error(invoke("train", "--resume", str(run)), "training.iterations")
    more = tmp_path / "more.yaml"
    more.write_text("training:\n  iterations: 2\n", encoding="utf-8")
    result = invoke("train", "--resume", str(run), "--config", str(more))
    assert result.exit_code == 0, result.output
    assert len((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_what_the_checkpoint_decides_cannot_be_given_again(trained: tuple[Path, Path]) -> None:
    _, run = trained
    assert_one_line_error(invoke("train", "--resume", str(run), "--model", "tiny"), "--resume takes")
    assert_one_line_error(invoke("train", "--resume", str(run), "--env", "CartPole-v1"), "env differs from that of")
