"""``stateset-agents evaluate``: an agent on scenarios, as a table and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ss_baselines.commands.agents import accustomed_prompt, choose_agent, load_model
from ss_baselines.commands.envs import environment_keywords, make_environment
from ss_baselines.commands.folders import check_file, write_whole
from ss_baselines.evaluate import evaluate, family_of
from ss_baselines.report import evaluation_table


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What to evaluate, and on what.

    Attributes:
        env_id: the environment.
        agent: a scripted agent's name, ``tiny``, the folder of a checkpoint, a run or a model, or
            ``SCHEME://…``.
        episodes: how many scenarios of the split, from the first.
        split: train, dev or test.
        json_file: where the numbers and every episode are written; None for nowhere.
        temperature: of sampling, for models, 0 for the likeliest token; None keeps what the
            checkpoint says, or 1.
        prompt: ``full`` or ``compact``; empty for what the model was trained with.
        batch: conversations at once.
        seed: of sampling, for models.
        user: who plays the customer; empty for the scripted ones.
        persona: how the customers are; empty for as they are drawn.
    """

    env_id: str
    agent: str
    episodes: int
    split: str
    json_file: Path | None
    temperature: float | None
    prompt: str
    batch: int
    seed: int
    user: str = ""
    persona: str = ""


def run_evaluation(options: EvaluateOptions) -> None:
    """Plays the scenarios, prints the table and writes the JSON file.

    Raises:
        ValueError: if the agent, the environment or the scenarios are not there, or the file can't
            be written; before anything is played.
    """
    accustomed = accustomed_prompt(options.agent)
    keywords = environment_keywords(options.env_id, options.prompt, accustomed, options.user, options.persona)
    env = make_environment(options.env_id, **keywords)
    family_of(env)
    env.close()
    if options.json_file is not None:
        check_file(options.json_file)
    status = Console(stderr=True)
    with status.status(f"{options.episodes} episodes of {options.env_id}, split {options.split} …"):
        result = evaluate(
            choose_agent(options.agent, options.temperature, options.seed),
            options.env_id,
            options.split,
            episodes=options.episodes,
            name=options.agent,
            batch=options.batch,
            env_kwargs=keywords,
        )
    Console().print(evaluation_table([result]))
    if options.json_file is not None:
        write_whole(options.json_file, result.to_json() + "\n")
        status.print(f"written: {options.json_file}", markup=False)


def answer_message(agent: str, message: str, temperature: float | None, seed: int) -> None:
    """Prints what a model answers to one message of a customer."""
    model = load_model(agent, temperature, seed)
    # Not awaited: what runs in a thread of a loop would keep Ctrl-C waiting for the answer.
    (reply,) = model.act([[{"role": "user", "content": message}]])
    Console().print(reply.text, markup=False, highlight=False, soft_wrap=True)
