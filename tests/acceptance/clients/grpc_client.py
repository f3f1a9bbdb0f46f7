"""An agent that calls a gRPC service behind a gate. It goes on with each line on stdin.

grpc_client.py GATE KEY AGENT
"""

import sys
import threading
from urllib.parse import urlsplit

import grpc

import proofs
from http_calls import say

gate, key_file, agent = sys.argv[1:]
key = proofs.read_key(key_file)
# Whatever proxy the environment names is for others.
channel = grpc.insecure_channel(urlsplit(gate).netloc, [("grpc.enable_http_proxy", 0)])
PATIENCE = 20


def path(method):
    return f"/acceptance.Echo/{method}"


def proof(method, *messages):
    """Over the body as it is on the wire: each message behind its length."""
    body = b"".join(b"\0" + len(message).to_bytes(4, "big") + message for message in messages)
    fields = proofs.key_server_v1(key, agent, "POST", path(method), body)
    return [(name.lower(), value) for name, value in fields.items()]


def tell(step, ask):
    try:
        say(step=step, answer=ask())
    except grpc.RpcError as refusal:
        say(step=step, code=refusal.code().name, details=refusal.details())


def unary(metadata, message=b"hello"):
    call = channel.unary_unary(path("Unary"))
    return call(message, PATIENCE, metadata).decode()


def count(metadata):
    call = channel.unary_stream(path("Count"))
    return [message.decode() for message in call(b"hello", PATIENCE, metadata)]


def two_messages(step, method, metadata, meanwhile=None):
    """Sends the second message when somebody says so."""
    sent, go_on = threading.Event(), threading.Event()

    def messages():
        yield b"one"
        sent.set()
        go_on.wait(PATIENCE)
        yield b"two"

    answer = channel.stream_unary(path(method)).future(messages(), PATIENCE, metadata)
    sent.wait(PATIENCE)
    if meanwhile:
        meanwhile()
    say(step=step + " begun")
    sys.stdin.readline()
    go_on.set()
    tell(step, lambda: answer.result().decode())


proven = proof("Unary", b"hello")
tell("unary", lambda: unary(proven))
tell("replayed", lambda: unary(proven))
tell("altered", lambda: unary(proof("Unary", b"hello"), b"jello"))
tell("unproven", lambda: unary([]))
tell("stream", lambda: count(proof("Count", b"hello")))

# The proof of a stream whose body is not signed is over an empty one.
two_messages("unsigned", "Collect", proof("Collect"))


def another():
    """Behind the first message, on the same connection."""
    tell("meanwhile", lambda: unary(proof("Unary", b"hello")))


two_messages("whole", "Gather", proof("Gather", b"one", b"two"), another)
two_messages("not whole", "Gather", proof("Gather"))
tell("last", lambda: unary(proof("Unary", b"hello")))
