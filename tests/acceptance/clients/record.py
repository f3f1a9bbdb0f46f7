"""The record of an installation, verified from its description alone (spec/ledger.md).

record.py VKEY DIR [CHECKPOINT]    DIR is what `procura audit export` wrote; CHECKPOINT an
older head of the same record. Prints one line of JSON: what is there, or what is wrong.
"""

import base64
import hashlib
import json
import os
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_calls import say

WIDTH = 256


class Wrong(Exception):
    pass


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def leaf(entry):
    return sha256(b"\x00", entry)


def root(hashes):
    """RFC 9162 §2.1.1, as it is written there."""
    if not hashes:
        return sha256()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return sha256(b"\x01", root(hashes[:split]), root(hashes[split:]))


def head(note, vkey):
    """A C2SP checkpoint: its size and root, once its signature is verified."""
    name, key_id, key = vkey.split("+", 2)
    raw = base64.b64decode(key)
    text, signatures = note.rsplit("\n\n", 1)
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, blob = line.split(" ")
        signature = base64.b64decode(blob)
        if (dash, signer) == ("—", name) and signature[:4].hex() == key_id:
            try:
                Ed25519PublicKey.from_public_bytes(raw[1:]).verify(signature[4:], text.encode())
            except InvalidSignature:
                raise Wrong("checkpoint not signed") from None
            origin, size, tree = text.splitlines()[:3]
            if origin != name:
                raise Wrong("checkpoint of another log")
            return int(size), base64.b64decode(tree)
    raise Wrong("checkpoint not signed")


def tile(kind, index, width):
    """The name of a file (C2SP tlog-tiles)."""
    digits = f"{index % 1000:03}"
    index //= 1000
    while index:
        digits = f"x{index % 1000:03}/{digits}"
        index //= 1000
    return f"tile/{kind}/{digits}" + ("" if width == WIDTH else f".p/{width}")


def read(folder, name):
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def entries_of(bundle):
    found, at = [], 0
    while at < len(bundle):
        size = int.from_bytes(bundle[at : at + 2], "big")
        found.append(bundle[at + 2 : at + 2 + size])
        at += 2 + size
    return found


def verify(vkey, folder, older):
    size, signed = head(read(folder, "checkpoint").decode(), vkey)
    hashes, entries, first = [], {}, None
    for index in range((size + WIDTH - 1) // WIDTH):
        width = min(WIDTH, size - index * WIDTH)
        recorded = read(folder, tile("0", index, width))
        if recorded is None or len(recorded) != 32 * width:
            raise Wrong(f"hashes of {index} are missing")
        leaves = [recorded[at : at + 32] for at in range(0, len(recorded), 32)]
        bundle = read(folder, tile("entries", index, width))
        if bundle is None:
            if first is not None:
                raise Wrong(f"bundle {index} is missing")
        else:
            first = index * WIDTH if first is None else first
            found = entries_of(bundle)
            if [leaf(entry) for entry in found] != leaves:
                raise Wrong(f"bundle {index} is not what its hashes say")
            entries.update(enumerate(found, index * WIDTH))
        hashes += leaves
    if hashes and first is None:
        raise Wrong("every bundle is missing")
    if root(hashes) != signed:
        raise Wrong("the hashes do not lead to the signed root")
    if older is not None:
        before, tree = head(older, vkey)
        if before > size or root(hashes[:before]) != tree:
            raise Wrong("it does not continue the older checkpoint")
    parsed = {index: json.loads(entry) for index, entry in entries.items()}
    if first:
        state = read(folder, "forgotten")
        if state is None:
            raise Wrong("entries are missing, and nothing is left of them")
        said = [
            entry["resource"].split(" ")
            for entry in parsed.values()
            if entry["action"] == "ledger.forget" and entry["decision"] == "allow"
        ]
        words = [
            "installation",
            f"until:{first}",
            "root:" + base64.b64encode(root(hashes[:first])).decode(),
            "state:" + base64.b64encode(sha256(state)).decode(),
        ]
        if words not in [text[:4] for text in said]:
            raise Wrong("no entry says that these entries are forgotten")
        if json.loads(state)["entries"] != first:
            raise Wrong("what is left is of other entries")
    devices = json.loads(read(folder, "forgotten"))["devices"] if first else {}
    for entry in parsed.values():
        if entry["action"] in ("installation.init", "device.join", "operator.join"):
            if entry["decision"] == "allow":
                devices[entry["device"]] = entry["actor"]
    approvals = [entry for entry in parsed.values() if "approval" in entry]
    for entry in approvals:
        if devices.get(entry["approval"]["device"]) != entry["actor"]:
            raise Wrong("an approval by a device that is not the approver's")
    say(step="record", entries=size, first=first or 0, approvals=len(approvals))


vkey, folder, *rest = sys.argv[1:]
try:
    verify(vkey, folder, open(rest[0], encoding="utf-8").read() if rest else None)
except Wrong as wrong:
    say(step="wrong", why=str(wrong))
