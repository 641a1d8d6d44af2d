"""Engines with backends that do what each test wants of them; those of real models are in tests/ss_trainers."""

import asyncio
import threading
import time
from collections import Counter

import pytest

from ss_gym.agents import AgentConfig, Conversation, Sampling, load_backend
from ss_gym.agents.backends import BackendError, Progress
from ss_gym.serving.engines import NoRoomError, PoolEngine, SteppingEngine, engine_of
from ss_gym.serving.inbox import ClosedEngineError, Reply
from ss_gym.types import Completion

SAMPLING = Sampling(8)


class Letters:
    """Goes on by a letter of what the user said; keeps a record of who was under way together."""

    max_context = 100

    def __init__(self):
        self.under_way = {}
        self.closed = []
        self.batches = []
        self.begun = []
        self.go = threading.Event()
        self.go.set()
        self.read = threading.Event()
        self.read.set()
        self.broken = False

    def room(self, conversation):
        if conversation[-1]["content"].startswith("long"):
            assert self.read.wait(10)
        return self.max_context - len(conversation[-1]["content"])

    def submit(self, conversation, sampling=None, place=0, *, listening=False):
        if conversation[-1]["content"] == "bad":
            raise ValueError("it can't be read")
        self.begun.append(conversation[-1]["content"])
        self.under_way[id(conversation)] = [conversation, "", listening, sampling, place]

    def step(self):
        self.go.wait(10)
        if self.broken:
            raise RuntimeError("out of memory")
        self.batches.append(len(self.under_way))
        told = []
        for key, (conversation, text, listening, *_) in list(self.under_way.items()):
            letter = conversation[-1]["content"][len(text) :][:1]
            self.under_way[key][1] = text + letter
            over = len(text) + 1 >= len(conversation[-1]["content"])
            if over:
                del self.under_way[key]
            completion = Completion(text + letter, (1,) * len(text + letter)) if over else None
            if over or listening:
                told.append(Progress(conversation, letter if listening else "", completion))
        return told

    def close(self, conversation):
        self.closed.append(conversation)
        self.under_way.pop(id(conversation), None)

    def generate(self, conversations, sampling):
        raise AssertionError("a backend that steps is not asked like this")


class Simple:
    """Has nothing but ``generate``; one call at a time."""

    def __init__(self, delay=0.0):
        self.calls, self.delay, self.inside = [], delay, 0

    def generate(self, conversations, sampling):
        self.inside += 1
        assert self.inside == 1
        texts = [conversation[-1]["content"] for conversation in conversations]
        self.calls.append(texts)
        time.sleep(self.delay)
        self.inside -= 1
        if "bad" in texts:
            raise ValueError("it can't be read")
        if "broken" in texts:
            raise BackendError("the model is gone")
        return [Completion(text.upper()) for text in texts]


class Request:
    """A request and what is told of it."""

    def __init__(self, engine, text, sampling=SAMPLING, **settings):
        self.told = asyncio.Queue()
        self.reply = Reply(Conversation([{"role": "user", "content": text}]), sampling, self.told, **settings)
        engine.ask(self.reply)

    async def end(self):
        """The pieces, and then the completion."""
        pieces = []
        while True:
            reply, each = await asyncio.wait_for(self.told.get(), 10)
            assert reply is self.reply
            if isinstance(each, Exception):
                raise each
            if isinstance(each, Completion):
                return pieces, each
            pieces.append(each)


