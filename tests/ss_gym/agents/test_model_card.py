"""What the card of a checkpoint tells, and what it does not."""

import re

import yaml

from ss_gym.agents import AgentConfig
from ss_gym.agents.model_card import model_card

TRAINED = {
    "algorithm": "grpo",
    "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "iteration": 12,
    "training": {
        "env": "StateSet/Refund-v0",
        "env_kwargs": {"prompt": "compact"},
        "training": {
            "groups_per_iteration": 4,
            "group_size": 8,
            "learning_rate": 2e-4,
            "lora": {"rank": 16},
            "eval_episodes": 100,
            "eval_options": {"split": "dev"},
            "output_dir": "/home/alice/secret/run",
        },
    },
    "metrics": {"eval/success": 0.71875},
}
AGENT = AgentConfig("/home/alice/secret/run", max_new_tokens=96, temperature=0.0)


def card(agent=AGENT, provenance=TRAINED, weights=("model.safetensors",)):
    return model_card(agent, provenance, weights)


def front_matter(text):
    _, front, _ = text.split("---\n", 2)
    return yaml.safe_load(front)


def rows(text):
    return dict(re.findall(r"^\| (.*) \| (.*) \|$", text, re.MULTILINE))


def test_hubs_find_the_library_the_base_model_and_the_tags():
    assert front_matter(card()) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "tags": ["stateset-gym", "reinforcement-learning", "grpo"],
    }
    adapter = front_matter(card(weights=["adapter_model.safetensors", "trainer.safetensors"]))
    assert adapter["library_name"] == "peft" and adapter["tags"][-1] == "lora"


def test_what_it_was_trained_on_and_what_was_measured_are_told():
    told = rows(card())
    assert (told["algorithm"], told["environment"], told["iterations"]) == ("grpo", "StateSet/Refund-v0", "12")
    assert (told["attempts at each scenario"], told["`learning_rate`"], told["LoRA rank"]) == ("8", "0.0002", "16")
    assert told["eval/success"] == "0.71875" and "of 100 episodes in the same environment, reset with" in card()


def test_no_path_of_the_machine_is_told():
    local = {**TRAINED, "base_model": "/home/alice/secret/models/smol"}
    for weights in (["model.safetensors"], ["adapter_model.safetensors"]):
        text = card(provenance=local, weights=weights)
        assert "alice" not in text and "smol" in text and "base_model" not in front_matter(text)


def test_what_the_provenance_does_not_have_is_said_not_to_be_known():
    text = card(provenance={"base_model": "tiny"})
    assert "Its weights are those of `tiny`; what they were trained on is not known here." in text
    assert "None were recorded" in text and "Nothing is known here of how it does" in text
    assert "reinforcement-learning" not in text and "base_model" not in front_matter(text)
    changed = card(provenance={"base_model": "tiny", "weights_changed": True})
    assert "It began as `tiny`; how its weights were changed since is not known here." in changed


def test_an_agent_without_weights_says_where_its_answers_come_from():
    text = card(AgentConfig("openai://localhost:8000/m"), {}, [])
    assert front_matter(text) == {"tags": ["stateset-gym"]}
    assert "no weights are here" in text and "passed on to `openai://localhost:8000/m`" in text
    assert "transformers" not in text


def test_a_reward_model_is_no_agent():
    text = card(AgentConfig("folder"), {"reward_model": {"figures": {"accuracy": 0.9}}}, ["model.safetensors"])
    assert front_matter(text)["tags"] == ["stateset-gym", "reward-model"] and "pipeline_tag" not in front_matter(text)
    assert "# A reward model" in text and rows(text)["accuracy"] == "0.9" and "NeuralReward" in text


def test_an_agent_with_a_critic_says_what_it_is_without_it():
    alone = model_card(AgentConfig("offline://"), {}, ["model.safetensors"])
    told = model_card(AgentConfig("offline://"), {}, ["model.safetensors", "offline.safetensors"])
    assert "A critic beside the model has a say" in told and "critic" not in alone


def test_a_run_tells_how_training_goes_on_and_an_agent_does_not():
    assert "Trainer.resume" in card(weights=["model.safetensors", "trainer.safetensors"])
    assert "Trainer.resume" not in card()


def test_the_code_of_the_card_can_be_compiled():
    found = 0
    for weights in (["model.safetensors"], ["adapter_model.safetensors"], []):
        for block in re.findall(r"```python\n(.*?)```", card(weights=weights), re.DOTALL):
            compile(block, "card", "exec")
            found += 1
    assert found == 5


def test_a_value_that_holds_a_bar_or_lines_stays_in_its_cell():
    odd = {**TRAINED, "training": {"env": "a|b\nc", "training": {}}}
    assert rows(card(provenance=odd))["environment"] == "a&#124;b c"
