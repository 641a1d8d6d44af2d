"""What both trainers are given: a model, a tokenizer, prompts, and how many tokens are sampled."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|> {{ message['content'] }} <|end|> {% endfor %}"
    "{% if add_generation_prompt %}<|assistant|> {% endif %}"
)
SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<pad>")


class Stored:
    """A dataclass that goes to another process as a file."""

    def save(self: Any, path: Path) -> None:
        """Writes it for the other process."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: str) -> Self:
        """Reads it there."""
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Setting(Stored):
    """One comparison.

    Attributes:
        vocabulary: tokens of the model.
        policy: tokens of the system prompt that all rows share; 0 for none.
        question: tokens of the user's turn, which differs.
        completion: tokens that are sampled.
        prompts: questions of a step.
        group: attempts at each.
        steps: that are measured, after one that warms up.
        width: of the model.
        layers: of the model.
        folder: where model and tokenizer lie.
    """

    vocabulary: int
    policy: int
    folder: str
    question: int = 16
    completion: int = 64
    prompts: int = 4
    group: int = 8
    steps: int = 3
    width: int = 256
    layers: int = 4

    def messages(self, number: int) -> list[dict[str, str]]:
        """The conversation that the model is to go on with, for a question's number."""
        ordinary = range(len(SPECIAL), self.vocabulary)
        fixed, own = random.Random(0), random.Random(number + 1)

        def words(draw: random.Random, count: int) -> str:
            return " ".join(f"t{draw.choice(ordinary)}" for _ in range(count))

        system = [{"role": "system", "content": words(fixed, self.policy)}] if self.policy else []
        return [*system, {"role": "user", "content": words(own, self.question)}]

    def reward(self, text: str) -> float:
        """Something that differs between attempts, and costs nothing to tell."""
        return sum(map(ord, text)) % 97 / 97


def make_model(setting: Setting) -> None:
    """Writes a Llama with random weights, and a tokenizer that has a token for each word."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    names = [*SPECIAL, *(f"t{number}" for number in range(len(SPECIAL), setting.vocabulary))]
    tokenizer = Tokenizer(models.WordLevel({name: index for index, name in enumerate(names)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        pad_token="<pad>",
        additional_special_tokens=list(SPECIAL[1:-1]),
    )
    wrapped.chat_template = CHAT
    wrapped.save_pretrained(setting.folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=setting.vocabulary,
        hidden_size=setting.width,
        intermediate_size=4 * setting.width,
        num_hidden_layers=setting.layers,
        num_attention_heads=setting.width // 32,
        num_key_value_heads=setting.width // 32,
        max_position_embeddings=1024,
        eos_token_id=0,
        pad_token_id=5,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(setting.folder)
