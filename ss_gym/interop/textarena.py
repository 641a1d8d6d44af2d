"""Games of textarena as text environments of Gymnasium.

>>> from ss_gym.interop.textarena import from_textarena
>>> env = from_textarena("GuessTheNumber-v0-raw")
>>> observation, info = env.reset(seed=1)
>>> observation, reward, terminated, truncated, info = env.step("[5]")
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import textarena
from gymnasium.utils import RecordConstructorArgs

from ss_gym.spaces import Utterance

Player = Callable[[str], str]

_MAX_CHARS = 100_000


class TextArenaGame(gymnasium.Env[str, str], RecordConstructorArgs):
    """A game of textarena, of which the agent is one player.

    What is observed is what the game and the other players have said since the agent's last move. The reward comes with
    the last step and is the game's; ``info["success"]`` tells whether it is 1, which games pay for having won.

    textarena draws from the process's generator: it is put back as it was after each call, so that games follow from
    their seeds alone and nothing else depends on them.

    Args:
        game: its id in textarena. What its wrappers make of observations has no part: they repeat the whole game.
        opponents: who plays against the agent, from what is observed to a move; each in turn. None for games of one.
        place: whose turn the agent's is, from 0.
        move: from what the agent writes to a move of the game; as it is if None.
        **kwargs: of the game.

    Raises:
        ValueError: for a game that there is not, or a place that there is not.
    """

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012  Gymnasium's own

    def __init__(
        self,
        game: str,
        opponents: Sequence[Player] = (),
        place: int = 0,
        move: Callable[[str], str] | None = None,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        RecordConstructorArgs.__init__(
            self, _disable_deepcopy=True, game=game, opponents=opponents, place=place, move=move, **kwargs
        )
        if not 0 <= place <= len(opponents):
            raise ValueError(f"place must be from 0 to {len(opponents)}, as there are players, not {place}")
        self.observation_space = self.action_space = Utterance(_MAX_CHARS)
        self.render_mode = render_mode
        self._game = textarena.make(game, **kwargs)
        self._place, self._move = place, move
        self._others = {seat: each for seat, each in zip(_others(len(opponents), place), opponents, strict=True)}
        self._drawn: Any = None
        self._seen: list[str] = []
        self._over = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begins the game of a seed, and lets others move who come first."""
        super().reset(seed=seed)
        number = int(self.np_random.integers(2**31))
        self._drawn, self._seen, self._over = random.Random(number).getstate(), [], False
        self._in_game(lambda: self._game.reset(num_players=len(self._others) + 1, seed=number))
        self._others_move()
        return self._said(), {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Takes a move, and lets the others answer.

        Raises:
            TypeError: if the action is no text.
        """
        if not isinstance(action, str):
            raise TypeError(f"an action is a str, got {type(action).__name__}")
        self._play(action if self._move is None else self._move(action))
        self._others_move()
        if not self._over:
            return self._said(), 0.0, False, False, {}
        rewards, game_info = self._game.close()
        reward, told = float(rewards[self._place]), dict(game_info.get(self._place, {}))
        return self._said(), reward, True, False, {"success": reward >= 1, "game": told}

    def render(self) -> str | None:
        """All that the agent has seen, in ``"ansi"`` mode; None otherwise."""
        return "\n".join(self._seen) if self.render_mode == "ansi" else None

    def _others_move(self) -> None:
        while not self._over and (seat := self._game.state.current_player_id) != self._place:
            self._play(self._others[seat](self._observed(seat)))

    def _play(self, move: str) -> None:
        self._over, _ = self._in_game(lambda: self._game.step(move))

    def _said(self) -> str:
        """What was said to the agent since its last move."""
        text = self._observed(self._place)
        self._seen.append(text)
        return text

    def _observed(self, seat: int) -> str:
        """What was said to a player, without what they have said themselves."""
        messages = self._game.state.observations[seat]
        self._game.state.observations[seat] = []
        return "\n".join(text for sender, text, *_ in messages if sender != seat)

    def _in_game(self, call: Callable[[], Any]) -> Any:
        """A call of the game, with the game's own draws."""
        kept = random.getstate()
        random.setstate(self._drawn)
        try:
            return call()
        finally:
            self._drawn = random.getstate()
            random.setstate(kept)


def from_textarena(game: str, **kwargs: Any) -> TextArenaGame:
    """A game of textarena as a Gymnasium environment, which every trainer here learns from.

    Args:
        game: its id.
        **kwargs: of ``TextArenaGame``.
    """
    return TextArenaGame(game, **kwargs)


def _others(count: int, place: int) -> list[int]:
    return [seat for seat in range(count + 1) if seat != place]
