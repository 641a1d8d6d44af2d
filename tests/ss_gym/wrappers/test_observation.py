"""Each observation is the conversation, seen in its own way."""

import json
import subprocess
import sys
from hashlib import blake2b
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ss_gym.rendering import transcript
from ss_gym.wrappers import (
    ChatObservation,
    EmbeddingObservation,
    FeatureObservation,
    HashingEncoder,
    TokenObservation,
    TranscriptObservation,
)
from tests.ss_gym.wrappers.samples import CLOSE, LOOK_UP, REFUND, to_bytes

SAID = ("Could you tell me your e-mail and postal code?", LOOK_UP, "One moment, please.", CLOSE)


def played(env: gym.Env[Any, Any], options: dict[str, Any] | None = None) -> list[Any]:
    """The observations of an episode, the first one included."""
    return [env.reset(seed=3, options=options)[0], *(env.step(text)[0] for text in SAID)]


def histories() -> list[list[dict[str, Any]]]:
    """All messages before each action, and the system message first."""
    env = gym.make(REFUND)
    _, info = env.reset(seed=3)
    messages = [{"role": "system", "content": info["system_prompt"]}, *info["messages"]]
    found = [list(messages)]
    for text in SAID:
        messages += env.step(text)[4]["messages"]
        found.append(list(messages))
    return found


def test_a_transcript_is_all_that_was_said() -> None:
    expected = histories()
    assert played(TranscriptObservation(gym.make(REFUND))) == [transcript(messages[1:]) for messages in expected]
    whole = played(TranscriptObservation(gym.make(REFUND), include_system=True))
    assert whole == [transcript(messages) for messages in expected]
    again = TranscriptObservation(gym.make(REFUND))
    played(again)
    assert played(again)[0] == transcript(expected[0][1:])  # nothing is left of the last episode


def test_a_transcript_that_is_too_long_keeps_the_newest() -> None:
    env = TranscriptObservation(gym.make(REFUND), max_chars=40)
    for seen, messages in zip(played(env), histories(), strict=True):
        assert seen == transcript(messages[1:])[-40:]
        assert seen in env.observation_space


def test_a_chat_is_the_list_of_messages() -> None:
    expected = histories()
    assert [json.loads(seen) for seen in played(ChatObservation(gym.make(REFUND)))] == [
        messages[1:] for messages in expected
    ]
    whole = played(ChatObservation(gym.make(REFUND), include_system=True))
    assert [json.loads(seen) for seen in whole] == expected


@settings(deadline=None)
@given(st.integers(2, 3000))
def test_a_chat_that_is_too_long_leaves_out_no_more_than_it_must(max_chars: int) -> None:
    env = ChatObservation(gym.make(REFUND), max_chars=max_chars)
    for seen, messages in zip(played(env), histories(), strict=True):
        assert len(seen) <= max_chars
        kept = json.loads(seen)
        assert kept == messages[len(messages) - len(kept) :]
        if len(kept) < len(messages) - 1:
            one_more = messages[len(messages) - len(kept) - 1 :]
            assert len(json.dumps(one_more, ensure_ascii=False, separators=(",", ":"))) > max_chars


def test_tokens_are_those_of_the_transcript_and_its_end_where_there_are_too_many() -> None:
    for side in ("right", "left"):
        env = TokenObservation(gym.make(REFUND), to_bytes, 200, padding_id=7, padding_side=side)  # type: ignore[arg-type]
        seen = [env.reset(seed=3), *(env.step(text)[::4] for text in SAID)]
        lengths = []
        for (ids, info), messages in zip(seen, histories(), strict=True):
            text = to_bytes(transcript(messages[1:]) + "\n")[-200:]
            count = info["num_tokens"]
            lengths.append(count)
            assert ids.dtype == np.int64 and ids.shape == (200,) and ids in env.observation_space
            assert (ids[200 - count :] if side == "left" else ids[:count]).tolist() == text
            assert set((ids[: 200 - count] if side == "left" else ids[count:]).tolist()) <= {7}
        assert lengths[0] < 200 == lengths[-1]  # both cases were seen


