"""A WebSocket service that gives back what it gets, and says who came."""

import asyncio

from websockets.legacy.server import WebSocketServerProtocol, serve

from http_calls import say


class Watched(WebSocketServerProtocol):
    def connection_made(self, transport):
        say(seen="connection")
        super().connection_made(transport)


async def echo(socket):
    fields = socket.request_headers
    say(
        seen="handshake",
        path=socket.path,
        agent=fields.get("Procura-Agent"),
        profile=fields.get("Procura-Profile"),
    )
    async for message in socket:
        await socket.send(message)


async def main():
    async with serve(echo, "127.0.0.1", 0, create_protocol=Watched) as server:
        say(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await asyncio.Future()


asyncio.run(main())
