"""Environments in verl: as an agent loop in versions that have no interactions any more, as an interaction before."""

import asyncio
import importlib.util
import itertools
import json
from pathlib import Path

import pytest

import ss_trainers
from tests.interop.episodes import REFUND, RETAIL, native

pytest.importorskip("verl", reason="verl is in an environment of its own: make test-interop")

import hydra
import verl.experimental.agent_loop.agent_loop as loops
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verl.utils.dataset.rl_dataset import RLHFDataset
from verl.workers.rollout.replica import TokenOutput

from ss_gym.interop.verl import NAME, ConversationInteraction, rows, sum_of_turns

TINY = Path(ss_trainers.__file__).parent / "assets" / "tiny"
OLDER = importlib.util.find_spec("verl.interactions") is not None


class Server:
    """A model that says what the reference agent said, as tokens; ``asked`` has the prompts."""

    def __init__(self, tokenizer, actions):
        self.tokenizer, self.left, self.asked = tokenizer, list(actions), []

    async def generate(self, request_id, *, prompt_ids, sampling_params, **kwargs):
        self.asked.append(self.tokenizer.decode(prompt_ids))
        ids = [*self.tokenizer.encode(self.left.pop(0)), self.tokenizer.eos_token_id]
        return TokenOutput(token_ids=ids, log_probs=[-0.5] * len(ids))


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(TINY)


def made(name, tokenizer, server, response_length=100_000, **multi_turn):
    """An agent loop, from verl's registry as its workers make it."""
    rollout = {"prompt_length": 100_000, "response_length": response_length, "multi_turn": multi_turn}
    config = OmegaConf.create({"actor_rollout_ref": {"rollout": rollout, "model": {"path": str(TINY)}}, "data": {}})
    return hydra.utils.instantiate(
        config=loops._agent_loop_registry[name],
        trainer_config=loops.DictConfigWrap(config=config),
        server_manager=server,
        tokenizer=tokenizer,
        processor=None,
        dataset_cls=RLHFDataset,
        data_config=loops.DictConfigWrap(config.data),
    )


def played(name, row, *args, **kwargs):
    """What the agent loop makes of a row."""

    async def run():
        loop = made(name, *args, **kwargs)
        return await loop.run({}, raw_prompt=row["prompt"], extra_info=row["extra_info"])

    return asyncio.run(run())


def spoken(tokenizer, out):
    """The texts of a response in turn: the agent's and what came back, without the template's own tokens."""
    parts = itertools.groupby(zip(out.response_mask, out.response_ids, strict=True), key=lambda pair: pair[0])
    return [(mask, tokenizer.decode([ids for _, ids in group], skip_special_tokens=True)) for mask, group in parts]


@pytest.mark.skipif(OLDER, reason="this verl has interactions")
@pytest.mark.parametrize("env_id", [REFUND, RETAIL])
def test_an_agent_loop_plays_the_episode_of_the_environment(env_id, tokenizer) -> None:
    for seed, row in enumerate(itertools.islice(rows(env_id), 8)):
        ours = native(env_id, seed)
        assert [each["content"] for each in row["prompt"]] == [ours.prompt, ours.opening]
        server = Server(tokenizer, ours.actions)
        out = played(NAME, row, tokenizer, server)
        assert not server.left
        said = spoken(tokenizer, out)
        assert [text for mask, text in said if mask] == ours.actions
        between = [text for mask, text in said if not mask]
        for text, came in zip(between, ours.messages[:-1], strict=True):
            assert text == "".join(each["content"] for each in came)
        assert out.extra_fields["turn_scores"] == [step[1] for step in ours.steps]
        assert out.reward_score == sum(step[1] for step in ours.steps)
        assert out.extra_fields["reward_extra_info"] == {"success": ours.success, "steps": len(ours.actions)}
        assert len(out.response_mask) == len(out.response_ids) == len(out.response_logprobs)
        assert {p for p, mask in zip(out.response_logprobs, out.response_mask, strict=True) if mask} == {-0.5}
        assert server.asked[-1] + ours.actions[-1] == tokenizer.decode([*out.prompt_ids, *out.response_ids[:-1]])


