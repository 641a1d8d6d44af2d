"""``stateset-agents train``: settings from a file and the command line, then the online loop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args, get_type_hints

import yaml
from gymnasium.envs.registration import WrapperSpec
from rich.console import Console

from ss_baselines.commands.agents import CHECKPOINT, accustomed_prompt, checkpoint_folder, trained_model
from ss_baselines.commands.envs import environment_keywords, make_environment
from ss_baselines.commands.folders import check_folder
from ss_baselines.commands.library_logs import held_back
from ss_gym.wrappers import WeightedReward
from ss_trainers.checkpoint import read_state
from ss_trainers.config import TrainingConfig, config_from_mapping, read_yaml
from ss_trainers.environments import wrappers_in

ALGORITHMS = "ss_trainers.algorithms"
OTHER_TERMS = "default"  # stands for the reward terms that are not named
_STUB_EPISODES = 8


@dataclass(frozen=True)
class RunSettings:
    """What a config file holds.

    Attributes:
        env: the environment's id.
        env_kwargs: keywords of the environment, such as ``{"prompt": "compact"}``; what the model
            was trained with by default.
        reward_weights: weight of each reward term by name, and of the others as ``default``; 1 where
            nothing is said.
        algorithm: the trainer, by its name among the entry points of ``ss_trainers.algorithms``.
        model: what to train.
        config: the algorithm's own settings, by name.
        training: the engine's settings, by name; see ``TrainingConfig``.
    """

    env: str = "StateSet/Refund-v0"
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    reward_weights: Mapping[str, float] = field(default_factory=dict)
    algorithm: str = "grpo"
    model: str = "tiny"
    config: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What the command line says; empty or None where it says nothing.

    Attributes:
        env: as in the file, and stronger.
        algorithm: as in the file, and stronger.
        model: as in the file, and stronger.
        prompt: ``full`` or ``compact``.
        config_file: the settings.
        dry_run: print the complete settings and train nothing.
        save: the run's folder: metrics, and the checkpoint in ``checkpoint/``.
        resume: the folder of a run or of its checkpoint to go on from.
    """

    env: str
    algorithm: str
    model: str
    prompt: str
    config_file: Path | None
    dry_run: bool
    save: Path | None
    resume: Path | None


def run_training(options: TrainOptions) -> None:
    """Trains, or with ``dry_run`` prints the complete settings as a config file.

    Raises:
        ValueError: if a setting is unknown or wrong, or a run would overwrite another.
        CheckpointError: if the checkpoint to go on from is missing or damaged.
    """
    console = Console(stderr=True)
    trainer = _resumed(options, console) if options.resume else _started(options, console)
    if trainer is None:
        return
    folder = Path(trainer.training.output_dir)
    try:
        metrics = trainer.train()
    except KeyboardInterrupt:
        console.print(f"go on with: stateset-agents train --resume {folder}", markup=False, soft_wrap=True)
        raise
    for name in ("success", "return", "eval/success"):
        if name in metrics:
            console.print(f"{name} of the last iteration: {metrics[name]:.3f}", markup=False)
    console.print(f"checkpoint: {folder / CHECKPOINT}", markup=False, soft_wrap=True)
    console.print(f"look at it: stateset-agents evaluate --checkpoint {folder}", markup=False, soft_wrap=True)


def run_stub(env_id: str) -> None:
    """Plays some training scenarios with the stub agent, to see that everything is in place."""
    from ss_baselines.evaluate import evaluate
    from ss_baselines.report import evaluation_table
    from ss_gym.agents import AgentConfig, MultiTurnAgent

    make_environment(env_id).close()
    agent = MultiTurnAgent(AgentConfig(model_name="stub://demo"))
    agent.load()
    result = evaluate(agent, env_id, "train", episodes=_STUB_EPISODES, name="stub://demo")
    Console().print(evaluation_table([result]))
    Console(stderr=True).print("The stub agent has no weights, so nothing was trained: use --model tiny.")


