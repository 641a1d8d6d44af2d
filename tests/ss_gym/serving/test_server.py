"""How applications are run."""

import socket

from fastapi import FastAPI

from ss_gym.serving import server


def test_a_client_that_does_not_answer_pings_is_not_cut_off():
    # It would take longer than a test may: RemoteEnvironment reads pings only while it waits for an answer.
    config = server._config(FastAPI())
    assert config.ws_ping_timeout is None
    assert config.ws_ping_interval < 60  # after which the first proxies cut


def test_answers_do_not_wait_for_the_acknowledgement_of_their_headers():
    # asyncio sets TCP_NODELAY on connections whose socket names its protocol, which they have from the listening one.
    with server.bound_socket("127.0.0.1", 0) as own:
        own.listen()
        with socket.create_connection(own.getsockname()), own.accept()[0] as connection:
            assert connection.proto == socket.IPPROTO_TCP
