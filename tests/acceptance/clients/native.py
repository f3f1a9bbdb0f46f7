"""An agent whose device key only OpenSSL sees: joins, and signs requests by RFC 9421.

native.py CODE SERVER FOLDER     and the URL of a gate on stdin, once there is one
"""

import base64
import hashlib
import json
import secrets
import subprocess
import sys
import time
from urllib.parse import urlsplit

from http_calls import call, say, tell

code, server, folder = sys.argv[1:]
KEY = folder + "/device.pem"
BODY, OTHER = b'{"n":1}', b'{"n":2}'


def openssl(*words):
    return subprocess.run(["openssl", *words], check=True, stdout=subprocess.PIPE).stdout


def sign(message):
    with open(folder + "/message", "wb") as file:
        file.write(message)
    return openssl("pkeyutl", "-sign", "-rawin", "-inkey", KEY, "-in", file.name)


def b64url(value):
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def from_b64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def field_tuple(domain, *fields):
    """`u8 length ‖ domain`, and `u32be length ‖ bytes` of each field (§1)."""
    head = bytes([len(domain)]) + domain.encode()
    return head + b"".join(len(field).to_bytes(4, "big") + field for field in fields)


openssl("genpkey", "-algorithm", "ed25519", "-out", KEY)
public = openssl("pkey", "-in", KEY, "-pubout", "-outform", "DER")[-32:]
jwk = {"crv": "Ed25519", "kty": "OKP", "x": b64url(public)}
# RFC 7638: the members that are required, in their order, without white space.
thumbprint = hashlib.sha256(json.dumps(jwk, separators=(",", ":")).encode()).digest()


def join():
    """By a link code (§2): kind, code, server, installation, actor, URL."""
    raw = from_b64url(code.removeprefix("pcj1_"))
    secret, server_id, actor = raw[1:17], raw[17:49], raw[65:97]
    digest = hashlib.sha256(secret).digest()
    message = field_tuple("procura.join.v1", server_id, digest, actor, thumbprint)
    request = {
        "code_sha256": b64url(digest),
        "actor_id": b64url(actor),
        "device_key": jwk,
        "signature": b64url(sign(message)),
    }
    status, answer = call("POST", server + "/v1/join", {}, json.dumps(request).encode())
    say(step="joined", status=status, device=answer.get("device") == b64url(thumbprint))


def proof(method, url, body=b""):
    """The fields of a native proof (§3.1, RFC 9421 §2.5)."""
    parts = urlsplit(url)
    fields, covered = {}, {
        "@method": method,
        "@authority": parts.netloc,
        "@path": parts.path,
        "@query": "?" + parts.query,
    }
    if body:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        fields["Content-Digest"] = covered["content-digest"] = f"sha-256=:{digest}:"
        covered["content-type"] = "application/json"
    names = " ".join(f'"{name}"' for name in covered)
    created, nonce, keyid = int(time.time()), b64url(secrets.token_bytes(16)), b64url(thumbprint)
    parameters = (
        f'({names});created={created};nonce="{nonce}";keyid="{keyid}"'
        ';alg="ed25519";tag="procura-v1"'
    )
    lines = [f'"{name}": {value}' for name, value in covered.items()]
    base = "\n".join([*lines, f'"@signature-params": {parameters}'])
    fields["Signature-Input"] = "sig=" + parameters
    fields["Signature"] = f"sig=:{base64.b64encode(sign(base.encode())).decode()}:"
    return fields


def reads(step, url):
    fields = proof("GET", url)
    tell(step, "GET", url, fields)
    tell(step + " again", "GET", url, fields)
    tell(step + " with a query", "GET", url + "?limit=1", proof("GET", url))
    tell(step + " elsewhere", "GET", url, proof("GET", "http://elsewhere.example/v1/namespaces"))
    tell(step + " unproven", "GET", url, {})


def posts(step, url):
    fields = proof("POST", url, BODY)
    tell(step, "POST", url, fields, BODY)
    tell(step + " again", "POST", url, fields, BODY)
    tell(step + " with another body", "POST", url, proof("POST", url, BODY), OTHER)
    digest = proof("POST", url, OTHER)["Content-Digest"]
    fields = {**proof("POST", url, BODY), "Content-Digest": digest}
    tell(step + " with another digest", "POST", url, fields, OTHER)
    tell(step + " on another path", "POST", url + "/1", proof("POST", url, BODY), BODY)


join()
gate = sys.stdin.readline().strip()
reads("server", server + "/v1/namespaces")
posts("gate", gate + "/orders")
