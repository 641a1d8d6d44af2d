"""The room that a conversation has in a model's context."""

from __future__ import annotations

from ss_gym.agents import UnanswerableError


def limited_context(wanted: int | None, limit: int) -> int:
    """The most tokens of a conversation: what is wanted, and the model's own limit at most.

    Raises:
        ValueError: what is wanted has no room for a prompt and a reply.
    """
    if wanted is not None and wanted < 2:
        raise ValueError(f"max_context must have room for a prompt and a reply, at least 2, not {wanted}")
    return limit if wanted is None else min(wanted, limit)


def check_prompt(length: int, max_context: int) -> None:
    """Refuses a prompt that is empty or leaves no room for a reply.

    Args:
        length: its tokens.
        max_context: the most tokens of a conversation.

    Raises:
        UnanswerableError: if it is one.
    """
    if not 0 < length < max_context:
        raise UnanswerableError(
            f"the prompt has {length} tokens, but the model takes 1 to {max_context - 1} and a reply (context "
            f"{max_context}): shorten the instructions, or take a longer context (max_context, or another model)"
        )
