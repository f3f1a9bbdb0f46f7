"""Mnemonics of one group of SLIP-0039, from the standard."""

import hashlib
import hmac
from pathlib import Path

from field import at

LIST = Path(__file__).parents[3] / "spec/vectors/shamir/slip39_wordlist.txt"
WORDS = {word: index for index, word in enumerate(LIST.read_text(encoding="ascii").split())}
GENERATOR = (
    0xE0E040, 0x1C1C080, 0x3838100, 0x7070200, 0xE0E0009,
    0x1C0C2412, 0x38086C24, 0x3090FC48, 0x21B1F890, 0x3F3F120,
)  # fmt: skip
ROUNDS = 4


class Wrong(Exception):
    pass


def checksum(values):
    state = 1
    for value in values:
        top = state >> 20
        state = (state & 0xFFFFF) << 10 ^ value
        for bit, term in enumerate(GENERATOR):
            if top >> bit & 1:
                state ^= term
    return state


def read(text):
    words = [WORDS[word] for word in text.lower().split()]
    head = 0
    for word in words[:4]:
        head = head << 10 | word
    extendable = head >> 24 & 1
    custom = b"shamir_extendable" if extendable else b"shamir"
    if checksum([*custom, *words]) != 1:
        raise Wrong("mistyped")
    value = 0
    for word in words[4:-3]:
        value = value << 10 | word
    bits = len(words[4:-3]) * 10
    size = (bits - bits % 16) // 8
    if (head >> 12 & 15, head >> 8 & 15) != (0, 0):
        raise Wrong("more than one group")
    return {
        "identifier": head >> 25,
        "extendable": extendable,
        "exponent": head >> 20 & 15,
        "member": head >> 4 & 15,
        "threshold": (head & 15) + 1,
        "value": value.to_bytes(size, "big"),
        "indices": b"".join(word.to_bytes(2, "big") for word in words),
    }


def combine(shares):
    """The master secret, without a passphrase."""
    first = shares[0]
    for key in ("identifier", "extendable", "exponent", "threshold"):
        if any(share[key] != first[key] for share in shares):
            raise Wrong(f"another {key}")
    points = [(share["member"], share["value"]) for share in shares]
    secret, digest = at(255, points), at(254, points)
    if hmac.digest(digest[4:], secret, "sha256")[:4] != digest[:4]:
        raise Wrong("the digest is another")
    half = len(secret) // 2
    left, right = secret[:half], secret[half:]
    salt = b"" if first["extendable"] else b"shamir" + first["identifier"].to_bytes(2, "big")
    count = (10000 << first["exponent"]) // ROUNDS
    for number in reversed(range(ROUNDS)):
        word = hashlib.pbkdf2_hmac("sha256", bytes([number]), salt + right, count, half)
        left, right = right, bytes(one ^ two for one, two in zip(left, word))
    return right + left
