"""Takes webhooks and looks at each twice: with http-message-signatures, an implementation
of RFC 9421 that is not ours, and with the code of the guide.

Words: the folder of that library's packages, the guide, and the namespace whose messages
it takes. A line on stdin is the JWK Set.
For each message it prints what both say, and what they say when it is changed."""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, sys.argv[1])

import base64  # noqa: E402
from datetime import timedelta  # noqa: E402

import http_message_signatures as hms  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: E402
    Ed25519PublicKey,
)

COVERED = ("@method", "@target-uri", "content-type", "content-digest", "idempotency-key")


class Message:
    def __init__(self, method, url, headers):
        self.method, self.url, self.headers = method, url, headers


class Keys(hms.HTTPSignatureKeyResolver):
    def __init__(self, jwks):
        self.keys = {
            key["kid"]: Ed25519PublicKey.from_public_bytes(
                base64.urlsafe_b64decode(key["x"] + "=")
            )
            for key in jwks["keys"]
        }

    def resolve_public_key(self, key_id):
        return self.keys[key_id]


def guide(path):
    """The code of the guide, each time anew: it remembers what it has seen."""
    with open(path, encoding="utf-8") as file:
        code = re.search(r"```python\n(.*?)```", file.read(), re.S)[1]
    names = {}
    exec(compile(code, path, "exec"), names)  # noqa: S102
    return names["verify"]


def library(jwks, namespace, url, headers, body):
    verifier = hms.HTTPMessageVerifier(
        signature_algorithm=hms.algorithms.ED25519, key_resolver=Keys(jwks)
    )
    try:
        found = verifier.verify(
            Message("POST", url, headers),
            max_age=timedelta(minutes=5),
            expect_tag=f"procura-webhook;ns={namespace}",
            require_components=COVERED,
            body=body,
        )
        return len(found) == 1
    except Exception as error:  # What it raises depends on what is wrong.
        return type(error).__name__


def looked_at(jwks, url, headers, body):
    ours, here = guide(sys.argv[2]), sys.argv[3]
    signature = headers["signature"]
    forged = signature[:12] + ("A" if signature[12] != "A" else "B") + signature[13:]
    other = {"keys": [dict(jwks["keys"][0], x=base64.urlsafe_b64encode(bytes(32)).decode()[:43])]}
    changes = {
        "body": (jwks, here, url, headers, body + b" "),
        "url": (jwks, here, url + "x", headers, body),
        "id": (jwks, here, url, {**headers, "idempotency-key": '"x"'}, body),
        "signature": (jwks, here, url, {**headers, "signature": forged}, body),
        # A receiver of another namespace, and one that is told that it is for that.
        "elsewhere": (jwks, "other", url, headers, body),
        "namespace": (
            jwks,
            "other",
            url,
            {
                **headers,
                "signature-input": headers["signature-input"].replace(
                    f"ns={here}", "ns=other"
                ),
            },
            body,
        ),
        "tag": (
            jwks,
            here,
            url,
            {
                **headers,
                "signature-input": headers["signature-input"].replace("webhook", "other"),
            },
            body,
        ),
        "key": (other, here, url, headers, body),
    }
    return {
        "library": library(jwks, here, url, headers, body),
        "guide": ours(jwks, here, url, headers, body),
        "again": ours(jwks, here, url, headers, body),
        "late": guide(sys.argv[2])(jwks, here, url, headers, body, now=4e9),
        "changed": {
            name: [library(*change), guide(sys.argv[2])(*change)]
            for name, change in changes.items()
        },
        "body": json.loads(body),
    }


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        url = f"http://{headers['host']}{self.path}"
        print(json.dumps(looked_at(self.server.jwks, url, headers, body)), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
    server.jwks = json.loads(sys.stdin.readline())
    server.serve_forever()


main()
