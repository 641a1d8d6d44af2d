"""How applications are run."""

from fastapi import FastAPI

from ss_gym.serving import server


def test_a_client_that_does_not_answer_pings_is_not_cut_off():
    # It would take longer than a test may: RemoteEnvironment reads pings only while it waits for an answer.
    config = server._config(FastAPI())
    assert config.ws_ping_timeout is None
    assert config.ws_ping_interval < 60  # after which the first proxies cut
