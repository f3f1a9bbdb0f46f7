"""An agent that has values by a project token (protocol §4), one line of stdin at a time.

project_token.py CODE SERVER    joins as an agent; then, each as a line of stdin:
  ask NAMES            asks for these names by a run
  issue KIND NAMES     issues a token; it is called KIND from then on
  values KIND          shows the token
  stolen KIND          shows it with the proof of another key
  verify               verifies the signed token by the key set, as others would
  rotate KIND          exchanges it; the one from before is called `old`
  keep FILE            writes the device's key, as OpenSSH has it
"""

import base64
import hashlib
import json
import os
import secrets
import sys
import time
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from http_calls import call, say

code, server = sys.argv[1:]
PROJECT = server + "/v1/namespaces/shop/projects/orders"
TOKENS = server + "/v1/namespaces/shop/tokens"


def b64url(value):
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def from_b64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def field_tuple(domain, *fields):
    head = bytes([len(domain)]) + domain.encode()
    return head + b"".join(len(field).to_bytes(4, "big") + field for field in fields)


class Device:
    def __init__(self):
        self.key = Ed25519PrivateKey.generate()
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.jwk = {"crv": "Ed25519", "kty": "OKP", "x": b64url(public)}
        members = json.dumps(self.jwk, separators=(",", ":")).encode()
        self.thumbprint = hashlib.sha256(members).digest()

    def post(self, url, request, token=None):
        """A POST with a native proof, which covers the token where one is shown (§3.1)."""
        body = json.dumps(request).encode()
        parts = urlsplit(url)
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
        fields = {"Content-Digest": digest}
        covered = {
            "@method": "POST",
            "@authority": parts.netloc,
            "@path": parts.path,
            "@query": "?" + parts.query,
            "content-digest": digest,
            "content-type": "application/json",
        }
        if token is not None:
            fields["Authorization"] = covered["authorization"] = "Bearer " + token
        names = " ".join(f'"{name}"' for name in covered)
        parameters = (
            f'({names});created={int(time.time())};nonce="{b64url(secrets.token_bytes(16))}"'
            f';keyid="{b64url(self.thumbprint)}";alg="ed25519";tag="procura-v1"'
        )
        lines = [f'"{name}": {value}' for name, value in covered.items()]
        base = "\n".join([*lines, f'"@signature-params": {parameters}'])
        signature = base64.b64encode(self.key.sign(base.encode())).decode()
        fields["Signature-Input"] = "sig=" + parameters
        fields["Signature"] = f"sig=:{signature}:"
        return call("POST", url, fields, body)


def join(device):
    raw = from_b64url(code.removeprefix("pcj1_"))
    secret, server_id, actor = raw[1:17], raw[17:49], raw[65:97]
    digest = hashlib.sha256(secret).digest()
    message = field_tuple("procura.join.v1", server_id, digest, actor, device.thumbprint)
    request = {
        "code_sha256": b64url(digest),
        "actor_id": b64url(actor),
        "device_key": device.jwk,
        "signature": b64url(device.key.sign(message)),
    }
    return call("POST", server + "/v1/join", {}, json.dumps(request).encode())[0]


def verified(token):
    """What the token says, if a key of the published set signed it (RFC 7515, RFC 7518)."""
    head, payload, signature = token.split(".")
    header = json.loads(from_b64url(head))
    if (header["alg"], header["typ"]) != ("ES256", "procura-project+jwt"):
        raise ValueError(header)
    _, found = call("GET", server + "/.well-known/jwks.json", {}, None)
    [jwk] = [key for key in found["keys"] if key["kid"] == header["kid"]]
    x, y = (int.from_bytes(from_b64url(jwk[part]), "big") for part in "xy")
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    raw = from_b64url(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(der, f"{head}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
    try:
        key.verify(der, f"{head}.{payload}x".encode(), ec.ECDSA(hashes.SHA256()))
        raise ValueError("anything verifies")
    except InvalidSignature:
        return json.loads(from_b64url(payload))


def shown(step, answer):
    status, body = answer
    values = {
        name: base64.urlsafe_b64decode(value["value_b64"] + "==").decode()
        for name, value in body.get("values", {}).items()
    }
    say(step=step, status=status, reason=body.get("reason"), values=values)


device, other = Device(), Device()
say(step="joined", status=join(device))
tokens = {}
for line in map(str.strip, sys.stdin):
    word, *rest = line.split()
    if word == "ask":
        request = {"names": rest, "delivery": "env"}
        say(step=line, status=device.post(PROJECT + "/runs", request)[0])
    elif word == "issue":
        kind, *names = rest
        status, body = device.post(PROJECT + "/tokens", {"kind": kind, "names": names})
        tokens[kind] = body
        say(step=line, status=status, id=body.get("id"))
    elif word == "rotate":
        before = tokens[rest[0]]
        status, body = device.post(f"{TOKENS}/{before['id']}/rotate", {})
        tokens["old"], tokens[rest[0]] = before, body
        say(step=line, status=status, id=body.get("id"))
    elif word == "keep":
        kept = device.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        file = os.open(rest[0], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(file, kept)
        os.close(file)
        say(step=line)
    elif word == "verify":
        claims = verified(tokens["signed"]["token"])
        mine = claims["cnf"]["jkt"] == b64url(device.thumbprint)
        say(
            step=line,
            aud=claims["aud"],
            scope=claims["scope"],
            project=claims["project"],
            namespace=claims["namespace"],
            is_mine=mine,
            id=claims["jti"],
        )
    else:
        by = other if word == "stolen" else device
        shown(line, by.post(PROJECT + "/values", {}, tokens[rest[0]]["token"]))