def test_tokens_may_be_those_of_the_observation() -> None:
    env = TokenObservation(TranscriptObservation(gym.make(REFUND)), to_bytes, 5000, source="observation")
    for ids, messages in zip(played(env), histories(), strict=True):
        text = transcript(messages[1:])
        assert bytes(ids[: len(text.encode())].tolist()).decode() == text


def test_tokens_given_once_stay_as_they_are() -> None:
    env = TokenObservation(gym.make(REFUND), to_bytes, 20_000)
    _, before = env.reset(seed=3)
    ids = env.reset(seed=3)[0][: before["num_tokens"]]
    for text in SAID:
        longer, *_, info = env.step(text)
        assert (longer[: len(ids)] == ids).all() and info["num_tokens"] > len(ids)
        ids = longer[: info["num_tokens"]]


class WithEncode:
    """As the tokenizers of Hugging Face: a special token comes first unless it is told not to."""

    def __init__(self, ids_in: str = "") -> None:
        self._ids_in = ids_in

    def encode(self, text: str, add_special_tokens: bool = True) -> Any:
        self.ids = [1] * add_special_tokens + [2] * len(text.split())
        return self if self._ids_in else self.ids


@pytest.mark.parametrize("tokenizer", [WithEncode(), WithEncode("ids")])
def test_a_tokenizer_may_have_encode(tokenizer: WithEncode) -> None:
    env = TokenObservation(gym.make(REFUND), tokenizer, 100)
    ids, info = env.reset(seed=3)
    assert info["num_tokens"] > 3 and set(ids.tolist()) == {0, 2}


