"""A byte-level BPE tokenizer from which ids can be copied.

A small model copies an id by pointing at its tokens one after another, so an id must be cut the
same way wherever it stands. Digits, the capitals of codes and the letters of an e-mail are therefore
tokens of one character each, and no token joins them to what surrounds them. All else is merged
freely within a stretch that holds no space, so that the fixed parts of a tool call are a token or two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END = "<|end|>"
PAD = "<|pad|>"
ROLES = ("system", "user", "assistant", "tool")

# A tool call is text of the agent like any other; the tools are known from training, so the
# template takes them and writes nothing.
CHAT_TEMPLATE = (
    "{#- tools are not listed -#}"
    "{%- for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{% if message.role == 'assistant' %}<|end|>{% endif %}{% endfor %}"
    "{%- if add_generation_prompt %}<|assistant|>{% endif %}"
)

_MAIL = r"[A-Za-z0-9._+\-]"
_AFTER_AT = "|".join(f"@{_MAIL}{{{count}}}" for count in range(24))  # a look-behind must have a fixed length
_CODE = r"[0-9]|[A-Z](?=[A-Z0-9])|(?<=[A-Z0-9])[A-Z]"
# What stands before an @ has at most 64 characters; without a limit long words would take time with their square.
_SINGLE = rf"{_MAIL}(?={_MAIL}{{0,63}}@)|@|(?<={_AFTER_AT}){_MAIL}|{_CODE}"
# Values of several words, such as titles, are cut as they are in a sentence: quotes join neither end.
_OPENED, _CLOSED = r""" ?[^\s]*?(?:":"|\["|",")(?=[a-z]+ [a-z])""", r""" [a-z'-]+(?=")"""
_STRETCH = rf"{_OPENED}|{_CLOSED}| ?[^\s]+|\s"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A tokenizer with the chat template of the tiny agent.

    Args:
        texts: what conversations are made of: prompts, messages, tool results, completions.
        vocab_size: number of tokens, the special ones and the 256 bytes included.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SINGLE), "isolated"),
            pre_tokenizers.Split(Regex(_STRETCH), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, END, *(f"<|{role}|>" for role in ROLES)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[f"<|{role}|>" for role in ROLES],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    add_thinking(fast)
    return fast


def add_thinking(tokenizer: PreTrainedTokenizerFast) -> None:
    """Makes the tags of a thought one token each, where they are not."""
    tokenizer.add_tokens(["<think>", "</think>"])


@cache
def word_pieces(tokenizer: PreTrainedTokenizerFast) -> tuple[str, ...]:
    """The parts of words that are tokens, with or without a blank before them: two small letters or more."""
    tokens = (str(tokenizer.decode([token])).lstrip(" ") for token in range(len(tokenizer)))
    return tuple(sorted({token for token in tokens if re.fullmatch("[a-z]{2,}", token)}))
