"""How the shipped tiny agent was made: its tokenizer, its demonstrations, its training."""
