"""Games of textarena in Gymnasium."""

import random
import re

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

textarena = pytest.importorskip("textarena", reason="textarena is in an environment of its own: make test-interop")

from ss_gym.interop.textarena import from_textarena  # noqa: E402


def theirs(game, seed, moves):
    """What textarena's own loop says to the first player, and what it pays."""
    random.seed(0)
    env = textarena.make(game)
    env.reset(num_players=1, seed=seed)
    said = []
    for move in moves:
        _, messages = env.get_observation()
        said.append("\n".join(text for sender, text, _ in messages if sender != 0))
        over, _ = env.step(move)
        if over:
            break
    return said, over, env.close()[0]


def test_an_episode_is_that_of_the_game() -> None:
    game, moves = "GuessTheNumber-v0-raw", [f"[{number}]" for number in range(1, 21)]
    env = from_textarena(game)
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        number = int(gym.utils.seeding.np_random(seed)[0].integers(2**31))
        said, over, rewards = theirs(game, number, moves)
        seen, ended = [observation], False
        for move in moves:
            observation, reward, ended, _, info = env.step(move)
            if ended:
                break
            seen.append(observation)
        assert seen == said[: len(seen)] and ended == over
        assert reward == rewards[0] and info["success"] == (reward == 1)


def test_games_follow_from_their_seeds_and_leave_the_process_alone() -> None:
    env, other = from_textarena("GuessTheNumber-v0-raw"), from_textarena("GuessTheNumber-v0-raw")
    random.seed(5)
    before = random.getstate()
    first = [env.reset(seed=3)[0], env.step("[7]")[0]]
    assert random.getstate() == before
    random.seed(6)
    other.reset(seed=4)
    assert [other.reset(seed=3)[0], other.step("[7]")[0]] == first
    check_env(from_textarena("GuessTheNumber-v0-raw", render_mode="ansi"), skip_render_check=True)


def free(observation):
    """The cells that may be taken, as the board of the last move tells."""
    return re.findall(r"\[\d\]", observation.rpartition("Available Moves")[2])


def test_others_play_along() -> None:
    for place in (0, 1):
        env = from_textarena("TicTacToe-v0-raw", opponents=[lambda seen: free(seen)[0]], place=place)
        observation, _ = env.reset(seed=1)
        assert len(free(observation)) == 9 - place
        ended, steps = False, 0
        while not ended:
            observation, reward, ended, _, info = env.step(free(observation)[-1])
            steps += 1
        # Cells from the end against cells from the beginning: who begins has three in a row first.
        assert steps == 3 - place
        assert reward == (1 if place == 0 else -1) and info["success"] == (place == 0)
    with pytest.raises(ValueError, match="place must be from 0 to 0"):
        from_textarena("GuessTheNumber-v0-raw", place=1)
    with pytest.raises(ValueError, match="not found"):
        from_textarena("GuessTheNumbr-v0")