@pytest.mark.skipif(OLDER, reason="this verl has interactions")
def test_an_episode_ends_where_there_is_no_more_room(tokenizer) -> None:
    ours, row = native(REFUND, 0), next(rows(REFUND))
    whole = played(NAME, row, tokenizer, Server(tokenizer, ours.actions))
    first = whole.response_mask.index(0)
    cut = played(NAME, row, tokenizer, Server(tokenizer, ours.actions), response_length=first - 1)
    assert cut.response_ids == whole.response_ids[: first - 1] and cut.extra_fields["turn_scores"] == []
    after = played(NAME, row, tokenizer, Server(tokenizer, ours.actions), response_length=first + 1)
    assert after.response_mask == [1] * first + [0] and after.reward_score == ours.steps[0][1]


@pytest.mark.skipif(not OLDER, reason="this verl has no interactions")
@pytest.mark.parametrize("env_id", [REFUND, RETAIL])
def test_an_interaction_plays_the_episode_of_the_environment(env_id, tokenizer, tmp_path) -> None:
    settings = {
        "interaction": [
            {"name": NAME, "class_name": f"{ConversationInteraction.__module__}.ConversationInteraction", "config": {}}
        ]
    }
    (tmp_path / "interaction.yaml").write_text(json.dumps(settings))
    multi_turn = {
        "max_user_turns": None,
        "max_assistant_turns": None,
        "max_parallel_calls": 1,
        "max_tool_response_length": 256,
        "tool_response_truncate_side": "middle",
        "tool_config_path": None,
        "interaction_config_path": str(tmp_path / "interaction.yaml"),
        # Any whose calls are not ours: those are for the environment.
        "format": "gpt-oss",
    }
    for seed, row in enumerate(itertools.islice(rows(env_id), 8)):
        ours = native(env_id, seed)
        server = Server(tokenizer, ours.actions)
        out = played("tool_agent", row, tokenizer, server, **multi_turn)
        said = spoken(tokenizer, out)
        assert not server.left and [text for mask, text in said if mask] == ours.actions
        for (_, text), step in zip(said[1::2], ours.steps, strict=True):
            assert text.strip() == step[0].strip() and step[0] in text
        assert out.extra_fields["turn_scores"] == [step[1] for step in ours.steps]
        assert sum_of_turns("", "", "", extra_info=out.extra_fields) == sum(step[1] for step in ours.steps)


@pytest.mark.parametrize("env_id", [REFUND, RETAIL])
def test_what_an_interaction_is_asked_and_answers(env_id) -> None:
    interaction = ConversationInteraction({"name": "shop"})

    async def talk(seed):
        ours, row = native(env_id, seed), {"environment": env_id, "kwargs": "{}", "seed": seed, "options": None}
        name = await interaction.start_interaction(**row)
        messages, total = [], 0.0
        for action, (text, reward, *ends) in zip(ours.actions, ours.steps, strict=True):
            messages.append({"role": "assistant", "content": action})
            ended, answer, score, info = await interaction.generate_response(name, messages, **row)
            messages.append({"role": "user", "content": answer})
            total += reward
            assert (answer, score, ended) == (text, reward, any(ends))
            assert await interaction.calculate_score(name) == total
        assert info["success"] == ours.success
        await interaction.finalize_interaction(name)

    async def at_once():
        await asyncio.gather(*(talk(seed) for seed in range(8)))

    asyncio.run(at_once())
    assert interaction.name == "shop" and not interaction._playing


def test_rows_are_scenarios_or_seeds(tmp_path) -> None:
    some = list(itertools.islice(rows(REFUND, split="dev", prompt="compact"), 3))
    options = [row["extra_info"]["interaction_kwargs"]["options"]["scenario_id"] for row in some]
    assert options == ["refund/dev/0000", "refund/dev/0001", "refund/dev/0002"]
    assert {row["agent_name"] for row in some} == {NAME} and json.loads(json.dumps(some)) == some
    with pytest.raises(ValueError, match="has no scenarios"):
        next(rows("StateSet/Conversation-v0", split="dev"))
