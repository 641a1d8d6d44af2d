"""Customers on an OpenEnv server, and a client that talks to them.

pip install openenv
python docs/examples/openenv_client.py
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from ss_gym.interop.openenv import OpenEnvClient, SaidAction, create_server


@contextmanager
def served(env_id: str) -> Iterator[str]:
    """A server on a free port; elsewhere ``uvicorn`` runs what ``create_server`` gives."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(create_server(env_id, prompt="compact"), port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


def main() -> None:
    """Two turns with the customer of a seed."""
    with served("StateSet/Refund-v0") as address, OpenEnvClient(base_url=address).sync() as client:
        seen = client.reset(seed=7).observation
        print("customer:", seen.text)
        for said in ("Hello! What is your order number?", "And your e-mail address and postal code, please?"):
            result = client.step(SaidAction(text=said))
            print("   agent:", said)
            print("customer:", result.observation.text)
        print("so far it is", "over" if result.done else "going on", "and worth", result.reward)


if __name__ == "__main__":
    main()
