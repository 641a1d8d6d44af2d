"""One engine for most tests, since to start one takes seconds."""

import pytest


@pytest.fixture(scope="module")
def shared():
    from tests.vllm.engines import vllm_of

    backend = vllm_of(max_new_tokens=24)
    yield backend
    backend.shutdown()


@pytest.fixture
def backend(shared):
    """One engine for most tests, since to start one takes seconds."""
    shared.seed(0)
    return shared


@pytest.fixture
def alone(shared):
    """For tests that start an engine of their own: there is one in a process."""
    shared.shutdown()


@pytest.fixture(scope="module")
def peer():
    from tests.vllm.engines import hugging_face

    return hugging_face(max_new_tokens=24)
