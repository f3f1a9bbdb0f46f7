"""A host that joins by a device grant (RFC 8628), with the client of oauthlib.

device_grant.py SERVER    each as a line of stdin:
  ask          asks; says what a person needs, and the fingerprint (protocol §2.1)
  look         looks once whether somebody has answered; says the word, or what was collected
  steal        looks with the key of another device
  use          shows the token by itself, and then a proof by the device's key
"""

import base64
import hashlib
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

# oauthlib wants TLS; the server of the test is on this machine.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from http_calls import OPENER, call, say
from oauthlib.oauth2 import DeviceClient, OAuth2Error

[server] = sys.argv[1:]
HOST = "build-7"


def b64url(value):
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def from_b64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def field_tuple(domain, *fields):
    head = bytes([len(domain)]) + domain.encode()
    return head + b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def thumbprint(jwk):
    return hashlib.sha256(json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode()).digest()


class Device:
    def __init__(self):
        self.key = Ed25519PrivateKey.generate()
        public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.jwk = {"crv": "Ed25519", "kty": "OKP", "x": b64url(public)}
        self.thumbprint = thumbprint(self.jwk)

    def sign(self, domain, *fields):
        return b64url(self.key.sign(field_tuple(domain, *fields)))

    def get(self, url):
        """A GET with a native proof (§3.1)."""
        parts = urlsplit(url)
        covered = {
            "@method": "GET",
            "@authority": parts.netloc,
            "@path": parts.path,
            "@query": "?" + parts.query,
        }
        names = " ".join(f'"{name}"' for name in covered)
        parameters = (
            f'({names});created={int(time.time())};nonce="{b64url(secrets.token_bytes(16))}"'
            f';keyid="{b64url(self.thumbprint)}";alg="ed25519";tag="procura-v1"'
        )
        lines = [f'"{name}": {value}' for name, value in covered.items()]
        base = "\n".join([*lines, f'"@signature-params": {parameters}'])
        signature = base64.b64encode(self.key.sign(base.encode())).decode()
        fields = {"Signature-Input": "sig=" + parameters, "Signature": f"sig=:{signature}:"}
        return call("GET", url, fields)


def post(url, form):
    """A form as OAuth has it; the answer's text, and whether nothing on the way keeps it."""
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    request = urllib.request.Request(url, form.encode(), fields, method="POST")
    try:
        answer = OPENER.open(request, timeout=20)
    except urllib.error.HTTPError as refusal:
        answer = refusal
    with answer:
        if answer.headers["Cache-Control"] != "no-store":
            raise ValueError(answer.headers["Cache-Control"])
        return answer.status, answer.read().decode()


def verified(token):
    """What the token says, if a key of the published set signed it (RFC 7515, RFC 7518)."""
    head, payload, signature = token.split(".")
    header = json.loads(from_b64url(head))
    if (header["alg"], header["typ"]) != ("ES256", "procura-daemon+jwt"):
        raise ValueError(header)
    _, found = call("GET", metadata["jwks_uri"], {})
    [jwk] = [key for key in found["keys"] if key["kid"] == header["kid"]]
    x, y = (int.from_bytes(from_b64url(jwk[part]), "big") for part in "xy")
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    raw = from_b64url(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(der, f"{head}.{payload}".encode(), ec.ECDSA(hashes.SHA256()))
    return json.loads(from_b64url(payload))


def ask():
    signature = device.sign(
        "procura.device-grant.ask.v1", server_id, device.thumbprint, HOST.encode()
    )
    uri = client.prepare_request_uri(
        metadata["device_authorization_endpoint"],
        device_jwk=json.dumps(device.jwk),
        device_host=HOST,
        device_signature=signature,
    )
    # RFC 8628 §3.1 has the parameters in the body, where oauthlib leaves it to its caller.
    status, text = post(metadata["device_authorization_endpoint"], urlsplit(uri).query)
    got = json.loads(text)
    letters = got["user_code"].replace("-", "").encode()
    digest = hashlib.sha256(
        field_tuple("procura.device-grant.fingerprint.v1", server_id, device.thumbprint, letters)
    ).digest()
    symbols = base64.b32encode(digest[:10]).decode()
    fingerprint = "-".join(symbols[place : place + 4] for place in range(0, 16, 4))
    say(
        step="ask",
        status=status,
        user_code=got["user_code"],
        complete=got["verification_uri_complete"],
        interval=got["interval"],
        expires_in=got["expires_in"],
        fingerprint=fingerprint,
    )
    return got["device_code"]


def look(step, by):
    digest = hashlib.sha256(device_code.encode()).digest()
    signature = by.sign(
        "procura.device-grant.collect.v1", server_id, digest, by.thumbprint
    )
    body = client.prepare_request_body(
        device_code, include_client_id=True, device_signature=signature
    )
    status, text = post(metadata["token_endpoint"], body)
    try:
        token = client.parse_request_body_response(text)
    except OAuth2Error as refusal:
        say(step=step, status=status, error=refusal.error)
        return None
    claims = verified(token["access_token"])
    say(
        step=step,
        status=status,
        token_type=token["token_type"],
        expires_in=token["expires_in"],
        agent=claims["agent"],
        is_mine=claims["cnf"]["jkt"] == b64url(by.thumbprint),
        name=token["name"],
        device=token["device"],
    )
    return token


_, metadata = call("GET", server + "/.well-known/oauth-authorization-server", {})
if metadata["issuer"] != server:
    raise ValueError(metadata)
if DeviceClient.grant_type not in metadata["grant_types_supported"]:
    raise ValueError(metadata)
server_id = thumbprint(metadata["procura_server_key"])
device, other = Device(), Device()
client = DeviceClient("procura-daemon")
device_code, collected = None, None
for line in map(str.strip, sys.stdin):
    if line == "ask":
        device_code = ask()
    elif line == "look":
        collected = look(line, device) or collected
    elif line == "steal":
        look(line, other)
    elif line == "use":
        url = server + "/v1/namespaces"
        alone, _ = call("GET", url, {"Authorization": "Bearer " + collected["access_token"]})
        proven, _ = device.get(url)
        say(step=line, alone=alone, proven=proven)