async def until(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not come to that")


def test_each_kind_of_backend_has_its_engine():
    assert isinstance(engine_of(Letters(), 4), SteppingEngine)
    assert isinstance(engine_of(Simple(), 4), PoolEngine)
    assert isinstance(engine_of(load_backend(AgentConfig("stub://a")), 4), PoolEngine)


def test_requests_join_the_batch_while_others_are_under_way():
    async def scenario():
        backend = Letters()
        backend.go.clear()
        engine = SteppingEngine(backend, 8)
        first = Request(engine, "abcdef")
        await until(lambda: engine.running == 1)
        others = [Request(engine, "xyz"), Request(engine, "uv", listening=True)]
        await until(lambda: len(engine._ready) == 2)  # both are measured
        backend.go.set()
        _, completion = await first.end()
        assert completion.text == "abcdef"
        assert (await others[0].end())[0] == []
        assert await others[1].end() == (["u", "v"], Completion("uv", (1, 1)))
        assert max(backend.batches) == 3
        assert first.reply.prompt_tokens == 6
        assert first.reply.waited is not None
        await engine.close(5)

    asyncio.run(scenario())


def test_no_more_than_a_batch_is_under_way_and_the_first_come_first():
    async def scenario():
        backend = Letters()
        engine = SteppingEngine(backend, 2)
        backend.go.clear()
        texts = ["aa", "bb", "cc", "dd", "ee"]
        requests = [Request(engine, text) for text in texts]
        await until(lambda: engine.running + len(engine._ready) == len(texts))  # all are measured
        backend.go.set()
        for request in requests:
            await request.end()
        assert max(backend.batches) == 2
        assert backend.begun == texts
        await engine.close(5)

    asyncio.run(scenario())


def test_a_request_that_nobody_wants_any_more_leaves_the_batch():
    async def scenario():
        backend = Letters()
        backend.go.clear()
        engine = SteppingEngine(backend, 2)
        running = Request(engine, "a" * 50)
        await until(lambda: engine.running == 1)
        waiting, third = Request(engine, "b" * 50), Request(engine, "ccc")
        running.reply.cancelled = True
        fourth = Request(engine, "ddd")
        fourth.reply.cancelled = True
        backend.go.set()
        assert (await third.end())[1].text == "ccc"
        assert (await waiting.end())[1].text == "b" * 50
        assert backend.closed == [running.reply.conversation]
        assert running.told.empty()
        assert fourth.told.empty()
        await engine.close(5)

    asyncio.run(scenario())


def test_what_is_wrong_with_one_request_is_told_to_it_alone():
    async def scenario():
        engine = SteppingEngine(Letters(), 4)
        good, bad, long = Request(engine, "abc"), Request(engine, "bad"), Request(engine, "x" * 100)
        with pytest.raises(ValueError, match="can't be read"):
            await bad.end()
        with pytest.raises(NoRoomError, match="has at least 100 tokens, and the model's context 100"):
            await long.end()
        assert (await good.end())[1].text == "abc"
        await engine.close(5)

    asyncio.run(scenario())


def test_while_a_long_request_is_read_the_others_go_on():
    async def scenario():
        backend = Letters()
        backend.go.clear()
        backend.read.clear()
        engine = SteppingEngine(backend, 8)
        first = Request(engine, "abcdef", listening=True)
        await until(lambda: engine.running == 1)
        long = Request(engine, "long")
        await until(lambda: engine.waiting == 1)
        backend.go.set()
        assert (await first.end())[1].text == "abcdef"
        assert (engine.waiting, engine.running, long.reply.waited) == (1, 0, None)
        backend.read.set()
        assert (await long.end())[1].text == "long"
        assert engine.waiting == 0
        await engine.close(5)

    asyncio.run(scenario())


def test_what_is_still_read_when_patience_is_over_is_told_the_end(caplog):
    async def scenario():
        backend = Letters()
        backend.read.clear()
        engine = SteppingEngine(backend, 8)
        requests = [Request(engine, "long"), Request(engine, "abc")]
        await until(lambda: engine.waiting == 2 and len(engine._unread) == 1)
        threading.Timer(0.1, backend.read.set).start()
        await engine.close(0)
        for request in requests:
            with pytest.raises(ClosedEngineError, match="shutting down"):
                await request.end()
        assert backend.begun == []

    asyncio.run(scenario())
    assert "failed" not in caplog.text


def test_a_model_that_fails_fails_what_is_under_way_and_is_asked_again(caplog):
    async def scenario():
        backend = Letters()
        backend.broken = True
        engine = SteppingEngine(backend, 4)
        requests = [Request(engine, "abc"), Request(engine, "def")]
        for request in requests:
            with pytest.raises(RuntimeError, match="out of memory"):
                await request.end()
        backend.broken = False
        assert backend.under_way == {}
        assert (await Request(engine, "ghi").end())[1].text == "ghi"
        await engine.close(5)

    asyncio.run(scenario())
    assert "the model failed" in caplog.text


def test_closing_finishes_what_is_there_and_takes_no_more():
    async def scenario():
        backend = Letters()
        backend.go.clear()
        engine = SteppingEngine(backend, 1)
        requests = [Request(engine, "abc"), Request(engine, "def")]
        closing = asyncio.ensure_future(engine.close(10))
        await asyncio.sleep(0.01)
        with pytest.raises(ClosedEngineError, match="shutting down"):
            Request(engine, "late")
        backend.go.set()
        assert [(await request.end())[1].text for request in requests] == ["abc", "def"]
        await closing
        await engine.close(1)  # once more does nothing

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", [SteppingEngine, PoolEngine])
def test_closing_without_patience_tells_those_that_are_left(kind):
    async def scenario():
        backend = Letters() if kind is SteppingEngine else Simple(delay=0.3)
        if kind is SteppingEngine:
            backend.go.clear()
            threading.Timer(0.1, backend.go.set).start()
        engine = kind(backend, 1)
        requests = [Request(engine, "a" * 60), Request(engine, "def")]
        await until(lambda: engine.running == 1)
        await engine.close(0)
        for request in requests:
            with pytest.raises(ClosedEngineError):
                await request.end()

    asyncio.run(scenario())


def test_an_engine_that_was_never_asked_closes_at_once_and_takes_no_more():
    async def scenario():
        for engine in (SteppingEngine(Letters(), 1), PoolEngine(Simple(), 1)):
            async with asyncio.timeout(1):  # it may take five seconds where something runs
                await engine.close(5)
            with pytest.raises(ClosedEngineError):
                Request(engine, "abc")

    asyncio.run(scenario())


def test_those_that_are_sampled_alike_are_answered_together():
    async def scenario():
        backend = Simple(delay=0.05)
        engine = PoolEngine(backend, 3)
        first = Request(engine, "a")
        await until(lambda: engine.running == 1)
        texts = ["b", "c", "d", "e"]
        others = [Request(engine, text) for text in texts]
        hot, seeded = Request(engine, "f", Sampling(8, 2.0)), Request(engine, "g", Sampling(8, seed=1))
        listening = Request(engine, "h", listening=True)
        assert (await first.end())[1].text == "A"
        assert [(await request.end())[1].text for request in (*others, hot, seeded)] == list("BCDEFG")
        assert await listening.end() == (["H"], Completion("H"))
        assert backend.calls == [["a"], ["b", "c", "d"], ["e"], ["f"], ["g"], ["h"]]
        await engine.close(5)

    asyncio.run(scenario())


def test_one_that_can_not_be_answered_does_not_spoil_those_that_came_with_it():
    async def scenario():
        engine = PoolEngine(Simple(delay=0.02), 8)
        Request(engine, "a")
        requests = {text: Request(engine, text) for text in ("b", "bad", "c", "broken")}
        assert (await requests["b"].end())[1].text == "B"
        with pytest.raises(ValueError, match="can't be read"):
            await requests["bad"].end()
        assert (await requests["c"].end())[1].text == "C"
        with pytest.raises(BackendError, match="gone"):
            await requests["broken"].end()
        await engine.close(5)

    asyncio.run(scenario())


class Concurrent(Simple):
    """May be called from three threads, and streams."""

    concurrency = 3

    def __init__(self):
        super().__init__()
        self.seeds = Counter()
        self.most = 0
        self.ended = threading.Event()

    def generate(self, conversations, sampling):
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.03)
        self.inside -= 1
        self.seeds[sampling.seed] += 1
        return [Completion(conversation[-1]["content"]) for conversation in conversations]

    def stream(self, conversation, sampling):
        try:
            for letter in conversation[-1]["content"]:
                time.sleep(0.002)
                yield letter
        finally:
            self.ended.set()
        return Completion(conversation[-1]["content"])


def test_a_backend_that_allows_it_is_called_from_several_threads():
    async def scenario():
        backend = Concurrent()
        engine = PoolEngine(backend, 8)
        requests = [Request(engine, text, Sampling(8, seed=5), place=place) for place, text in enumerate("abcdef")]
        assert [(await request.end())[1].text for request in requests] == list("abcdef")
        assert backend.most == 3
        assert backend.seeds == Counter(range(5, 11))
        await engine.close(5)

    asyncio.run(scenario())


def test_pieces_come_while_they_are_made_and_end_when_nobody_listens():
    async def scenario():
        backend = Concurrent()
        engine = PoolEngine(backend, 8)
        assert await Request(engine, "abc", listening=True).end() == (["a", "b", "c"], Completion("abc"))
        backend.ended.clear()
        request = Request(engine, "x" * 2000, listening=True)
        await request.told.get()
        request.reply.cancelled = True
        await asyncio.to_thread(backend.ended.wait, 3)
        assert backend.ended.is_set()
        assert request.told.qsize() < 1000
        await engine.close(5)

    asyncio.run(scenario())