def _started(options: TrainOptions, console: Console) -> Any:
    """The trainer of a new run; None for a dry run."""
    source = str(options.config_file or "")
    settings = _settings(options)
    trainer_class = _trainer_class(settings.algorithm)
    algorithm = config_from_mapping(_config_class(trainer_class), settings.config, source)
    training = config_from_mapping(TrainingConfig, settings.training, source)
    wrappers = _wrappers(settings)
    model = trained_model(settings.model)
    if options.dry_run:
        complete = replace(settings, config=asdict(algorithm), training=asdict(training))
        # By way of JSON, which turns tuples into the lists that YAML knows.
        plain = json.loads(json.dumps(asdict(complete)))
        Console().print(yaml.safe_dump(plain, sort_keys=False), markup=False, highlight=False, soft_wrap=True, end="")
        return None
    if training.output_dir is None:
        raise ValueError("say where to save the run: --save outputs/NAME, or output_dir under training in the file")
    if checkpoint_folder(training.output_dir):
        raise ValueError(
            f"'{training.output_dir}' holds a run already: go on with --resume {training.output_dir}, "
            "or choose another folder"
        )
    check_folder(Path(training.output_dir))
    with held_back():
        return trainer_class(
            settings.env,
            model,
            algorithm,
            training,
            env_kwargs=settings.env_kwargs,
            env_wrappers=wrappers,
            console=console,
        )


def _wrappers(settings: RunSettings) -> tuple[WrapperSpec, ...]:
    """What is put around the environment, once it is sure that it can be made."""
    env = make_environment(settings.env, **settings.env_kwargs)
    try:
        if not settings.reward_weights:
            return ()
        weights = dict(settings.reward_weights)
        spec = WeightedReward(env, default=weights.pop(OTHER_TERMS, 1.0), weights=weights).spec
        assert spec is not None  # it was made by its id
        return spec.additional_wrappers[-1:]
    finally:
        env.close()


def _resumed(options: TrainOptions, console: Console) -> Any:
    """The trainer of a run that goes on."""
    if options.env or options.model or options.prompt or options.dry_run:
        raise ValueError("--resume takes environment and model from the checkpoint: leave out the other options")
    given = options.resume or Path()
    folder = checkpoint_folder(str(given)) or given
    source = str(options.config_file or "")
    values = read_yaml(options.config_file) if options.config_file else {}
    file = config_from_mapping(RunSettings, values, source)
    run_folder = options.save or (folder.parent if folder.name == CHECKPOINT else folder)
    if folder.is_dir():  # if not, that is what there is to tell
        check_folder(run_folder)
    trainer_class = _trainer_class(options.algorithm or file.algorithm)
    if values.get("reward_weights"):
        _check_weights(file, folder, source)
    with held_back():
        trainer = trainer_class.resume(
            folder, training={**file.training, "output_dir": str(run_folder)}, console=console
        )
    if trainer.iteration >= trainer.training.iterations:
        raise ValueError(
            f"'{given}' has done all its {trainer.iteration} iterations: "
            "to go on, set more under training.iterations in a --config file"
        )
    return trainer


def _check_weights(file: RunSettings, folder: Path, source: str) -> None:
    """Makes sure that a run does not go on with other rewards than its config file asks for."""
    settings = read_state(folder).settings
    before = wrappers_in(settings)
    if _wrappers(replace(file, env=settings["env"] or file.env, env_kwargs=settings["env_kwargs"])) != before:
        raise ValueError(
            f"{source}: reward_weights differ from those of the run in '{folder}', which keeps its own: "
            "leave them out, or begin a new run"
        )


def _settings(options: TrainOptions) -> RunSettings:
    """The file's settings, with what the command line says in their place."""
    source = str(options.config_file or "")
    values = read_yaml(options.config_file) if options.config_file else {}
    settings = config_from_mapping(RunSettings, values, source)
    settings = replace(
        settings,
        env=options.env or settings.env,
        algorithm=options.algorithm or settings.algorithm,
        model=options.model or settings.model,
    )
    prompt = options.prompt or settings.env_kwargs.get("prompt", "")
    saved = {"output_dir": str(options.save)} if options.save else {}
    return replace(
        settings,
        env_kwargs={
            **settings.env_kwargs,
            **environment_keywords(settings.env, prompt, accustomed_prompt(settings.model)),
        },
        training={**settings.training, **saved},
    )


def _trainer_class(name: str) -> Any:
    """The trainer of that name.

    Raises:
        ValueError: if no installed package has one.
    """
    installed = {entry.name: entry for entry in entry_points(group=ALGORITHMS)}
    if name not in installed:
        near = get_close_matches(name, installed, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"installed: {', '.join(sorted(installed))}"
        raise ValueError(f"no algorithm '{name}'; {hint}")
    return installed[name].load()


def _config_class(trainer_class: Any) -> type[Any]:
    """The dataclass that the trainer takes as ``config``, from its signature."""
    hint = get_type_hints(trainer_class.__init__)["config"]
    return next(kind for kind in (hint, *get_args(hint)) if isinstance(kind, type) and is_dataclass(kind))
