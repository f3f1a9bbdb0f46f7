"""Proofs of `key-server-v1` and `guide-v1`, as the guides of those protocols show them."""

import base64
import hashlib
import secrets
import time
from datetime import datetime, timezone

from cryptography.hazmat.primitives.serialization import load_der_private_key


def read_key(file):
    with open(file, "rb") as der:
        return load_der_private_key(der.read(), password=None)


def key_server_v1(key, agent, method, path, body=b""):
    timestamp = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    nonce = secrets.token_hex(16)
    digest = hashlib.sha256(body).hexdigest()
    signed = "\n".join([method.upper(), path, timestamp, nonce, digest])
    signature = base64.b64encode(key.sign(signed.encode()))
    return {
        "X-Agent-Id": agent,
        "X-Timestamp": timestamp,
        "X-Nonce": nonce,
        "X-Signature": signature.decode(),
    }


def guide_v1(key, agent, method, path, body=b""):
    timestamp = str(int(time.time()))
    nonce = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode()
    signed = "\n".join([method, path, timestamp, nonce, ""]).encode() + body
    signature = base64.urlsafe_b64encode(key.sign(signed))
    return {
        "X-Agent": agent,
        "X-Timestamp": timestamp,
        "X-Nonce": nonce,
        "X-Signature": signature.decode(),
    }


PROFILES = {"key-server-v1": key_server_v1, "guide-v1": guide_v1}
