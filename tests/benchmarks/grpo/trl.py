"""Steps of TRL's GRPOTrainer, in its own environment: ``python -m tests.benchmarks.grpo.trl SETTING``."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers

from tests.benchmarks.grpo.setting import Setting

# What both trainers do alike: the rate, no reference model, one pass over the episodes, nothing written.
ALIKE: dict[str, Any] = {
    "learning_rate": 1e-5,
    "beta": 0.0,
    "num_iterations": 1,
    "save_strategy": "no",
    "report_to": "none",
    "logging_strategy": "no",
    "disable_tqdm": True,
    # Its own default recomputes activations, which takes longer.
    "gradient_checkpointing": False,
    "bf16": False,
    "use_cpu": True,
}


def main() -> None:
    """Prints what the steps took."""
    import trl
    from datasets import Dataset

    setting = Setting.load(sys.argv[1])
    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(setting.folder)
    count = (setting.steps + 1) * setting.prompts
    prompts = [
        tokenizer.apply_chat_template(setting.messages(number), tokenize=False, add_generation_prompt=True)
        for number in range(count)
    ]
    rows = setting.prompts * setting.group
    with tempfile.TemporaryDirectory() as folder:
        config = trl.GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=rows,
            num_generations=setting.group,
            max_completion_length=setting.completion,
            max_steps=setting.steps + 1,
            **ALIKE,
        )
        clock = Clock()
        trainer = trl.GRPOTrainer(
            model=transformers.AutoModelForCausalLM.from_pretrained(setting.folder, dtype=torch.float32),
            reward_funcs=lambda completions, **_: [setting.reward(text) for text in completions],
            args=config,
            train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
            processing_class=tokenizer,
            callbacks=[clock],
        )
        clock.watch(trainer, lambda played: {"tokens": int(played["completion_mask"].sum())})
        trainer.train()
    print(json.dumps(clock.result(setting.steps) | {"version": trl.__version__}))


class Clock(transformers.TrainerCallback):
    """CPU seconds and counts since the first step ended."""

    def __init__(self) -> None:
        self.counts, self.begun = Counter[str](), 0.0

    def watch(self, trainer: Any, counted: Callable[[Any], Mapping[str, float]]) -> None:
        """Measures how long the trainer samples.

        Args:
            trainer: a GRPOTrainer that has this clock among its callbacks.
            counted: what is to be counted of the tensors that one sampling gives.
        """
        play = trainer._generate_and_score_completions

        def timed(inputs: Any) -> Any:
            begun = time.process_time()
            played = play(inputs)
            self.counts.update({"sampling": time.process_time() - begun, **counted(played)})
            return played

        trainer._generate_and_score_completions = timed

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Starts the clock once the first step has warmed everything up."""
        self.ended = time.process_time()
        if state.global_step == 1:
            self.counts.clear()
            self.begun = self.ended

    def result(self, steps: int) -> dict[str, float]:
        """What a step took, and its counts."""
        whole = (self.ended - self.begun) / steps
        counts = {name: count / steps for name, count in self.counts.items()}
        return {
            "step": whole,
            "training": whole - counts["sampling"],
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
            **counts,
        }


if __name__ == "__main__":
    main()
