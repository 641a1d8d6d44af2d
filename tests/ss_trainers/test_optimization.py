import os
import signal
import threading

import pytest
import torch
from torch import nn

from ss_gym.types import ConversationTurn, MultiTurnTrajectory
from ss_trainers import LoraSettings, TrainingConfig
from ss_trainers.backends.models import LoadedModel
from ss_trainers.collate import collate, split_by_length
from ss_trainers.interruption import postponed, undisturbed
from ss_trainers.metrics import group_metrics
from ss_trainers.optimization import adamw, even_share, trainable_model
from tests.ss_trainers.tiny_model import make_model, make_tokenizer


def batch_of(lengths):
    turns = [(ConversationTurn("assistant", "", token_ids=(1,) * n, logprobs=(0.0,) * n),) for n in lengths]
    return collate([MultiTurnTrajectory(turn, prompt_ids=(5,)) for turn in turns])


def test_weight_decay_is_for_matrices_alone():
    parameters = [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))]
    groups = adamw(parameters, TrainingConfig(weight_decay=0.1)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (1, 0.0)]


def test_adapters_start_as_nothing_and_leave_the_global_generator_alone():
    tokenizer = make_tokenizer()
    model, ids = make_model(len(tokenizer)), torch.tensor([[4, 5, 6]])
    before, state = model(ids).logits, torch.get_rng_state()
    adapted = trainable_model(LoadedModel(model, tokenizer, "x"), TrainingConfig(lora=LoraSettings(rank=2))).model
    torch.testing.assert_close(adapted(ids).logits, before)
    assert torch.equal(torch.get_rng_state(), state)
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert trained and all("lora_" in name for name in trained)


@pytest.mark.parametrize(
    ("workers", "limit", "expected"),
    [(1, 1000, 1), (2, 1000, 2), (1, 60, 2), (2, 40, 4)],
)
def test_each_process_has_as_many_micro_batches_of_equal_rows(workers, limit, expected):
    batch = batch_of([9] * 12)  # 12 rows of 10 tokens
    share = even_share(batch, workers, limit)
    assert len(split_by_length(batch, share)) == expected


def test_groups_whose_attempts_are_all_alike_are_counted():
    returns, groups = torch.tensor([1.0, 1.0, 0.0, 1.0, 2.0]), torch.tensor([7, 7, 3, 3, 9])
    assert group_metrics(returns, groups) == {"groups_without_variance": pytest.approx(2 / 3)}


def test_ctrl_c_waits_for_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt):
        with undisturbed():
            with undisturbed():
                os.kill(os.getpid(), signal.SIGINT)
                done.append("inner")
            done.append("outer")
        done.append("after")
    assert done == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_waits_until_it_is_let_in():
    done = []
    with pytest.raises(KeyboardInterrupt), postponed() as let_in:
        for turn in range(3):
            let_in()
            if turn == 1:
                os.kill(os.getpid(), signal.SIGINT)
            done.append(turn)
    assert done == [0, 1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_blocks_in_other_threads_run_as_they_are():
    done = []

    def work():
        with undisturbed():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
