"""Episodes of a Minari dataset as conversations. Minari is imported when it is needed (the extra ``offline``)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from ss_gym.actions import action_message, parse_action
from ss_gym.datasets.conversation import LoggedConversation
from ss_gym.datasets.native import conversation_of, kept_besides
from ss_gym.datasets.records import Place
from ss_gym.types import Message, ParsedAction
from ss_gym.wrappers.minari import minari_library, to_minari
from ss_gym.wrappers.trajectories import RecordedTrajectory

# In this field of an episode's metadata stands, as JSON, what a conversation has besides its episode.
_BESIDES = "stateset_log"


def minari_dataset(
    conversations: Iterable[LoggedConversation], dataset_id: str, env: Any = None, **settings: Any
) -> Any:
    """Makes a local Minari dataset of conversations, with what keeps them together in a split.

    Args:
        conversations: as they were logged.
        dataset_id: as in ``ss_gym.wrappers.to_minari``.
        env: as there.
        **settings: as there.

    Returns:
        The ``minari.MinariDataset``.

    Raises:
        ImportError: as ``to_minari``; so for all others.
    """
    kept = [one for one in conversations if one.actions]
    dataset = to_minari([one.episode for one in kept], dataset_id, env, **settings)
    dataset.storage.update_episode_metadata([{_BESIDES: json.dumps(kept_besides(one))} for one in kept])
    return dataset


class MinariEpisodes:
    """The episodes of a Minari dataset with text, one by one from the disk.

    A dataset of Minari has what arrived and what was done, and no messages. What arrived after tool calls is taken for
    their results, one a line as environments of this package write them, and everything else for what the user says.
    There is no system message. Success is that of the last step's infos, and not known where they do not tell it.
    Whether there are rewards, whose conversation it is and at which scenario is told by what ``minari_dataset`` kept.
    In datasets without that all is rewarded, and the scenario is that of ``options["scenario_id"]``, else environment,
    seed and options.

    Args:
        dataset: a ``minari.MinariDataset``, or the id of a local one.

    Raises:
        ImportError: if Minari is not installed.
        ValueError: if its observations or actions are no text.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = minari_library().load_dataset(dataset) if isinstance(dataset, str) else dataset
        spec = self._dataset.env_spec
        self._env_id = "" if spec is None else str(spec.id)
        self._indices = [int(number) for number in self._dataset.episode_indices]
        self.name = f"Minari dataset {self._dataset.id or ''}".strip()
        if not self._indices:
            return
        first = self._dataset[0]
        for kind, values in (("observations", first.observations), ("actions", first.actions)):
            if isinstance(values, dict | np.ndarray) and not np.issubdtype(getattr(values, "dtype", float), np.str_):
                raise ValueError(
                    f"the {kind} of the {self.name} are no text: conversations are made of text, and datasets of "
                    "numbers are read by the trainers themselves"
                )

    def __len__(self) -> int:
        """How many there are."""
        return len(self._indices)

    def __getitem__(self, number: int) -> LoggedConversation:
        """An episode by its place.

        Raises:
            RecordError: if it can't be learned from.
        """
        episode = self._dataset[number]
        (described,) = self._dataset.storage.get_episode_metadata([self._indices[number]])
        besides = json.loads(described[_BESIDES]) if _BESIDES in described else None
        return conversation_of(self._recorded(episode, described), Place(self.name, number + 1, "episode"), besides)

    def _recorded(self, episode: Any, described: Any) -> RecordedTrajectory:
        actions = tuple(map(str, episode.actions))
        success = (episode.infos or {}).get("success")
        return RecordedTrajectory(
            env_id=self._env_id,
            scenario_id=str(described.get("scenario_id", "")),
            seed=_seed(described.get("seed")),
            options=_plain(described["options"]) if isinstance(described.get("options"), dict) else {},
            messages=tuple(_messages([str(one) for one in episode.observations], actions)),
            actions=actions,
            rewards=tuple(map(float, episode.rewards)),
            reward_terms=({},) * len(actions),
            terminated=bool(episode.terminations[-1]),
            truncated=bool(episode.truncations[-1]),
            success=None if success is None or success[-1] is None else bool(success[-1]),
        )


def _messages(observations: list[str], actions: tuple[str, ...]) -> list[Message]:
    messages: list[Message] = [{"role": "user", "content": observations[0]}]
    calls = 0
    for action, observation in zip(actions, observations[1:], strict=True):
        parsed = parse_action(action, calls)
        calls += len(parsed.tool_calls)
        messages.append(action_message(parsed))
        messages += _answers(parsed, observation)
    return messages


def _answers(action: ParsedAction, observation: str) -> list[Message]:
    """What arrived after an action: the result of each call and, below them, what the user says."""
    results = observation.split("\n")
    if not action.tool_calls or len(results) < len(action.tool_calls):
        return [{"role": "user", "content": observation}] if observation else []
    told: list[Message] = [
        {"role": "tool", "tool_call_id": call.id, "content": result}
        for call, result in zip(action.tool_calls, results, strict=False)
    ]
    rest = "\n".join(results[len(told) :])
    return [*told, {"role": "user", "content": rest}] if rest else told


def _plain(value: Any) -> Any:
    """An option as it was given: HDF5 gives NumPy's numbers back, which JSON does not know."""
    if isinstance(value, dict):
        return {name: _plain(held) for name, held in value.items()}
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _seed(value: Any) -> int | None:
    return int(value) if isinstance(value, int | np.integer) else None
