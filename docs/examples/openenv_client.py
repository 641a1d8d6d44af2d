"""Customers on an OpenEnv server, and a client that talks to them.

pip install openenv
python docs/examples/openenv_client.py
"""

from __future__ import annotations

from ss_gym.interop.openenv import OpenEnvClient, SaidAction, create_server
from ss_gym.serving.server import served


def main() -> None:
    """Two turns with the customer of a seed."""
    app = create_server("StateSet/Refund-v0", prompt="compact")  # elsewhere: uvicorn.run(app)
    with served(app) as address, OpenEnvClient(base_url=address).sync() as client:
        seen = client.reset(seed=7).observation
        print("customer:", seen.text)
        for said in ("Hello! What is your order number?", "And your e-mail address and postal code, please?"):
            result = client.step(SaidAction(text=said))
            print("   agent:", said)
            print("customer:", result.observation.text)
        print("so far it is", "over" if result.done else "going on", "and worth", result.reward)


if __name__ == "__main__":
    main()
