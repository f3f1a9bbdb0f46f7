"""A service whose middleware asks a key server about each request, as `key-server-v1` says.

middleware.py KEY-SERVER
"""

import hashlib
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from http_calls import call, say

key_server = sys.argv[1]
NEEDED = {
    "agent_id": "X-Agent-Id",
    "timestamp": "X-Timestamp",
    "nonce": "X-Nonce",
    "signature": "X-Signature",
}


def authenticated(handle):
    """Hands a request to the service once the key server has said whose it is."""

    def middleware(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        question = {name: self.headers.get(field) for name, field in NEEDED.items()}
        if None in question.values():
            return self.answer(401, {"error": "unauthorized", "reason": "missing_headers"})
        question["method"] = self.command
        question["path"] = self.path.split("?")[0]
        question["body_sha256"] = hashlib.sha256(body).hexdigest()
        asked = json.dumps(question).encode()
        status, verdict = call("POST", key_server + "/api/verify", {}, asked)
        if status != 200:
            return self.answer(status, {"error": "unauthorized", "reason": verdict["reason"]})
        return handle(self, verdict["agent_id"], body)

    return middleware


class Notes(BaseHTTPRequestHandler):
    @authenticated
    def do_POST(self, agent, body):
        say(served=self.path, agent=agent, body=body.decode())
        self.answer(200, {"ok": True})

    def answer(self, status, said):
        said = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Notes)
say(url=f"http://127.0.0.1:{server.server_port}")
server.serve_forever()
