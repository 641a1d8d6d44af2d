"""Plays this package's baselines for the leaderboard, those that are not there yet, and builds the page."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console

from ss_baselines.agents.sb3 import SCHEME
from ss_baselines.commands.leaderboard import run_leaderboard
from ss_baselines.commands.submit import SubmitOptions, run_submit
from ss_baselines.leaderboard.baselines import SCRIPTED
from ss_baselines.leaderboard.fingerprints import suite_hashes
from ss_baselines.leaderboard.markdown import escaped
from ss_baselines.leaderboard.protocol import ENVIRONMENTS, Protocol
from ss_baselines.leaderboard.submission import MANIFEST, Manifest, SubmissionError, read_manifest
from ss_baselines.sb3 import FAMILIES, file_of
from ss_baselines.trained import ENGINE
from ss_gym.agents.checkpoint import checkpoint_folder
from ss_gym.agents.checkpoint import read_manifest as read_checkpoint
from ss_gym.whole_file import whole_file

_REFUND = ("StateSet/Refund-v0",)
# Trained by `ss_baselines.trained`, by the study of offline agents, and by `ss_baselines.sb3` with these families.
TRAINED_ONLINE = {
    "grpo": "GRPO",
    "gspo": "GSPO",
    "gepo": "GEPO",
    "dapo": "DAPO",
    "ppo": "PPO",
    "vapo": "VAPO",
    "rlaif": "RLAIF",
}
TRAINED_OFFLINE = {
    "bc": "BC",
    "filtered bc": "BC of successes",
    "bcq": "BCQ",
    "cql": "CQL",
    "bear": "BEAR",
    "iql": "IQL",
    "decision transformer": "Decision Transformer",
    "bcq on filtered bc": "BCQ on BC of successes",
}
NUMERIC = {"ppo": FAMILIES, "dqn": FAMILIES, "recurrent_ppo": ("Refund",)}


@dataclass(frozen=True, slots=True)
class Baseline:
    """A row of the leaderboard.

    Attributes:
        agent: as ``stateset-agents submit --agent`` takes it.
        protocol: what it plays.
        temperature: of sampling, for models.
        name: in the row; the agent's own if empty.
        description: in a sentence, likewise.
        made_by: the command that trains it, where it is not shipped.
        folder: where that leaves it.
        files: what must be there for it to be whole.
        iterations: that a run in the folder must have done.
        library: without which it can't play, if any.
        prompt: the form of the policy, for models that don't tell what they were trained with.
        on_request: played only if it is named: it takes hours.
    """

    agent: str
    protocol: Protocol
    temperature: float | None = None
    name: str = ""
    description: str = ""
    made_by: str = ""
    folder: str = ""
    files: tuple[str, ...] = ()
    iterations: int = 0
    library: str = ""
    prompt: str = ""
    on_request: bool = False

    @property
    def is_there(self) -> bool:
        """Whether it can play, and need not be trained first or further."""
        folder = Path(self.folder)
        if not all((folder / name).is_file() for name in self.files):
            return False
        if not self.iterations:
            return not self.folder or folder.is_dir()
        checkpoint = checkpoint_folder(folder)
        return checkpoint is not None and read_checkpoint(checkpoint).provenance.get("iteration", 0) >= self.iterations


def baselines() -> dict[str, Baseline]:
    """All of them, by the name of their submission's folder."""
    # The demonstrator knows refunds alone, and so does the model that was cloned from it.
    scripted = {name: Baseline(name, Protocol()) for name in SCRIPTED if name != "demonstrator"}
    return {
        **scripted,
        "demonstrator": Baseline("demonstrator", Protocol(_REFUND)),
        "tiny": Baseline("tiny", Protocol(_REFUND), 0.0),
        **{f"tiny_{name}": _trained_online(name) for name in TRAINED_ONLINE},
        **{f"tiny_offline_{name.replace(' ', '_')}": _trained_offline(name) for name in TRAINED_OFFLINE},
        **{f"sb3_{name}": _numeric(name) for name in NUMERIC},
        "smollm2": Baseline(
            "smollm2-135m",
            Protocol(_REFUND, 100, 1),
            0.0,
            "SmolLM2-135M",
            "A small language model as it comes, 100 pairs once.",
            prompt="compact",
            on_request=True,
        ),
    }


def _trained_online(algorithm: str) -> Baseline:
    folder = f"outputs/trained/{algorithm}"
    return Baseline(
        folder,
        Protocol(_REFUND),
        0.0,
        f"tiny + {TRAINED_ONLINE[algorithm]}",
        f"The shipped model after {ENGINE.iterations} iterations of refunds.",
        f"python -m ss_baselines.trained --algorithm {algorithm}",
        folder,
        iterations=ENGINE.iterations,
        prompt="compact",
    )


def _trained_offline(arm: str) -> Baseline:
    folder = f"outputs/offline_text_study/refund/0/agents/{arm}"
    return Baseline(
        folder,
        Protocol(_REFUND),
        None,
        f"tiny + {TRAINED_OFFLINE[arm]}",
        "The shipped model after a log of 20,000 refunds.",
        f"python docs/examples/offline_text_study.py --agent 'refund/{arm}/0'",
        folder,
        prompt="compact",
    )


