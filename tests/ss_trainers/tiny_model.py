"""A real but tiny Llama with its own tokenizer, made on the spot."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHATML = """\
{%- for message in messages %}
{{- '<|start|>' + message.role + '\n' + message.content + '<|end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}
{%- if tools %}{% endif %}"""

_CORPUS = ["say the word apple", "please say the word banana now", "where is my order", "I want a refund", "cherry"]


def make_tokenizer(chat_template=CHATML, corpus=_CORPUS, vocabulary=320, special=("<|end|>", "<|start|>", "<pad>")):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", additional_special_tokens=list(special[1:])
    )
    wrapped.chat_template = chat_template
    return wrapped


def make_model(vocabulary, width=32, layers=2, seed=0, tied=True):
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=2,
    )
    # Transformers draws initial weights from the global generator; keep it as it was.
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def save_tiny(folder: Path, **settings) -> Path:
    tokenizer = make_tokenizer()
    make_model(len(tokenizer), **settings).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