def test_the_tokenizer_of_the_tiny_agent_fits() -> None:
    transformers = pytest.importorskip("transformers")
    from ss_trainers.backends import huggingface

    folder = f"{huggingface.__file__.rsplit('backends', 1)[0]}assets/tiny"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    env = TokenObservation(gym.make(REFUND), tokenizer, 2000, vocabulary_size=len(tokenizer))
    ids, info = env.reset(seed=3)
    text = tokenizer.decode(ids[: info["num_tokens"]])
    assert text == transcript(info["messages"]) + "\n"


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"tokenizer": "gpt2"}, TypeError, "a tokenizer is a function"),
        ({"tokenizer": None}, TypeError, "a tokenizer is a function"),
        ({"max_length": 0}, ValueError, "max_length must be at least 1"),
        ({"source": "messages"}, ValueError, "source must be 'transcript' or 'observation'"),
        ({"padding_side": "middle"}, ValueError, "padding_side must be"),
        (
            {"padding_id": 256, "vocabulary_size": 256},
            ValueError,
            "padding_id must be an id of the vocabulary, 0 to 255",
        ),
    ],
)
def test_wrong_settings_of_tokens_are_told(settings: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        TokenObservation(gym.make(REFUND), **{"tokenizer": to_bytes, **settings})


def test_ids_that_are_none_are_told() -> None:
    env = TokenObservation(gym.make(REFUND), to_bytes, vocabulary_size=64)
    with pytest.raises(ValueError, match=r"the tokenizer gave \d+, which is no id from 0 to 63"):
        env.reset(seed=1)


def turns(messages: list[dict[str, Any]]) -> float:
    return float(sum(message["role"] == "assistant" for message in messages))


def starts_with_policy(messages: list[dict[str, Any]]) -> bool:
    return bool(messages) and messages[0]["role"] == "system"


def test_features_are_numbers_of_the_conversation_so_far() -> None:
    env = FeatureObservation(gym.make(REFUND), [turns, starts_with_policy], high=[9, 1])
    assert env.feature_names == ("turns", "starts_with_policy")
    assert env.observation_space == gym.spaces.Box(np.zeros(2, np.float32), np.array([9, 1], np.float32))
    assert [seen.tolist() for seen in played(env)] == [[float(count), 1.0] for count in range(5)]
    named = FeatureObservation(gym.make(REFUND), {"how many": turns}, high=9)
    assert named.feature_names == ("how many",) and played(named)[-1].tolist() == [4.0]


def test_one_function_may_give_all_features() -> None:
    def both(messages: list[dict[str, Any]]) -> np.ndarray:
        return np.array([turns(messages), -1.0])

    env = FeatureObservation(gym.make(REFUND), both, low=-1, high=9)
    assert env.feature_names == ("feature_0", "feature_1")
    assert [seen.tolist() for seen in played(env)] == [[float(count), -1.0] for count in range(5)]
    with pytest.raises(ValueError, match=r"the features must have shape \(3,\), got \(2,\)"):
        FeatureObservation(gym.make(REFUND), both, low=-1, names=("a", "b", "c")).reset(seed=1)


class DialogueState:
    """Takes in each message once."""

    def __init__(self) -> None:
        self.roles: list[str] = []

    def append(self, message: dict[str, Any]) -> None:
        self.roles.append(message["role"])


def test_a_memory_of_ones_own_takes_in_each_message_once() -> None:
    env = FeatureObservation(gym.make(REFUND), {"heard": lambda state: len(state.roles)}, high=99, memory=DialogueState)
    expected = [[float(len(messages))] for messages in histories()]
    assert [seen.tolist() for seen in played(env)] == expected
    assert [seen.tolist() for seen in played(env)] == expected  # a new one at each reset


def test_what_features_keep_and_change_is_their_own() -> None:
    kept = np.zeros(1, np.float32)

    def vandal(messages: list[dict[str, Any]]) -> np.ndarray:
        for message in messages:
            message["content"] = "?"
        kept[0] += 0.01
        return kept

    env = FeatureObservation(gym.make(REFUND), vandal)
    first, info = env.reset(seed=3)
    assert info["messages"][0]["content"] != "?"
    before = first.copy()
    assert "?" != env.step("Hello!")[4]["messages"][0]["content"]
    assert (first == before).all()


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"features": 3}, TypeError, "features must be a function"),
        ({"features": []}, TypeError, "features must be a function"),
        ({"features": "turns"}, TypeError, "features must be a function"),
        ({"names": "turns"}, TypeError, "names must be a sequence of str"),
        ({"names": ["a", "b"]}, ValueError, "there are 1 features and 2 names"),
        ({"low": [0, 0]}, ValueError, r"low must be a number or 1 of them, one a feature, got shape \(2,\)"),
        ({"low": 2}, ValueError, "low must not be above high"),
        ({"memory": 3}, TypeError, "memory must be a class or function"),
        ({"memory": dict}, TypeError, "memory must be a class or function"),
    ],
)
def test_wrong_settings_of_features_are_told(settings: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        FeatureObservation(gym.make(REFUND), **{"features": [turns], **settings})


def test_a_feature_out_of_its_bounds_is_told_or_clipped() -> None:
    env = FeatureObservation(gym.make(REFUND), [turns])
    env.reset(seed=3)
    env.step("Hello!")
    with pytest.raises(ValueError, match="the feature 'turns' is 2, outside of 0 to 1"):
        env.step("Hello!")
    assert played(FeatureObservation(gym.make(REFUND), [turns], clip=True))[-1].tolist() == [1.0]
    with pytest.raises(ValueError, match="the feature 'broken' is nan"):
        FeatureObservation(gym.make(REFUND), {"broken": lambda messages: float("nan")}, clip=True).reset(seed=1)


def test_an_embedding_is_that_of_the_transcript() -> None:
    encoder = HashingEncoder(128)
    expected = encoder([transcript(messages[1:]) for messages in histories()])
    for given_encoder in (None, encoder, encoder.__call__):
        seen = played(EmbeddingObservation(gym.make(REFUND), given_encoder, 128))
        np.testing.assert_allclose(np.stack(seen), expected, atol=1e-6)
    ours = played(EmbeddingObservation(gym.make(REFUND), source="observation"))
    np.testing.assert_array_equal(np.stack(ours), HashingEncoder()(played(gym.make(REFUND))))


def test_an_embedding_is_normalised_unless_told_otherwise() -> None:
    def lengths(texts: list[str]) -> np.ndarray:
        return np.array([[3.0 * len(text), 4.0 * len(text)] for text in texts])

    env = EmbeddingObservation(gym.make(REFUND), lengths, 2, source="observation")
    np.testing.assert_allclose(env.reset(seed=3)[0], [0.6, 0.8], rtol=1e-6)
    free = EmbeddingObservation(gym.make(REFUND), lengths, 2, source="observation", normalise=False)
    text = gym.make(REFUND).reset(seed=3)[0]
    np.testing.assert_allclose(free.reset(seed=3)[0], [3 * len(text), 4 * len(text)])
    assert free.reset(seed=3)[0] in free.observation_space


def test_encoders_that_do_not_fit_are_told() -> None:
    with pytest.raises(TypeError, match="an encoder is a function"):
        EmbeddingObservation(gym.make(REFUND), "all-MiniLM-L6-v2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the encoder has 64 dimensions: pass dimensions=64"):
        EmbeddingObservation(gym.make(REFUND), HashingEncoder(64))
    with pytest.raises(ValueError, match=r"the encoder gave shape \(1, 3\) for 1 texts, expected \(1, 256\)"):
        EmbeddingObservation(gym.make(REFUND), lambda texts: np.ones((len(texts), 3))).reset(seed=1)
    with pytest.raises(ValueError, match="not finite"):
        EmbeddingObservation(gym.make(REFUND), lambda texts: np.full((len(texts), 2), np.nan), 2).reset(seed=1)
    with pytest.raises(TypeError, match="source='observation' needs observations that are text, got ndarray"):
        inner = EmbeddingObservation(gym.make(REFUND))
        EmbeddingObservation(inner, source="observation").reset(seed=1)


def test_hashing_counts_signed_n_grams() -> None:
    encoder = HashingEncoder(4096, ngrams=2)
    one = encoder(["refund please"])[0]
    # Two words and one pair, each ±1 in a place of its own, divided by √3.
    assert np.abs(one[one != 0]).tolist() == pytest.approx([3**-0.5] * 3)
    twice = encoder(["refund refund"])[0]
    # "refund" twice and "refund refund" once: (±2, ±1) / √5.
    assert sorted(np.abs(twice[twice != 0]).tolist()) == pytest.approx([5**-0.5, 2 * 5**-0.5])
    # No pair reaches over a line's end: 2 words, each ±1 / √2.
    assert np.count_nonzero(encoder(["refund\nplease"])[0]) == 2
    assert not encoder([""]).any() and not encoder(["... !"]).any()
    assert encoder([]).shape == (0, 4096)


@settings(deadline=None)
@given(st.lists(st.text(), max_size=5))
def test_hashed_vectors_have_length_one_or_zero(texts: list[str]) -> None:
    vectors = HashingEncoder(32)(texts)
    assert vectors.shape == (len(texts), 32) and vectors.dtype == np.float32
    assert all(abs(norm - 1) < 1e-5 or norm == 0 for norm in np.linalg.norm(vectors, axis=1))


def test_hashing_is_the_same_in_every_process() -> None:
    expected = np.zeros(64)
    for gram in ("café", "24", "00", "café 24", "24 00"):
        bits = int.from_bytes(blake2b(gram.encode(), digest_size=8).digest(), "little")
        expected[bits // 2 % 64] += 1 if bits % 2 else -1
    script = (
        "from ss_gym.wrappers import HashingEncoder; import numpy as np;"
        "print(np.sign(HashingEncoder(64)(['Café, 24.00 €'])[0]).astype(int).tolist())"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        )
        assert done.stdout == f"{np.sign(expected).astype(int).tolist()}\n"


@pytest.mark.parametrize("settings", [{"dimensions": 0}, {"ngrams": 0}])
def test_a_hashing_encoder_needs_some_of_each(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        HashingEncoder(**settings)
