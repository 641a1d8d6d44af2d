"""Environments in TRL's GRPOTrainer."""

import json
import re
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest

from ss_gym.actions import parse_action
from ss_gym.interop.trl import (
    SPEAKING,
    ConversationRollout,
    Outcome,
    environment_factory,
    environment_reward,
    rollout_rows,
    rows,
)
from tests.interop.episodes import REFUND, RETAIL, native

trl = pytest.importorskip("trl", reason="trl is in an environment of its own: make test-interop")

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from transformers.utils import get_json_schema  # noqa: E402

from ss_trainers.chat import ChatFormat  # noqa: E402

TINY = files("ss_trainers") / "assets" / "tiny"
DOCS = Path(__file__).parents[2] / "docs"
PAGE, EXAMPLES = DOCS / "pages" / "trl.md", DOCS / "examples"
COMPACT = {"prompt": "compact"}
# As the tiny agent's own, with calls where TRL has them, and how to find them in what it writes.
TOOL_TEMPLATE = """\
{%- for message in messages %}<|{{ message.role }}|>{{ message.content }}
{%- for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}
{%- if message.role == 'assistant' %}<|end|>{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""
RESPONSE_TEMPLATE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|assistant|>",
    "fields": {
        "tool_calls": {
            "open": "<tool_call>",
            "close_pattern": r"</tool_call>\s*",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<\|end\|>\s*", "content": "text"},
    },
}


@pytest.fixture(autouse=True)
def silent(monkeypatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    torch.set_num_threads(1)


def tokenizer(**changes):
    made = AutoTokenizer.from_pretrained(TINY)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def trainer_of(folder, tokenizer, dataset, **given):
    """TRL's trainer with the tiny agent, two attempts a group and two groups a step."""
    config = trl.GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        num_generations=2,
        max_completion_length=given.pop("longest", 96),
        max_steps=given.pop("steps", 1),
        learning_rate=1e-3,
        shuffle_dataset=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
    )
    return trl.GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32).train(),
        reward_funcs=environment_reward,
        args=config,
        train_dataset=dataset,
        processing_class=tokenizer,
        **given,
    )


class Scripted:
    """In place of TRL's generation: each attempt writes what it is told, one text a call.

    Args:
        tokenizer: of the model.
        scripts: texts of each attempt, in order.
        measured: whether log-probabilities are given: minus one, minus two, and so on.
    """

    def __init__(self, tokenizer, scripts, measured=False) -> None:
        self.tokenizer, self.scripts, self.measured = tokenizer, [list(texts) for texts in scripts], measured
        self.read: list[list[list[int]]] = []

    def __call__(self, prompt_ids, images, fields, num_generations, **_):
        going = [texts for texts in self.scripts if texts]
        assert len(prompt_ids) == len(going) and images is None
        self.read.append([list(ids) for ids in prompt_ids])
        ids = [self.tokenizer.encode(f"{texts.pop(0)}<|end|>", add_special_tokens=False) for texts in going]
        return ids, [[-float(place) for place in range(1, len(each) + 1)] for each in ids] if self.measured else None


def as_calls(action: str) -> list[dict[str, object]]:
    """An action of the environment as TRL's tools have it: speaking is a call, too."""
    parsed = parse_action(action)
    calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in parsed.tool_calls]
    return calls or [{"name": "say", "arguments": {"message": parsed.say}}]


def as_text(action: str) -> str:
    return "".join(f"<tool_call>{json.dumps(call, ensure_ascii=False)}</tool_call>" for call in as_calls(action))


def messages_of(ours):
    """The conversation as TRL's loop over tools writes it."""
    told = []
    for action, came in zip(ours.actions, ours.messages, strict=True):
        told.append({"role": "assistant", "content": as_text(action)})
        # A call that ends the conversation has a result, and a customer who leaves may say nothing.
        told += [{"role": "tool", "content": each["content"]} for each in came] or [{"role": "tool", "content": ""}]
    return told


