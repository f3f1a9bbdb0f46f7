"""An agent that calls a service by `key-server-v1`, one call for each word on stdin.

calls.py URL PATH KEY AGENT
"""

import sys

import proofs
from http_calls import tell

base, path, key_file, agent = sys.argv[1:]
key = proofs.read_key(key_file)
BODY, OTHER = b'{"title":"x"}', b'{"title":"y"}'
fields = {}

for word in map(str.strip, sys.stdin):
    if word in ("proven", "altered"):
        fields = proofs.key_server_v1(key, agent, "POST", path, BODY)
    elif word == "unproven":
        fields = {}
    # "again" sends what was sent last.
    tell(word, "POST", base + path, fields, OTHER if word == "altered" else BODY)
