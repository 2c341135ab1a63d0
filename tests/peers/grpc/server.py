"""An endpoint of gRPC that is not ours, on a free port until it is told to stop. It says on its output what it sees.

    server.py [--cert FILE --key FILE]
"""

import argparse
import asyncio
import os
import signal

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

# A message is bytes, and what it means is said in it: nothing has to be generated.
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def say(text):
    print(text, flush=True)


async def echo(request, context):
    """The message, and what was asked beside it, as both kinds of metadata."""
    asked = [(key, value) for key, value in context.invocation_metadata() if key.startswith("x-ask")]
    await context.send_initial_metadata(asked)
    context.set_trailing_metadata(asked)
    return request


async def count(request, context):
    """`COUNT SIZE`: so many messages of this size, each with its number."""
    number, size = map(int, request.split())
    for index in range(number):
        yield b"%d" % index + b"." * size


async def total(requests, context):
    """How many messages came, and how many bytes they had."""
    messages = size = 0
    async for request in requests:
        messages, size = messages + 1, size + len(request)
    return b"%d %d" % (messages, size)


async def chat(requests, context):
    """Answers each message at once."""
    async for request in requests:
        yield b"re: " + request


async def fail(request, context):
    """An error with all that one can have."""
    context.set_trailing_metadata((("x-reason-bin", b"\0\xff"),))
    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "50 % höher\nals erlaubt")


async def fail_late(request, context):
    """The same behind a message."""
    yield b"first"
    await fail(request, context)


async def reject(requests, context):
    """Has heard enough after the first message."""
    async for _ in requests:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


async def wait(request, context):
    """Begins, and goes on until nobody wants it any more."""
    remaining = context.time_remaining()
    say("asked to wait" if remaining is None else f"asked to wait {remaining:.1f}s")
    # It may be given up while the first message is still on its way.
    try:
        yield b"begun"
        await asyncio.Event().wait()
    finally:
        say("nobody waits any more")


async def silent(request, context):
    """Says nothing at all, until nobody wants it any more."""
    say("asked in vain")
    try:
        await asyncio.Event().wait()
    finally:
        say("nobody waits any more")


async def die(requests, context):
    """Begins, and the whole process is gone when it is told that this was read."""
    yield b"begun"
    async for _ in requests:
        os._exit(1)


async def serve(arguments):
    checks = health.aio.HealthServicer()
    await checks.set("up", health_pb2.HealthCheckResponse.SERVING)

    async def turn(request, context):
        """A service whose health changes."""
        await checks.set(request.decode(), health_pb2.HealthCheckResponse.NOT_SERVING)
        return b""

    handlers = grpc.method_handlers_generic_handler(
        "test.Peer",
        {
            "Echo": grpc.unary_unary_rpc_method_handler(echo),
            "Count": grpc.unary_stream_rpc_method_handler(count),
            "Total": grpc.stream_unary_rpc_method_handler(total),
            "Chat": grpc.stream_stream_rpc_method_handler(chat),
            "Fail": grpc.unary_unary_rpc_method_handler(fail),
            "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
            "Reject": grpc.stream_unary_rpc_method_handler(reject),
            "Wait": grpc.unary_stream_rpc_method_handler(wait),
            "Silent": grpc.unary_unary_rpc_method_handler(silent),
            "Die": grpc.stream_stream_rpc_method_handler(die),
            "Turn": grpc.unary_unary_rpc_method_handler(turn),
        },
    )
    server = grpc.aio.server(options=UNLIMITED, compression=grpc.Compression.Gzip)
    server.add_generic_rpc_handlers((handlers,))
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    if arguments.cert:
        pair = (open(arguments.key, "rb").read(), open(arguments.cert, "rb").read())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stops = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stops.set)
    say(f"listening on 127.0.0.1:{port}")
    await stops.wait()
    stopped = asyncio.ensure_future(server.stop(grace=60))
    say("takes no more")
    await stopped


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert")
    parser.add_argument("--key")
    asyncio.run(serve(parser.parse_args()))
