from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_trainers.algorithms.grpo import GRPOConfig
from ss_trainers.config import LoraSettings, TrainingConfig, config_from_mapping, read_yaml


def test_settings_are_converted_to_their_types():
    values = {"iterations": 7, "learning_rate": "1e-4", "schedule": "cosine", "lora": {"rank": 4}}
    config = config_from_mapping(TrainingConfig, values)
    assert config == TrainingConfig(iterations=7, learning_rate=1e-4, schedule="cosine", lora=LoraSettings(rank=4))


def test_no_settings_are_the_defaults():
    assert config_from_mapping(TrainingConfig, {}) == TrainingConfig()
    assert config_from_mapping(GRPOConfig, {}) == GRPOConfig()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"itrations": 3}, "run.yaml: unknown setting 'itrations' of TrainingConfig; did you mean 'iterations'?"),
        ({"lora": {"rnk": 3}}, "run.yaml: unknown setting 'rnk' of LoraSettings; did you mean 'rank'?"),
        ({"zzz": 3}, "run.yaml: unknown setting 'zzz' of TrainingConfig; known: iterations, groups_per_iteration"),
        ({"iterations": "many"}, "run.yaml: iterations: Input should be a valid integer"),
        ({"schedule": "cubic"}, "run.yaml: schedule: Input should be 'constant', 'linear' or 'cosine'"),
        ({"iterations": 0}, "run.yaml: iterations must be at least 1, got 0"),
        ({"learning_rate": float("nan")}, "run.yaml: learning_rate must be positive, got nan"),
        ({"save_every": -1}, "run.yaml: save_every must not be negative, got -1"),
        ({"iterations": True}, "run.yaml: iterations must be a number, got True"),
        ({"learning_rate": True}, "run.yaml: learning_rate must be a number, got True"),
        ({"max_context": False}, "run.yaml: max_context must be a number, got False"),
        ({"lora": {"rank": True}}, "run.yaml: rank must be a number, got True"),
        ({"max_context": 0}, "run.yaml: max_context must have room for a prompt and a reply, at least 2, got 0"),
        ({"max_context": -5}, "run.yaml: max_context must have room for a prompt and a reply, at least 2, got -5"),
        (
            {"iterations": 3, "warmup_iterations": 4},
            "run.yaml: warmup_iterations must be at most iterations, which is 3, got 4",
        ),
        ({"lora": {"rank": 0}}, "lora.rank must be at least 1, got 0"),
        ({"workers": 2, "device": "cuda"}, "run.yaml: several workers share the processor: set device to 'cpu'"),
        ({"sampler": "sglang"}, "run.yaml: sampler: Input should be 'builtin' or 'vllm'"),
        ({"sampler": "vllm", "workers": 2}, "run.yaml: several workers would run an engine of vLLM each"),
        ({"sampler_options": {"dtype": "float32"}}, "run.yaml: the sampler 'builtin' has no options, got dtype"),
    ],
)
def test_a_wrong_setting_is_named(values, message):
    with pytest.raises(ValueError) as caught:
        config_from_mapping(TrainingConfig, values, "run.yaml")
    assert message in str(caught.value)


def test_the_learning_rate_rises_through_the_warm_up_and_falls_by_schedule():
    def rates(**settings):
        config = TrainingConfig(iterations=6, learning_rate=1.0, warmup_iterations=2, **settings)
        return [round(config.learning_rate_at(iteration), 4) for iteration in range(6)]

    assert rates(schedule="constant") == [0.5, 1, 1, 1, 1, 1]
    assert rates(schedule="linear") == [0.5, 1, 1, 0.75, 0.5, 0.25]
    assert rates(schedule="cosine") == [0.5, 1, 1, 0.8536, 0.5, 0.1464]


def test_a_truth_value_is_no_number_in_python_either():
    with pytest.raises(ValueError, match="iterations must be a number, got True"):
        TrainingConfig(iterations=True)


@given(st.integers(1, 50), st.integers(0, 50), st.sampled_from(["constant", "linear", "cosine"]))
def test_the_learning_rate_is_always_above_zero_and_at_most_its_highest(iterations, warmup, schedule):
    warmup = min(warmup, iterations)
    config = TrainingConfig(iterations=iterations, warmup_iterations=warmup, schedule=schedule, learning_rate=0.5)
    rates = [config.learning_rate_at(iteration) for iteration in range(iterations)]
    assert all(0 < rate <= 0.5 for rate in rates)


def test_a_file_is_read_as_settings(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("iterations: 3\neval_options: {split: dev}\n")
    assert read_yaml(file) == {"iterations": 3, "eval_options": {"split": "dev"}}
    file.write_text("")
    assert read_yaml(file) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1\nb: 2", "line 2 is not valid YAML"),
        (b"- 1\n- 2", "must hold settings as 'name: value' lines, not a list"),
        (b"\xff\xfe\x00", "is not valid YAML"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, content, message):
    file = tmp_path / "run.yaml"
    file.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read_yaml(file)
    assert message in str(caught.value) and "run.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config file at .*run"):
        read_yaml(tmp_path / "run.yaml")


def test_every_setting_is_documented():
    for config in (TrainingConfig, LoraSettings):
        for name in config.__dataclass_fields__:
            assert f"        {name}: " in config.__doc__, name


def test_nested_settings_may_be_absent():
    @dataclass(frozen=True)
    class Outer:
        inner: LoraSettings | None = None

    assert config_from_mapping(Outer, {"inner": None}) == Outer()