def unpadded(played, place):
    """Ids of the prompt and of the completion, and what of the latter was sampled."""
    prompt = played["prompt_ids"][place][played["prompt_mask"][place].bool()].tolist()
    known = played["completion_mask"][place].bool()
    return prompt, played["completion_ids"][place][known].tolist(), played["tool_mask"][place][known].tolist()


@pytest.mark.parametrize("env_id", [REFUND, RETAIL])
def test_schemas_that_trl_reads_are_those_of_the_environment(env_id) -> None:
    import gymnasium as gym

    env = environment_factory(env_id)()
    _, info = gym.make(env_id).reset(seed=0)
    for schema in info["tools"]:
        expected = json.loads(json.dumps(schema))
        parameters = expected["function"]["parameters"]
        # What a signature can't say.
        assert parameters.pop("additionalProperties") is False
        for each in parameters["properties"].values():
            each.pop("pattern", None)
        if not parameters["required"]:
            del parameters["required"]
        assert get_json_schema(getattr(env, schema["function"]["name"])) == expected
    said = get_json_schema(env.say)["function"]
    assert said["parameters"]["required"] == ["message"] and "return" not in said
    names = {schema["function"]["name"] for schema in info["tools"]}
    assert {name for name in dir(env) if callable(getattr(env, name)) and name[0] != "_"} == {*names, "say", "reset"}


@pytest.mark.parametrize("env_id", [REFUND, RETAIL])
def test_an_episode_by_tools_is_that_of_the_environment(env_id) -> None:
    env = environment_factory(env_id)()
    for seed in range(8):
        ours = native(env_id, seed)
        assert env.reset(prompt=[], seed=seed) == ours.opening
        for action, (observation, *_) in zip(ours.actions, ours.steps, strict=True):
            results = [getattr(env, call["name"])(**call["arguments"]) for call in as_calls(action)]
            assert "\n".join(results) == observation
        assert env.outcome.total == pytest.approx(sum(reward for _, reward, *_ in ours.steps))
        assert env.outcome.success == ours.success
        assert env.outcome.steps == sum(len(as_calls(action)) for action in ours.actions)
        before = env.outcome
        assert env.say(message="Anything else?") == '{"error":"the conversation is over"}' and env.outcome == before


def test_trls_loop_over_tools_plays_the_episode(tmp_path, monkeypatch) -> None:
    spoken = tokenizer(chat_template=TOOL_TEMPLATE, response_template=RESPONSE_TEMPLATE)
    data = rows(REFUND, count=2, start=5, **COMPACT)
    factory = environment_factory(REFUND, **COMPACT)
    trainer = trainer_of(tmp_path, spoken, data, environment_factory=factory, longest=3000)
    episodes = [native(REFUND, seed, **COMPACT) for seed in (5, 5, 6, 6)]
    actions = [[as_text(action) for action in ours.actions] for ours in episodes]
    scripted = Scripted(spoken, [[*texts, ""] for texts in actions])
    monkeypatch.setattr(trainer, "_generate_single_turn", scripted)
    played = trainer._generate_and_score_completions([data[place] for place in (0, 0, 1, 1)])
    for place, (ours, written) in enumerate(zip(episodes, actions, strict=True)):
        prompt, completion, mask = unpadded(played, place)
        opening = [
            {"role": "system", "content": f"{ours.prompt}\n\n{SPEAKING}"},
            {"role": "user", "content": ours.opening},
        ]
        messages = [*opening, *messages_of(ours), {"role": "assistant", "content": ""}]
        assert spoken.decode(prompt + completion) == spoken.apply_chat_template(messages, tokenize=False)
        sampled = [token for token, own in zip(completion, mask, strict=True) if own]
        assert spoken.decode(sampled) == "".join(f"{text}<|end|>" for text in [*written, ""])
    totals = [sum(reward for _, reward, *_ in ours.steps) for ours in episodes]
    noted = trainer._metrics["train"]
    assert noted["rewards/environment_reward/mean"] == [pytest.approx(sum(totals) / 4)]
    assert noted["episode/success"] == [pytest.approx(sum(ours.success for ours in episodes) / 4)]
    assert noted["tools/failure_frequency"] == [0.0]


