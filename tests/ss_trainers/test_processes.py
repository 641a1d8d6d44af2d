"""Another process: what it is asked is done in order, and what happens to it is told."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from ss_trainers import processes
from ss_trainers.processes import WorkerError, WorkerProcess
from tests.ss_trainers.another_process import AnotherProcess


class Clerk:
    """Does one of several things."""

    def __init__(self, name):
        self._name = name

    def __call__(self, work, *arguments):
        return getattr(self, work)(*arguments)

    def greet(self, count=1):
        return f"{self._name} greets" * count

    def fail(self):
        raise ValueError("that can't be done")

    def unpicklable(self):
        return lambda: None

    def touch(self, path):
        Path(path).touch()

    def sleep(self):
        time.sleep(600)

    def hold_on(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def end(self):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def process():
    process = WorkerProcess(Clerk, ("Ann",), "have less")
    yield process
    process.stop()


def test_what_is_asked_is_answered_in_order_and_failures_are_told(process):
    for work in ("greet", "fail", "unpicklable", "greet"):
        process.ask(work)
    assert process.answer() == "Ann greets"
    with pytest.raises(WorkerError, match="that can't be done"):
        process.answer()
    with pytest.raises(WorkerError, match="pickle"):
        process.answer()
    assert process.answer() == "Ann greets"


def test_answers_that_nobody_has_fetched_yet_do_not_keep_it_from_the_next_work(process, tmp_path):
    process.ask("greet", 1_000_000)  # more than a pipe holds
    process.ask("touch", tmp_path / "done")
    deadline = time.monotonic() + 60
    while not (tmp_path / "done").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (tmp_path / "done").exists()
    assert len(process.answer()) == 10_000_000
    process.answer()


def test_a_process_that_hangs_or_is_lost_is_an_error_with_advice(process, monkeypatch):
    monkeypatch.setattr(processes, "_PATIENCE_SECONDS", 0.2)
    process.ask("sleep")
    with pytest.raises(WorkerError, match=r"has not answered for 0 s"):
        process.answer()
    monkeypatch.undo()
    other = WorkerProcess(Clerk, ("Bea",), "have less")
    other.ask("end")
    with pytest.raises(WorkerError, match=r"has ended with exit code -9; if the machine ran out of memory, have less"):
        other.answer()
    other.stop()


class Sum:
    def __init__(self, tensors):
        self._tensors = tensors

    def __call__(self):
        return sum(float(tensor) for tensor in self._tensors)


def test_a_model_of_many_tensors_can_be_shared():
    tensors = [torch.ones(1).share_memory_() for _ in range(300)]
    process = WorkerProcess(Sum, (tensors,), "have less")
    process.ask()
    tensors[0] += 1
    process.answer()
    process.ask()
    assert process.answer() == 301
    process.stop()


class Broken:
    def __init__(self):
        raise ValueError("there is no such shop")


def test_what_can_not_be_made_or_sent_is_told():
    process = WorkerProcess(Broken, (), "have less")
    process.ask("greet")
    with pytest.raises(WorkerError, match="there is no such shop"):
        process.answer()
    process.stop()
    with pytest.raises(WorkerError, match=r"can't be sent to it .* give the environment as an id"):
        WorkerProcess(Clerk, (lambda: None,), "have less")


def test_a_process_that_holds_the_signal_back_is_ended(monkeypatch):
    monkeypatch.setattr(processes, "_GOODBYE_SECONDS", 0.2)
    process = WorkerProcess(Clerk, ("Ann",), "have less")
    process.ask("hold_on")
    process.answer()
    process.stop()
    assert process._process.exitcode == -signal.SIGKILL


def begin_and_be_killed(told):
    processes._IMPORTED_ONCE = []  # a clerk needs no language model
    process = WorkerProcess(Clerk, ("Ann",), "")
    process.ask("greet")
    process.answer()
    process.ask("sleep")
    told.write_text(str(process._process.pid))
    os.kill(os.getpid(), signal.SIGKILL)


def test_it_ends_with_the_first_process_whatever_it_is_doing(tmp_path):
    code, errors = AnotherProcess(tmp_path / "errors", begin_and_be_killed, tmp_path / "worker").ended()
    assert code == -signal.SIGKILL, errors
    worker, deadline = int((tmp_path / "worker").read_text()), time.monotonic() + 60
    while _is_there(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_there(worker)


def _is_there(pid):
    try:
        # What has ended and is waited for by nobody is a zombie.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
