"""Sessions without a network: how they end."""

import asyncio
import weakref

import pytest

from ss_gym.serving.environment_api import SessionLimits
from ss_gym.serving.errors import ServiceError
from ss_gym.serving.served_environment import ServedEnvironment
from ss_gym.serving.sessions import Sessions


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(clock):
    limits = SessionLimits(idle_seconds=10.0)
    return Sessions(ServedEnvironment("StateSet/Refund-v0", {}, limits), limits, clock)


def test_a_client_that_has_gone_does_not_keep_the_sessions_of_others_open(sessions, clock):
    async def gone(reason):
        raise BrokenPipeError

    async def scenario():
        leases = [await sessions.open("anyone", "websocket", gone), await sessions.open("anyone", "http")]
        clock.now = 11.0
        await sessions.sweep()
        assert [lease.ended for lease in leases] == ["idle", "idle"]

    asyncio.run(scenario())


def test_of_a_session_that_has_ended_only_its_name_is_kept(sessions):
    async def scenario():
        lease = await sessions.open("key-1", "http")
        session_id, session = lease.session.id, weakref.ref(lease.session)
        sessions.end(lease, "closed")
        del lease
        assert session() is None
        for holder, status in (("key-1", 410), ("key-2", 404)):
            with pytest.raises(ServiceError) as refused:
                sessions.find(session_id, holder)
            assert refused.value.status == status

    asyncio.run(scenario())