def test_what_is_written_last_without_a_call_is_said_to_the_customer() -> None:
    ours, factory = native(REFUND, 3), environment_factory(REFUND)
    spoken, silent, cut = factory(), factory(), factory()
    for env in (spoken, silent, cut):
        env.reset(seed=3)
    last = {"role": "assistant", "content": ours.actions[0]}
    called = {"role": "assistant", "content": "", "tool_calls": [{"type": "function"}]}
    noted: dict[str, float] = {}
    rewards = environment_reward(
        [[last], [], [called]], environments=[spoken, silent, cut], log_metric=noted.__setitem__
    )
    assert rewards == [ours.steps[0][1], 0.0, 0.0]
    assert [env.outcome.steps for env in (spoken, silent, cut)] == [1, 0, 0]
    assert noted["episode/success"] == 0.0  # none of them came to its end
    # Another reward function may ask once more: nothing is said twice.
    assert environment_reward([[last]], environments=[spoken]) == rewards[:1] and spoken.outcome.steps == 1
    assert environment_reward([[last]], environments=[object()]) == [None]
    with pytest.raises(TypeError, match="needs an environment_factory"):
        environment_reward([[last]])


def test_a_rollout_plays_whole_conversations_in_ids(tmp_path, monkeypatch) -> None:
    tiny, data = tokenizer(), rollout_rows(count=2, start=5)
    rollout = ConversationRollout(REFUND, ChatFormat(tiny), **COMPACT)
    trainer = trainer_of(tmp_path, tiny, data, rollout_func=rollout)
    episodes = [native(REFUND, seed, **COMPACT) for seed in (5, 5, 6, 6)]
    scripted = Scripted(tiny, [ours.actions for ours in episodes])
    monkeypatch.setattr(trainer, "_generate_single_turn", scripted)
    played = trainer._generate_and_score_completions([data[place] for place in (0, 0, 1, 1)])
    for place, ours in enumerate(episodes):
        prompt, completion, mask = unpadded(played, place)
        opening = [{"role": "system", "content": ours.prompt}, {"role": "user", "content": ours.opening}]
        messages = list(opening)
        for action, came in zip(ours.actions, ours.messages, strict=True):
            messages += [{"role": "assistant", "content": action}, *came]
        while messages[-1]["role"] != "assistant":  # what came last was read by nobody
            messages.pop()
        rendered = tiny.apply_chat_template(opening, tokenize=False, add_generation_prompt=True)
        assert tiny.decode(prompt) == rendered
        assert tiny.decode(prompt + completion) == tiny.apply_chat_template(messages, tokenize=False)
        sampled = [token for token, own in zip(completion, mask, strict=True) if own]
        assert tiny.decode(sampled) == "".join(f"{action}<|end|>" for action in ours.actions)
    # Each reply was sampled from what had been read and sampled before, as it was.
    first, longest = scripted.read[0][0], scripted.read[-1][-1]
    assert first == unpadded(played, 0)[0] and played["prompt_ids"].shape[0] == 4
    assert any(longest == (prompt + completion)[: len(longest)] for prompt, completion, _ in map_rows(played))
    noted = trainer._metrics["train"]
    totals = [sum(reward for _, reward, *_ in ours.steps) for ours in episodes]
    assert noted["reward"] == [pytest.approx(sum(totals) / 4)]
    assert noted["episode/steps"] == [sum(len(ours.actions) for ours in episodes) / 4]


def map_rows(played):
    return [unpadded(played, place) for place in range(len(played["prompt_ids"]))]


