"""A gRPC service without a schema, which says what it gets as soon as it gets it."""

from concurrent.futures import ThreadPoolExecutor

import grpc

from http_calls import say


def begun(name, context):
    fields = dict(context.invocation_metadata())
    say(call=name, agent=fields.get("procura-agent"), profile=fields.get("procura-profile"))


def unary(message, context):
    begun("Unary", context)
    return b"got " + message


def count(message, context):
    begun("Count", context)
    for number in range(3):
        yield b"%d %s" % (number, message)


def collector(name):
    def collect(messages, context):
        begun(name, context)
        collected = []
        for message in messages:
            say(message=message.decode())
            collected.append(message)
        return b" ".join(collected)

    return grpc.stream_unary_rpc_method_handler(collect)


# Without serializers messages are the bytes that they are.
service = grpc.method_handlers_generic_handler("acceptance.Echo", {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Collect": collector("Collect"),
    "Gather": collector("Gather"),
})
server = grpc.server(ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((service,))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
say(url=f"http://127.0.0.1:{port}")
server.wait_for_termination()
