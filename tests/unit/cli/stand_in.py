"""A tiny service for the supervisor's tests: serves /readyz and notes its life in a journal.

Usage: python stand_in.py --port N --journal FILE --name NAME
       [--public-port N] [--crashes N] [--ignores-term] [--ready-after S]
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Probe(BaseHTTPRequestHandler):
    """Answers every GET by whether the process is ready, and refuses what is posted."""

    ready_at_s = 0.0

    def do_GET(self) -> None:
        self.send_response(200 if time.monotonic() >= self.ready_at_s else 503)
        self.end_headers()
        self.wfile.write(json.dumps({"instance": os.environ["PARLEY_INSTANCE"]}).encode())

    def do_POST(self) -> None:
        # Read to its end: a connection that closes over an unread body looks like nobody to the client.
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the log for what the test looks for."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--public-port", type=int)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--crashes", type=int, default=0)
    parser.add_argument("--ignores-term", action="store_true")
    parser.add_argument("--ready-after", type=float, default=0.0)
    options = parser.parse_args()

    def note(what: str) -> None:
        with options.journal.open("a") as journal:
            journal.write(f"{what} {options.name} {os.getpid()}\n")

    note("start")
    starts = options.journal.read_text().count(f"start {options.name} ")
    if starts <= options.crashes:
        sys.stderr.write("the reason stands in the log\n")
        sys.exit(7)
    Probe.ready_at_s = time.monotonic() + options.ready_after
    if options.public_port:
        public = HTTPServer(("127.0.0.1", options.public_port), Probe)
        threading.Thread(target=public.serve_forever, daemon=True).start()
    server = HTTPServer(("127.0.0.1", options.port), Probe)

    def on_term(number: int, frame: object) -> None:
        note("term")
        if not options.ignores_term:
            # shutdown() waits for the loop that this handler interrupts.
            threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, on_term)
    server.serve_forever(poll_interval=0.02)
    note("end")


if __name__ == "__main__":
    main()
