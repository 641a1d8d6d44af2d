"""A stand-in for a server with an OpenAI-compatible API: it says what a test wants, errors and delays included."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answered(content="Hello!", tool_calls=None, finish_reason="stop", usage=(11, 3)):
    message = {"role": "assistant", "content": content, **({"tool_calls": tool_calls} if tool_calls else {})}
    return 200, {
        "id": "c", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)},
    }  # fmt: skip


def failed(status, message="no", **headers):
    return status, {"error": {"message": message, "type": "x", "code": "x", "param": None}}, headers


class Told:
    """What the server was asked, and how many requests it had at once."""

    def __init__(self):
        self.requests, self.keys, self.most, self._now, self._lock = [], [], 0, 0, threading.Lock()

    @contextmanager
    def counted(self, request, key):
        with self._lock:
            self.requests.append(request)
            self.keys.append(key)
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1


@contextmanager
def serving(answer, delay=0.0):
    """A server whose answer to the n-th request is ``answer(request, n)``: its port, and what it was told."""
    told = Told()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with told.counted({**request, "path": self.path}, self.headers.get("Authorization")):
                status, body, *headers = answer(request, len(told.requests) - 1)
                time.sleep(delay)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers[0] if headers else {})}.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server.server_address[1], told
    finally:
        server.shutdown()
        server.server_close()
