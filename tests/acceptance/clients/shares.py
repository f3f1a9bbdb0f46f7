"""Shares of an unseal source, combined from their description alone (spec/protocol.md §5)
until the root is open.

shares.py INSTALLATION NAME SHARES    INSTALLATION is installation.json, NAME an unseal
source in it, SHARES a file with one share a line. Prints one line of JSON: what every
choice of as many as are needed opens, or what is wrong. Of shares as text it says besides
whether one fewer gives the key too, and has others: the first made again from those behind
it, one of a number more than there are, and the second forged; each with the checksum that
it ought to have.
"""

import base64
import hashlib
import hmac
import itertools
import json
import sys
import uuid

import slip39
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from field import at, u32
from http_calls import say

PREFIX = "PROCURA-SHARE-1-"
INSTALLATION = b"\x03"
# Of more than these nobody tries every choice.
MOST_CHOICES = 20


class Wrong(Exception):
    pass


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def fields(domain, *parts):
    """A field tuple (§1)."""
    head = bytes([len(domain)]) + domain.encode()
    return head + b"".join(u32(len(part)) + part for part in parts)


def of_share(domain, share):
    numbers = bytes([share["threshold"]]), bytes([share["index"]])
    return hashlib.sha256(fields(domain, share["set"], *numbers, share["value"])).digest()


def read(text):
    """A share as text: 120 characters."""
    if not (text.startswith(PREFIX) and len(text) == 120):
        raise Wrong("not a share")
    symbols = text[len(PREFIX) :].replace("-", "")
    raw = base64.b32decode(symbols + "=" * (-len(symbols) % 8))
    share = {"set": raw[:16], "threshold": raw[16], "index": raw[17], "value": raw[18:50]}
    if of_share("procura.share.v1", share)[:4] != raw[50:]:
        raise Wrong("mistyped")
    return share


def write(share):
    numbers = bytes([share["threshold"], share["index"]])
    checksum = of_share("procura.share.v1", share)[:4]
    raw = share["set"] + numbers + share["value"] + checksum
    symbols = base64.b32encode(raw).decode().rstrip("=")
    return PREFIX + "-".join(symbols[at : at + 5] for at in range(0, len(symbols), 5))


def secret_of(shares):
    return at(0, [(share["index"], share["value"]) for share in shares])


def others(shares):
    """Shares that nobody handed out, with the checksum that they ought to have."""
    first, second, need = shares[0], shares[1], shares[0]["threshold"]
    points = [(share["index"], share["value"]) for share in shares[-need:]]
    again = {**first, "value": at(first["index"], points)}
    beyond = {**first, "index": len(shares) + 1, "value": at(len(shares) + 1, points)}
    forged = {**second, "value": bytes([second["value"][0] ^ 1]) + second["value"][1:]}
    return {"again": write(again), "beyond": write(beyond), "forged": write(forged)}


def public(secret):
    key = X25519PrivateKey.from_private_bytes(secret).public_key()
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def expand(key, info, size):
    """HKDF-Expand (RFC 5869 §2.3), of one block."""
    return hmac.digest(key, info + b"\x01", "sha256")[:size]


def opened(secret, info, envelope, associated):
    """What HPKE sealed to a key (RFC 9180 §5.1, base mode)."""
    kem, suite = b"KEM\x00\x20", b"HPKE\x00\x20\x00\x01\x00\x02"

    def extracted(suite, salt, label, value):
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + value, "sha256")

    def expanded(suite, key, label, info, size):
        return expand(key, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, size)

    enc, sealed = envelope[:32], envelope[32:]
    agreed = X25519PrivateKey.from_private_bytes(secret).exchange(
        X25519PublicKey.from_public_bytes(enc)
    )
    key = extracted(kem, b"", b"eae_prk", agreed)
    shared = expanded(kem, key, b"shared_secret", enc + public(secret), 32)
    context = b"\x00"
    context += extracted(suite, b"", b"psk_id_hash", b"")
    context += extracted(suite, b"", b"info_hash", info)
    key = extracted(suite, shared, b"secret", b"")
    nonce = expanded(suite, key, b"base_nonce", context, 12)
    key = expanded(suite, key, b"key", context, 32)
    return AESGCM(key).decrypt(nonce, sealed, associated)


