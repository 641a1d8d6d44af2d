import subprocess
import sys
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_gym.agents import AgentConfig, Conversation, Sampling, backends, load_backend
from ss_gym.agents.backends import split_model_name
from ss_gym.types import Completion


def answers(config, *conversations):
    backend = load_backend(config)
    return [completion.text for completion in backend.generate([Conversation(c) for c in conversations], Sampling())]


def user(text):
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    ("name", "scheme", "location"),
    [
        ("stub://demo", "stub", "demo"),
        ("tiny", "tiny", ""),
        ("gpt2", "hf", "gpt2"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "hf", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("/models/tiny", "hf", "/models/tiny"),
        ("openai://localhost:8000/m", "openai", "localhost:8000/m"),
        ("vllm://Qwen/Qwen3-4B", "vllm", "Qwen/Qwen3-4B"),
    ],
)
def test_the_scheme_of_a_model_name_chooses_the_backend(name, scheme, location):
    assert split_model_name(name) == (scheme, location)


def test_an_unknown_scheme_names_the_nearest_installed_one():
    with pytest.raises(ValueError, match=r"unknown scheme 'stubb'; did you mean 'stub'\?"):
        load_backend(AgentConfig(model_name="stubb://demo"))


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_a_backend_whose_packages_are_missing_names_the_extra_that_brings_them():
    pytest.importorskip("torch")
    with pytest.raises(
        ImportError, match=r"of 'vllm://tiny' needs the package 'vllm': pip install 'stateset-gym\[vllm\]'"
    ):
        load_backend(AgentConfig("vllm://tiny"))


class Shouting:
    """A backend of another package."""

    def __init__(self, location, config):
        self._word = location

    def generate(self, conversations, sampling):
        return [Completion(f"{self._word}!") for _ in conversations]


@pytest.fixture
def installed(monkeypatch):
    """Two backends of other packages, of which one lacks a package itself."""
    sys.modules["shouting"] = sys.modules[__name__]
    places = {"shout": "shouting:Shouting", "lost": "no_such_package_at_all:Backend"}
    entries = [EntryPoint(name, place, backends.ENTRY_POINT_GROUP) for name, place in places.items()]
    monkeypatch.setattr(backends, "entry_points", lambda group: entries if group == "ss_gym.backends" else [])
    yield
    del sys.modules["shouting"]


def test_a_backend_of_another_package_answers_for_its_scheme(installed):
    assert answers(AgentConfig("shout://hey"), [user("Hello?")]) == ["hey!"]
    with pytest.raises(ImportError, match=r"of 'lost://x' needs the package 'no_such_package_at_all': install it$"):
        load_backend(AgentConfig("lost://x"))


def test_the_stub_refers_to_what_the_user_said_and_repeats_itself_for_equal_conversations():
    config = AgentConfig(model_name="stub://demo")
    first, second, other = answers(config, [user("My mug broke")], [user("My mug broke")], [user("A torn shirt")])
    assert "My mug broke" in first
    assert first == second
    assert first != other


def test_the_stub_greets_when_nothing_was_said():
    greeting = "Hello! How can I help you today?"
    assert answers(AgentConfig(model_name="stub://demo"), [user("  ")], [user(None)]) == [greeting, greeting]


def test_the_stub_reads_what_is_said_in_parts():
    (answer,) = answers(AgentConfig("stub://demo"), [user([{"type": "text", "text": "my lamp"}])])
    assert "“my lamp”" in answer


def test_the_stub_follows_its_script_turn_by_turn_and_starts_again():
    config = AgentConfig(model_name="stub://demo", stub_responses=("one", "two"))
    said = {"role": "assistant", "content": "x"}
    conversations = [[user("a")], [user("a"), said, user("b")], [user("a"), said, user("b"), said, user("c")]]
    assert answers(config, *conversations) == ["one", "two", "one"]


def test_the_stub_ends_at_a_stop_text_or_at_its_limit_of_words():
    config = AgentConfig(model_name="stub://demo", stub_responses=("One two. Three four.",))
    backend, asked = load_backend(config), [Conversation([user("a")])]
    assert backend.generate(asked, Sampling(stop=("four", " Three"))) == [Completion("One two.")]
    assert backend.generate(asked, Sampling(3)) == [Completion("One two. Three", finish_reason="length")]
    assert backend.generate(asked, Sampling(4)) == [Completion("One two. Three four.")]


@given(st.text())
def test_the_stub_answers_any_text(text):
    assert answers(AgentConfig(model_name="stub://demo"), [user(text)])[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_name": ""}, "model_name is empty"),
        ({"model_name": None}, "model_name is empty"),
        ({"model_name": "tiny", "max_new_tokens": 0}, "max_new_tokens must be a whole number of at least 1, got 0"),
        ({"model_name": "tiny", "max_new_tokens": 2.5}, "max_new_tokens must be a whole number of at least 1, got 2.5"),
        ({"model_name": "tiny", "max_new_tokens": True}, "of at least 1, got True"),
        ({"model_name": "tiny", "temperature": -1.0}, "temperature must be a number from 0 up, got -1.0"),
        ({"model_name": "tiny", "temperature": float("nan")}, "temperature must be a number from 0 up, got nan"),
        ({"model_name": "tiny", "temperature": float("inf")}, "temperature must be a number from 0 up, got inf"),
        ({"model_name": "tiny", "temperature": "0.5"}, "temperature must be a number from 0 up, got '0.5'"),
        ({"model_name": "tiny", "top_p": 0.0}, "top_p must be a number above 0 and at most 1, got 0.0"),
        ({"model_name": "tiny", "seed": None}, "seed must be a whole number, got None"),
        ({"model_name": "tiny", "stop": ("", "a")}, "stop has an empty text"),
        ({"model_name": "tiny", "stop": "END"}, "stop is a list of texts, got 'END'"),
        ({"model_name": "tiny", "stop": None}, "stop is a list of texts, got None"),
        ({"model_name": "tiny", "stub_responses": [1]}, r"stub_responses is a list of texts, got \[1\]"),
        ({"model_name": "tiny", "backend_options": None}, "backend_options is a mapping of options by name, got None"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AgentConfig(**settings)


def test_a_folder_may_be_given_as_a_path():
    config = AgentConfig(Path("models") / "mine", adapter=Path("adapter"))
    assert (config.model_name, config.adapter) == ("models/mine", "adapter")
    assert config == AgentConfig("models/mine", adapter="adapter")


def test_agents_do_not_import_torch():
    code = "import sys, ss_gym.agents; assert not {'torch', 'transformers'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("setting", ["dtype", "adapter"])
def test_a_backend_that_has_no_such_setting_says_so(setting):
    with pytest.raises(ValueError, match=rf"'stub://demo' takes no {setting}: leave it out of the AgentConfig"):
        load_backend(AgentConfig("stub://demo", **{setting: "bfloat16"}))


def test_a_conversation_that_nothing_can_be_said_to_is_refused_by_the_backend_too():
    backend = load_backend(AgentConfig("stub://demo"))
    for messages, reason in (([], "is empty"), ([user("a"), {"role": "assistant", "content": "x"}], "the agent's own")):
        with pytest.raises(ValueError, match=reason):
            backend.generate([Conversation(messages)], Sampling())