def _numeric(algorithm: str) -> Baseline:
    families = NUMERIC[algorithm]
    folder, chosen = f"outputs/sb3/{algorithm}", "" if families == FAMILIES else f" --family {' '.join(families)}"
    return Baseline(
        f"{SCHEME}{algorithm}/{folder}",
        Protocol(tuple(f"StateSet/{family}-v0" for family in families)),
        name=f"SB3 {algorithm.replace('_', ' ').upper()}",
        description="A policy over the menu of the Discrete id, which reads numbers and picks replies.",
        made_by=f"python -m ss_baselines.sb3 --algorithm {algorithm}{chosen}",
        folder=folder,
        files=tuple(map(file_of, families)),
        library="stable_baselines3",
    )


def missing(folder: Path, known: dict[str, Baseline]) -> list[str]:
    """Which baselines have no submission that could still be verified; without those that are played on request."""
    return [
        name
        for name, baseline in known.items()
        if not _current(folder / name, baseline) and not (baseline.on_request and not (folder / name).exists())
    ]


def prepared(names: Sequence[str], known: dict[str, Baseline], train: bool) -> list[str]:
    """Those of the baselines that can play; of the others it says what they need.

    Args:
        names: of baselines.
        known: the baselines.
        train: whether to train what has to be trained.

    Raises:
        CalledProcessError: if that fails.
    """
    console, ready = Console(stderr=True), []
    for name in names:
        baseline = known[name]
        if baseline.library and find_spec(baseline.library) is None:
            console.print(f"{name} needs {baseline.library}, which is not installed", markup=False, soft_wrap=True)
            continue
        if not baseline.is_there:
            console.print(f"{name} is trained first: {baseline.made_by}", markup=False, soft_wrap=True)
            if not train:
                continue
            words = shlex.split(baseline.made_by)
            subprocess.run([sys.executable, *words[1:]], check=True)
        ready.append(name)
    return ready


def play(names: Sequence[str], folder: Path, known: dict[str, Baseline]) -> None:
    """Makes submissions; runs that were stopped are gone on with.

    Args:
        names: of baselines.
        folder: where the submissions are.
        known: the baselines.

    A submission that is there, of other tasks, is set aside.
    """
    for name in names:
        baseline = known[name]
        if (folder / name).exists():
            set_aside(folder / name)
        options = SubmitOptions(
            out=folder / name,
            protocol=baseline.protocol,
            agent=baseline.agent,
            temperature=baseline.temperature,
            name=baseline.name,
            description=baseline.description,
            prompt=baseline.prompt,
            trained_on_env=True if baseline.made_by else None,
            resume=(folder / f"{name}.episodes").exists(),
        )
        Console(stderr=True).print(name, markup=False)
        run_submit(options)


def build(folder: Path, site: Path, workers: int, results: Path | None = None) -> None:
    """Verifies all submissions and writes the page.

    Args:
        folder: where the submissions are.
        site: where the page goes.
        workers: processes.
        results: where its rows and tables are kept, too; nowhere if None.
    """
    run_leaderboard([folder], site, workers, transcripts=6)
    if results is not None:
        for name in ("leaderboard.json", "leaderboard.md"):
            with whole_file(results / name) as file:
                file.write((site / name).read_bytes())


def set_aside(folder: Path) -> None:
    """Makes room for a new submission: what is there is then in ``before``, and a run that was stopped is gone."""
    before = folder.parent / "before" / folder.name
    if folder.exists():
        shutil.rmtree(before, ignore_errors=True)
        before.parent.mkdir(exist_ok=True)
        folder.rename(before)
    shutil.rmtree(folder.with_name(f"{folder.name}.episodes"), ignore_errors=True)


def _current(folder: Path, baseline: Baseline) -> bool:
    if not (folder / MANIFEST).is_file():
        return False
    try:
        manifest: Manifest = read_manifest(folder)
    except SubmissionError:
        return False
    if manifest.protocol != baseline.protocol:
        return False
    return (manifest.tasks, manifest.users) == suite_hashes(manifest.protocol.environments)


def page_tables(results: Path) -> str:
    """What the page on the benchmark shows of the rows that were kept: all environments, each, and their hashes.

    Args:
        results: where ``build`` kept them.
    """
    rows = json.loads((results / "leaderboard.json").read_text(encoding="utf-8"))["rows"]
    tables = (results / "leaderboard.md").read_text(encoding="utf-8").split("\n## ")
    whole = next(table.partition("\n")[2].strip() for table in tables if table.startswith("All environments"))
    names = [env_id.removeprefix("StateSet/").removesuffix("-v0") for env_id in ENVIRONMENTS]
    lines = [f"| pass^1 | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for row in rows:
        told = [row["standings"].get(env_id) for env_id in ENVIRONMENTS]
        values = [f"{each['passes'][0]['value']:.3f}" if each else "" for each in told]
        lines.append(f"| {escaped(row['agent']['name'])} | {' | '.join(values)} |")
    hashes = ["| environment | tasks | customers |", "| --- | --- | --- |"]
    first = next(row for row in rows if set(ENVIRONMENTS) <= set(row["tasks"]))
    hashes += [f"| `{env_id}` | `{first['tasks'][env_id]}` | `{first['users'][env_id]}` |" for env_id in ENVIRONMENTS]
    return "\n\n".join([whole, "\n".join(lines), "\n".join(hashes)]) + "\n"
