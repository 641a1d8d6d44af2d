"""The wheel, installed on its own: outside the checkout, with the core dependencies only."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

EPISODE = """
import importlib.util, json, sys
import ss_gym, gymnasium

env = gymnasium.make("StateSet/Refund-v0")
observation, info = env.reset(seed=7)
ended = False
while not ended:
    observation, reward, terminated, truncated, info = env.step("I am sorry, I can't help you with that.")
    ended = terminated or truncated
print(json.dumps({
    "file": ss_gym.__file__,
    "success": info["success"],
    "steps": info["step"],
    "torch": importlib.util.find_spec("torch") is not None,
}))
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What the command printed; its complaints are part of the failure if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd, check=False)
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` folder of a virtual environment that holds the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    binaries = folder / "venv" / "bin"
    # With the pip that is here, and no byte code of modules that nothing imports: that is most of the time.
    pip = [sys.executable, "-m", "pip", "--python", binaries / "python", "install", "--quiet", "--no-compile"]
    run(*pip, "--constraint", ROOT / "constraints.txt", wheel, cwd=folder)
    return binaries


def test_the_wheel_holds_the_packages_their_types_and_the_scenarios(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {f"{package}/py.typed" for package in ("ss_gym", "ss_trainers", "ss_baselines")}
    data = {
        "ss_gym/_scenarios/" + path.relative_to(ROOT / "scenarios").as_posix()
        for path in (ROOT / "scenarios").rglob("*")
        if path.is_file()
    }
    assert (expected | data | {"ss_gym/commerce/schema.sql"}) - names == set()
    assert [name for name in names if name.startswith(("tests/", "docs/", "scenarios/"))] == []


def test_an_episode_runs_without_torch(installed: Path, tmp_path: Path) -> None:
    found = json.loads(run(installed / "python", "-c", EPISODE, cwd=tmp_path))
    assert Path(found["file"]).is_relative_to(installed.parent)
    assert found["success"] is False
    assert found["steps"] >= 1
    assert found["torch"] is False


def test_the_command_evaluates_without_torch(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "stateset-agents", "version", cwd=tmp_path).startswith("stateset-gym ")
    run(
        installed / "stateset-agents",
        *("evaluate", "--agent", "reference", "--episodes", "4", "--split", "dev", "--json", "out/result.json"),
        cwd=tmp_path,
    )
    result = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert result["success"]["value"] == 1.0


def test_a_model_without_the_extra_is_one_clear_line(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(installed / "stateset-agents"), "evaluate", "--agent", "tiny"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "pip install 'stateset-gym[train]'" in done.stderr


def test_hello_world_runs_without_torch(installed: Path, tmp_path: Path) -> None:
    printed = run(installed / "python", ROOT / "docs" / "examples" / "hello_world.py", cwd=tmp_path)
    assert printed.splitlines()[-1] == "Reward: 1.00"