def generating(tiny, scripts, measured=False, longest=4096):
    """What a rollout needs of a trainer."""
    config = SimpleNamespace(max_position_embeddings=longest)
    return SimpleNamespace(
        model=SimpleNamespace(config=config), _generate_single_turn=Scripted(tiny, scripts, measured)
    )


def test_log_probabilities_go_with_the_tokens_that_were_sampled() -> None:
    tiny = tokenizer()
    rollout = ConversationRollout(REFUND, ChatFormat(tiny), **COMPACT)
    prompts, scripts = rollout_rows(count=2)["prompt"], [native(REFUND, seed, **COMPACT).actions for seed in (0, 1)]
    told = rollout(prompts, generating(tiny, scripts, measured=True))
    for ids, own, logprobs in zip(told["completion_ids"], told["env_mask"], told["logprobs"], strict=True):
        assert len(ids) == len(own) == len(logprobs)
        assert all((value < 0) == bool(mine) for value, mine in zip(logprobs, own, strict=True))
    assert rollout(prompts, generating(tiny, scripts))["logprobs"] is None


def test_a_conversation_ends_where_the_models_context_is_full() -> None:
    tiny = tokenizer()
    actions = native(REFUND, 0, **COMPACT).actions
    told = ConversationRollout(REFUND, ChatFormat(tiny), **COMPACT)(
        ['{"seed": 0}'], generating(tiny, [actions], longest=250)
    )
    (prompt,), (completion,), (own,) = told["prompt_ids"], told["completion_ids"], told["env_mask"]
    assert len(prompt) < len(prompt) + len(completion) <= 250 and own[-1] == 1
    assert told["outcome"][0].success is False and told["outcome"][0].steps < len(actions)
    with pytest.raises(ValueError, match="the instructions alone are"):
        ConversationRollout(REFUND, ChatFormat(tiny), max_context=20)(['{"seed": 0}'], generating(tiny, [actions]))


def test_a_reply_that_was_cut_off_is_closed_for_the_model_to_read() -> None:
    tiny = tokenizer()
    trainer, chat = generating(tiny, [["Hello, what is your e-mail?", "Goodbye!"]]), ChatFormat(tiny)
    whole = trainer._generate_single_turn
    trainer._generate_single_turn = lambda *given: ([whole(*given)[0][0][:-1]], None)
    limit = 400
    rollout = ConversationRollout(REFUND, chat, max_turns=2, max_context=limit, **COMPACT)
    told = rollout(['{"seed": 0}'], trainer)
    text = tiny.decode(told["completion_ids"][0])
    assert text.startswith("Hello, what is your e-mail?<|end|><|user|>") and text.endswith("<|assistant|>Goodbye!")
    closing = told["completion_ids"][0].index(tiny.eos_token_id)
    assert told["env_mask"][0][closing] == 0 and told["env_mask"][0][closing - 1] == 1


def test_rows_say_which_episode_it_is() -> None:
    data = rows(REFUND, "dev", 3, start=4, **COMPACT)
    assert data["seed"] == [4, 5, 6] and data["options"] == [{"split": "dev"}] * 3
    env = environment_factory(REFUND, **COMPACT)()
    assert env.reset(**data[0]) == env.reset(seed=4, options={"split": "dev"})
    # What a table fills in where a row has nothing.
    named = Dataset.from_list(
        [{"seed": None, "options": {"scenario_id": "refund/dev/0004"}}, {"seed": 1, "options": {"user_seed": 2}}]
    )
    assert env.reset(**named[0]) == env.reset(options={"scenario_id": "refund/dev/0004"})
    assert env.reset(**named[1]) == env.reset(seed=1, options={"user_seed": 2})
    with pytest.raises(ValueError, match="attempts of a group share it"):
        env.reset(prompt=[{"role": "user", "content": ""}])
    assert json.loads(rollout_rows("dev", 2, start=4)["prompt"][1]) == {"seed": 5, "options": {"split": "dev"}}
    assert json.loads(rollout_rows(None, 1)["prompt"][0]) == {"seed": 0, "options": None}
    with pytest.raises(ValueError, match="as rollout_rows has it, not 'Hello'"):
        ConversationRollout(REFUND, ChatFormat(tokenizer()))(["Hello"], generating(tokenizer(), [["Hi"]]))