def xaes_opened(key, envelope, associated):
    """XAES-256-GCM (C2SP)."""

    def block(value):
        return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(value)

    nonce, sealed = envelope[:24], envelope[24:]
    doubled = int.from_bytes(block(bytes(16)), "big") << 1
    if doubled >> 128:
        doubled ^= (1 << 128) | 0x87
    parts = (b"\x00" + bytes([number]) + b"X\x00" + nonce[:12] for number in (1, 2))
    mixed = (int.from_bytes(part, "big") ^ doubled for part in parts)
    derived = b"".join(block(part.to_bytes(16, "big")) for part in mixed)
    return AESGCM(derived).decrypt(nonce[12:], sealed, associated)


def place(file, header, path, purpose):
    """What an envelope of the installation's is bound to (spec/purposes.md)."""
    holder = INSTALLATION + uuid.UUID(file["id"]).bytes
    epoch = file["root_epoch"].to_bytes(8, "big")
    return fields("procura.env.v1", header, holder, b"credentials", path, epoch, purpose)


def root_of(file, source, secret):
    envelope = unb64(source["root"])
    header, epoch = envelope[:5], file["root_epoch"]
    if header != b"\x03" + u32(epoch):
        raise Wrong("the root is of another epoch")
    associated = place(file, header, source["name"].encode(), b"root-wrap")
    root = opened(secret, b"procura.hpke.v1", envelope[5:], associated)

    def derived(info):
        return expand(hmac.digest(b"procura.root.v1", root, "sha256"), info, 32)

    sentinel = unb64(file["sentinel"])
    associated = place(file, sentinel[:5], b"sentinel", b"sentinel")
    if xaes_opened(derived(b"sentinel"), sentinel[5:], associated) != b"procura sentinel v1":
        raise Wrong("the sentinel is another")
    listed = json.dumps(file["sources"], separators=(",", ":"), ensure_ascii=False).encode()
    bound = fields(
        "procura.unseal-sources.v1", uuid.UUID(file["id"]).bytes, u32(epoch), listed
    )
    if hmac.digest(derived(b"sources"), bound, "sha256") != unb64(file["sources_tag"]):
        raise Wrong("the list of sources is another")
    return root


def scheme(source, lines):
    """The shares, how many are needed, and what combines them."""
    keeper = source["keeper"]
    known = [unb64(digest) for digest in keeper["shares"]]
    if keeper["kind"] == "slip39":
        shares = [slip39.read(line) for line in lines]
        digests = [
            hashlib.sha256(fields("procura.slip39.digest.v1", share["indices"])).digest()
            for share in shares
        ]
        combine = slip39.combine
    else:
        shares = [read(line) for line in lines]
        digests = [of_share("procura.share.digest.v1", share) for share in shares]
        combine = secret_of
    if digests != known:
        raise Wrong("the shares are not those of the list")
    return shares, keeper["threshold"], combine


def main(installation, name, shares_file):
    with open(installation, encoding="utf-8") as found:
        file = json.load(found)
    with open(shares_file, encoding="utf-8") as found:
        lines = found.read().split("\n")
    source = next((one for one in file["sources"] if one["name"] == name), None)
    if source is None:
        raise Wrong("there is no such source")
    shares, need, combine = scheme(source, [line for line in lines if line])
    secrets, choices = set(), 0
    for chosen in itertools.islice(itertools.combinations(shares, need), MOST_CHOICES):
        secrets.add(combine(list(chosen)))
        choices += 1
    if len(secrets) != 1:
        raise Wrong("not every choice gives the same")
    secret = secrets.pop()
    if public(secret) != unb64(source["key"]):
        raise Wrong("the key is another")
    root = root_of(file, source, secret)
    line = {"choices": choices, "root_epoch": file["root_epoch"], "root_bytes": len(root)}
    if source["keeper"]["kind"] == "shares":
        line["fewer"] = public(secret_of(shares[: need - 1])) == unb64(source["key"])
        # The largest set has no number more.
        if len(shares) < 255:
            line["others"] = others(shares)
    say(step="opened", **line)


try:
    main(*sys.argv[1:])
except (Wrong, InvalidTag, slip39.Wrong) as error:
    say(step="wrong", why=str(error) or "it does not open")
