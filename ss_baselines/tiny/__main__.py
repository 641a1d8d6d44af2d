"""Make the tiny agent: ``python -m ss_baselines.tiny --out FOLDER``.

It draws demonstrations, trains the tokenizer on some of them, clones the demonstrator and saves
model, tokenizer and the settings. On one core a thousand conversations take about a minute.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from ss_baselines.tiny.cloning import (
    DRILLING,
    CloningConfig,
    batches,
    cloning_loss,
    expected_steps,
    new_model,
    optimizers_for,
    rate_factor,
    take_step,
    tensors,
)
from ss_baselines.tiny.demonstrations import drill, episodes
from ss_baselines.tiny.disguise import train_disguise
from ss_baselines.tiny.tokenizer import add_thinking, train_tokenizer
from ss_gym.streams import Stream
from ss_trainers.chat import ChatFormat

CONSOLE = Console()


def main() -> None:
    """Read the settings from the command line and train."""
    parser = argparse.ArgumentParser(description="Train the tiny agent.")
    parser.add_argument("--out", type=Path, required=True, help="folder for model, tokenizer and settings")
    parser.add_argument("--start", type=Path, help="go on from this folder instead of random weights")
    parser.add_argument("--vocabulary", type=int, default=1280, help="number of tokens")
    parser.add_argument("--tokenizer-episodes", type=int, default=1500, help="conversations to train the tokenizer on")
    parser.add_argument("--threads", type=int, default=1)
    for field in fields(CloningConfig):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    options = vars(parser.parse_args())
    out, start, threads = options.pop("out"), options.pop("start"), options.pop("threads")
    vocabulary, tokenizer_episodes = options.pop("vocabulary"), options.pop("tokenizer_episodes")
    config = CloningConfig(**options)
    torch.set_num_threads(threads)
    if start is None:
        CONSOLE.print(f"tokenizer of {vocabulary} tokens from {tokenizer_episodes} conversations")
        tokenizer = train_tokenizer(texts(config.demonstrator, tokenizer_episodes), vocabulary)
        model = new_model(tokenizer, config)
    else:
        model = LlamaForCausalLM.from_pretrained(start)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(start)
        add_thinking(tokenizer)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    CONSOLE.print(f"{sum(p.numel() for p in model.parameters()):,} parameters, about {expected_steps(config)} steps")
    tokenizer.save_pretrained(out)
    train(model, ChatFormat(tokenizer), config, out)
    settings = asdict(config) | {"vocabulary": vocabulary, "tokenizer_episodes": tokenizer_episodes}
    if start is not None:
        settings["start"] = json.loads((start / "training.json").read_text())
    (out / "training.json").write_text(json.dumps(settings, indent=2) + "\n")
    CONSOLE.print(f"saved to {out}")


def texts(demonstrator: str, count: int) -> Iterator[str]:
    """Everything that is said, called and answered in some conversations, disguised; no tokens are known yet."""
    for number, (conversation, _) in enumerate(episodes(demonstrator, first_seed=500_000)):
        if number == count:
            return
        disguise = train_disguise(Stream(number, "tokenizer"))
        for place, message in enumerate(conversation):
            completion = conversation.completions.get(place)
            yield disguise(completion.text if completion else str(message["content"]))


def train(model: LlamaForCausalLM, chat: ChatFormat, config: CloningConfig, out: Path) -> None:
    """Run through the demonstrations once, saving the model now and then and at the end."""
    optimizers, total = optimizers_for(model, config), expected_steps(config)
    pad_id = int(chat.tokenizer.pad_token_id)
    drills = [drill(Stream(number, "drills"), chat) for number in range(8)]
    stream = Stream(config.seed, "read")
    started, tokens, smooth = time.process_time(), 0, None
    model.train()
    with Progress(console=CONSOLE) as progress:
        task = progress.add_task("cloning", total=total)
        for step, examples in enumerate(batches(chat, config)):
            # What is read is mostly ids that nobody could foresee: later on it would drown what the agent does.
            share = config.read_share if step < DRILLING * total else 0.0
            ids, predicted = tensors(examples, pad_id, share, stream)
            loss = take_step(model, optimizers, rate_factor(min(step, total - 1), total), ids, predicted)
            tokens += ids.numel()
            smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
            if step % 100 == 0:
                speed = tokens / (time.process_time() - started)
                with torch.no_grad():
                    copying = cloning_loss(model, *tensors(drills, pad_id, 0.0, stream)).item()
                figures = f"loss {smooth:.3f}  of copying {copying:.3f}  {speed:,.0f} tokens per CPU second"
                progress.console.print(f"step {step:5d}  {figures}")
            progress.update(task, completed=step)
            if step % 1000 == 999:
                model.save_pretrained(out)
    model.save_pretrained(out)


if __name__ == "__main__":
    main()
