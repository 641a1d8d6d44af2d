"""A model behind an OpenAI-compatible address that says what the reference agent said in episodes that are known."""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.interop.episodes import Episode


@contextmanager
def served(episodes: Iterable[Episode]) -> Iterator[tuple[str, list[list[dict[str, Any]]]]]:
    """The address, and the conversations that were asked about, as they came."""
    known = {(episode.prompt, episode.opening): episode.actions for episode in episodes}
    asked: list[list[dict[str, Any]]] = []

    class Model(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            messages = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
            asked.append(messages)
            actions = known[messages[0]["content"], messages[1]["content"]]
            said = actions[sum(message["role"] == "assistant" for message in messages)]
            reply = json.dumps(
                {
                    "id": f"reply-{len(asked)}",
                    "object": "chat.completion",
                    "created": 0,
                    "model": "scripted",
                    "choices": [
                        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
                    ],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
                }
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