def test_a_tool_may_not_have_a_name_that_is_taken(monkeypatch) -> None:
    schema = {"type": "function", "function": {"name": "say", "parameters": {}}}
    fake = SimpleNamespace(reset=lambda seed: ("", {"tools": [schema]}), close=lambda: None)
    monkeypatch.setattr("gymnasium.make", lambda *_, **__: fake)
    with pytest.raises(ValueError, match="has a tool called say, which is taken here"):
        environment_factory(REFUND)
    schema["function"]["name"] = "reset"
    with pytest.raises(ValueError, match="a tool called reset"):
        environment_factory(REFUND)


def weights(trainer):
    return {name: value.detach().clone() for name, value in trainer.model.named_parameters()}


def test_trl_trains_the_tiny_agent_on_whole_conversations(tmp_path) -> None:
    tiny = tokenizer()
    rollout = ConversationRollout(REFUND, ChatFormat(tiny), **COMPACT)
    trainer = trainer_of(tmp_path, tiny, rollout_rows(count=4), rollout_func=rollout, steps=2)
    before = weights(trainer)
    trainer.train()
    assert any(not torch.equal(value, before[name]) for name, value in weights(trainer).items())
    steps = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert len(steps) == 2 and all(entry["episode/steps"] > 2 for entry in steps)
    assert all(entry["reward"] == entry["rewards/environment_reward/mean"] for entry in steps)


def test_trl_trains_the_tiny_agent_with_tools(tmp_path) -> None:
    spoken = tokenizer(chat_template=TOOL_TEMPLATE, response_template=RESPONSE_TEMPLATE)
    factory = environment_factory(REFUND, **COMPACT)
    trainer = trainer_of(tmp_path, spoken, rows(REFUND, count=4, **COMPACT), environment_factory=factory)
    trainer.train()
    (entry,) = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert entry["episode/steps"] >= 1 and entry["reward"] == entry["rewards/environment_reward/mean"]


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import trl_study

    return trl_study


def test_the_table_of_the_page_is_that_of_the_results(study) -> None:
    from study_cells import markdown_table

    cells = study.read()
    assert set(cells) <= set(study.CELLS)
    for key, cell in cells.items():
        assert len(cell["curve"]) == study.ITERATIONS or not key.startswith("trl")
    table = markdown_table(study.HEADINGS, study.rows_of(cells))
    assert not cells or table in PAGE.read_text(encoding="utf-8")


def test_the_study_runs_its_cells_and_tells_them(study, monkeypatch, tmp_path, capsys) -> None:
    small = {"ITERATIONS": 1, "GROUPS": 2, "ATTEMPTS": 2, "CUSTOMERS": 2, "WORK": tmp_path}
    for name, value in {**small, "RESULTS": tmp_path / "trl.json", "PLOT": tmp_path / "trl.png"}.items():
        monkeypatch.setattr(study, name, value)
    with pytest.raises(SystemExit, match="run `--only trl/0` first"):
        study.main(["--only", "steps/0"])
    study.main(["--only", "trl/0", "steps/0", "time/0"])
    cells = study.read()
    theirs, ours = cells["trl/0"]["curve"][-1], cells["steps/0"]["curve"][-1]
    assert theirs[study.EPISODES] == 4 and ours[study.STEPS] >= theirs[study.STEPS]
    assert cells["time/0"]["curve"][-1][study.SECONDS] >= theirs[study.SECONDS]
    study.main(["--markdown"])
    assert "| ours, as many steps | 1 |" in capsys.readouterr().out


def test_the_page_runs_as_it_stands(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert isinstance(names["env"].outcome, Outcome) and names["trainer"].state.global_step == 2
