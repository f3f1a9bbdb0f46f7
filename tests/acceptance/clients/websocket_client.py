"""An agent that talks over a WebSocket behind a gate, until it is cut off.

websocket_client.py GATE KEY AGENT
"""

import asyncio
import http.client
import sys
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.legacy.client import connect

import proofs
from http_calls import say

gate, key_file, agent = sys.argv[1:]
key = proofs.read_key(key_file)
URL = gate.replace("http://", "ws://") + "/chat?room=1"


def proof():
    return proofs.key_server_v1(key, agent, "GET", "/chat")


async def refused(step, fields):
    try:
        async with connect(URL, extra_headers=fields):
            say(step=step, open=True)
    except InvalidHandshake as refusal:
        say(step=step, status=refusal.status_code)


async def main():
    await refused("unsigned", {})
    # The library reads no body; the reason is in the body.
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    connection = http.client.HTTPConnection(urlsplit(gate).netloc, timeout=20)
    connection.request("GET", "/chat?room=1", headers=handshake)
    answer = connection.getresponse()
    say(step="reason", status=answer.status, said=answer.read().decode())
    connection.close()

    fields = proof()
    async with connect(URL, extra_headers=fields) as socket:
        for message in ["hello", "again", "x" * 100_000]:
            await socket.send(message)
            same = await asyncio.wait_for(socket.recv(), 20) == message
            say(step="echo", same=same)
        await refused("replayed", fields)
        say(step="open")
        try:
            await asyncio.wait_for(socket.recv(), 20)
        except ConnectionClosed:
            say(step="cut off")
    await refused("afterwards", proof())


asyncio.run(main())
