"""A stand-in for the llama-server binary: answers /health and chat completions at once, one word a token.

The file name of the model it is given says how it behaves: `dies.gguf`, `illegal.gguf`,
`never-ready.gguf`, `refuses.gguf` (answers no request), else well.
"""

import json
import os
import signal
import sys
import time
from argparse import ArgumentParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Server(ThreadingHTTPServer):
    refusing = False


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        if self.server.refusing:
            self.send_error(500)
            return
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if body["stream"]:
            self._stream(body["max_tokens"])
        else:
            self.wfile.write(json.dumps({"choices": [], "usage": usage(body["max_tokens"])}).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Says nothing: a log line could hold a prompt."""

    def _stream(self, tokens: int) -> None:
        for _ in range(tokens):
            self._event({"choices": [{"delta": {"content": "word "}}]})
            time.sleep(0.001)
        self._event({"choices": [], "usage": usage(tokens)})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()


def usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 7, "completion_tokens": tokens}


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--port", type=int)
    options, _ = parser.parse_known_args()
    sys.stderr.write(f"loading model {options.model.name}\n")
    match options.model.stem:
        case "dies":
            sys.exit(3)
        case "illegal":
            os.kill(os.getpid(), signal.SIGILL)
        case "never-ready":
            time.sleep(600)
    server = Server(("127.0.0.1", options.port), Handler)
    server.refusing = options.model.stem == "refuses"
    server.serve_forever()


if __name__ == "__main__":
    main()
