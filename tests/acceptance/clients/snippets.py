"""An agent of another system: calls a server and a service behind a gate.

snippets.py SERVER GATE KEY AGENT
"""

import hashlib
import json
import sys

import proofs
from http_calls import tell

server, gate, key_file, agent = sys.argv[1:]
key = proofs.read_key(key_file)
BODY, OTHER = b'{"title":"x"}', b'{"title":"y"}'


def posts(step, prove, base, path):
    fields = prove(key, agent, "POST", path, BODY)
    tell(step, "POST", base + path, fields, BODY)
    tell(step + " again", "POST", base + path, fields, BODY)
    fields = prove(key, agent, "POST", path, BODY)
    tell(step + " altered", "POST", base + path, fields, OTHER)


def reads(step, prove, base, path, other):
    fields = prove(key, agent, "GET", path)
    tell(step, "GET", base + path, fields)
    tell(step + " again", "GET", base + path, fields)
    fields = prove(key, agent, "GET", path)
    tell(step + " altered", "GET", base + other, fields)


def question(fields, body):
    return json.dumps({
        "agent_id": fields["X-Agent-Id"],
        "timestamp": fields["X-Timestamp"],
        "nonce": fields["X-Nonce"],
        "method": "POST",
        "path": "/api/notes",
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "signature": fields["X-Signature"],
    }).encode()


def asks(step, body, fields):
    tell(step, "POST", server + "/api/verify", {}, question(fields, body))


for profile, prove in proofs.PROFILES.items():
    posts(profile + " echo", prove, server, "/agent/protected/echo")
    reads(profile + " keys", prove, server, "/keys/list", "/keys/ssh/deploy")
    posts(profile + " gate", prove, gate, "/orders")

proof = proofs.key_server_v1(key, agent, "POST", "/api/notes", BODY)
asks("verify", BODY, proof)
asks("verify again", BODY, proof)
proof = proofs.key_server_v1(key, agent, "POST", "/api/notes", BODY)
asks("verify altered", OTHER, proof)
