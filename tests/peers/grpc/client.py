"""A client of gRPC that is not ours. Each story is a conversation with server.py, whatever is between the two; what is
not as it must be ends it with an error.

    client.py TARGET [--ca FILE] STORY...
"""

import argparse
import asyncio
import itertools
import sys

import grpc
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
# What must come comes within this time.
PATIENCE = 30


class Peer:
    """The methods of server.py."""

    def __init__(self, channel, target):
        self.channel, self.target = channel, target
        self.health = health_pb2_grpc.HealthStub(channel)
        for name, kind in [
            ("Echo", channel.unary_unary),
            ("Count", channel.unary_stream),
            ("Total", channel.stream_unary),
            ("Chat", channel.stream_stream),
            ("Fail", channel.unary_unary),
            ("FailLate", channel.unary_stream),
            ("Wait", channel.unary_stream),
            ("Silent", channel.unary_unary),
            ("Die", channel.stream_stream),
            ("Turn", channel.unary_unary),
        ]:
            setattr(self, name.lower(), kind(f"/test.Peer/{name}"))


def equal(came, expected):
    assert came == expected, f"{came!r} is not {expected!r}"


async def refusal(call):
    """The error that a call ends with."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("it succeeded")


def value(metadata, key):
    return dict(metadata or ()).get(key)


# -- stories that need nobody but the server ---------------------------------------------------------------------------


async def unary(peer):
    equal(await peer.echo(b"hello", timeout=PATIENCE), b"hello")
    equal(await peer.echo(b"", timeout=PATIENCE), b"")


async def metadata(peer):
    asked = (
        ("x-ask", "a, b; c"),
        ("x-ask-data-bin", bytes(range(256))),
        ("x-ask-twice", "1"),
        ("x-ask-twice", "2"),
    )
    call = peer.echo(b"", metadata=asked, timeout=PATIENCE)
    initial, trailing = await call.initial_metadata(), await call.trailing_metadata()
    for told in (initial, trailing):
        # Only values of one name have an order.
        named = sorted((pair for pair in told if pair[0].startswith("x-ask")), key=lambda pair: pair[0])
        equal(named, list(asked))


async def server_stream(peer):
    messages = [message async for message in peer.count(b"100 1000", timeout=PATIENCE)]
    equal(messages, [b"%d" % index + b"." * 1000 for index in range(100)])


async def client_stream(peer):
    async def messages():
        for _ in range(100):
            yield b"." * 1000

    equal(await peer.total(messages(), timeout=PATIENCE), b"100 100000")


async def both_ways(peer):
    call = peer.chat(timeout=PATIENCE)
    for index in range(100):
        message = b"%d" % index
        # Nothing more is sent before the answer is there.
        await call.write(message)
        equal(await call.read(), b"re: " + message)
    await call.done_writing()
    equal(await call.read(), grpc.aio.EOF)
    equal(await call.code(), StatusCode.OK)


async def silence(peer):
    call = peer.chat(timeout=PATIENCE)
    for message in (b"one", b"two"):
        await call.write(message)
        equal(await call.read(), b"re: " + message)
        await asyncio.sleep(1)
    await call.done_writing()
    equal(await call.code(), StatusCode.OK)


async def ten_thousand(peer):
    number = 10_000

    async def messages():
        for index in range(number):
            yield b"%d" % index

    index = 0
    async for answer in peer.chat(messages(), timeout=2 * PATIENCE):
        equal(answer, b"re: %d" % index)
        index += 1
    equal(index, number)


async def large(peer):
    message = bytes(range(256)) * (6 << 12)
    equal(len(message), 6 << 20)
    equal(await peer.echo(message, timeout=PATIENCE), message)


async def compressed(peer):
    message = b"the same again and again, " * 10_000
    equal(await peer.echo(message, compression=grpc.Compression.Gzip, timeout=PATIENCE), message)


async def hundred(peer):
    async def one(index):
        call = peer.chat(timeout=PATIENCE)
        for turn in range(3):
            message = b"%d.%d" % (index, turn)
            await call.write(message)
            equal(await call.read(), b"re: " + message)
        await call.done_writing()
        equal(await call.code(), StatusCode.OK)

    await asyncio.gather(*map(one, range(100)))


async def errors(peer):
    for call in (peer.fail(b"", timeout=PATIENCE), peer.faillate(b"", timeout=PATIENCE)):
        error = await refusal(call)
        equal(error.code(), StatusCode.FAILED_PRECONDITION)
        equal(error.details(), "50 % höher\nals erlaubt")
        equal(value(error.trailing_metadata(), "x-reason-bin"), b"\0\xff")
    error = await refusal(peer.channel.unary_unary("/test.Peer/Nothing")(b"", timeout=PATIENCE))
    equal(error.code(), StatusCode.UNIMPLEMENTED)


async def rejected(peer):
    """An answer that comes while messages are still sent. Not by asyncio: there a message that could not be sent hides it."""

    def call(channel):
        try:
            channel.stream_unary("/test.Peer/Reject")(itertools.repeat(b"." * 1000), timeout=PATIENCE)
        except grpc.RpcError as error:
            equal((error.code(), error.details()), (StatusCode.RESOURCE_EXHAUSTED, "enough"))
        else:
            raise AssertionError("it succeeded")

    def calls():
        with grpc.insecure_channel(peer.target) as channel:
            for _ in range(20):
                call(channel)

    await asyncio.to_thread(calls)


async def health(peer):
    def check(service):
        return peer.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE)

    equal((await check("")).status, health_pb2.HealthCheckResponse.SERVING)
    equal((await refusal(check("nobody"))).code(), StatusCode.NOT_FOUND)
    watch = peer.health.Watch(health_pb2.HealthCheckRequest(service="up"), timeout=PATIENCE)
    equal((await watch.read()).status, health_pb2.HealthCheckResponse.SERVING)
    await peer.turn(b"up", timeout=PATIENCE)
    equal((await watch.read()).status, health_pb2.HealthCheckResponse.NOT_SERVING)
    watch.cancel()


async def steady(peer):
    """Until nobody is at the other end of the input: calls of every kind, while one goes on all the time."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    over = asyncio.ensure_future(reader.read())
    calls, long = 0, peer.chat()
    while not over.done():
        await unary(peer)
        await server_stream(peer)
        await client_stream(peer)
        await long.write(b"%d" % calls)
        equal(await long.read(), b"re: %d" % calls)
        calls += 4
        print(f"{calls} calls", flush=True)
        # A steady load, not the most there can be.
        await asyncio.sleep(0.02)
    await long.done_writing()
    equal(await long.code(), StatusCode.OK)


# -- stories of which the server has something to say, too -------------------------------------------------------------


async def deadline(peer):
    call = peer.wait(b"", timeout=1.5)
    equal(await call.read(), b"begun")
    equal((await refusal(call.read())).code(), StatusCode.DEADLINE_EXCEEDED)


async def cancelled(peer):
    call = peer.wait(b"")
    equal(await call.read(), b"begun")
    call.cancel()
    equal(await call.code(), StatusCode.CANCELLED)


async def cancelled_in_silence(peer):
    equal((await refusal(peer.silent(b"", timeout=1.5))).code(), StatusCode.DEADLINE_EXCEEDED)


async def server_dies(peer):
    call = peer.die(timeout=PATIENCE)
    equal(await call.read(), b"begun")
    await call.write(b"die")
    error = await refusal(call.read())
    equal(error.code(), StatusCode.UNAVAILABLE)


# -- stories of what is between: it has an error of its own --------------------------------------------------------------


async def refused(peer, code, details):
    error = await refusal(peer.echo(b"hello", timeout=PATIENCE))
    equal((error.code(), error.details()), (code, details))
    assert value(error.trailing_metadata(), "x-request-id"), error
    assert "error=" in value(error.trailing_metadata(), "proxy-status"), error


async def no_route(peer):
    await refused(peer, StatusCode.UNIMPLEMENTED, "no route matches")


async def no_endpoint(peer):
    await refused(peer, StatusCode.UNAVAILABLE, "the server behind this one gave no valid answer")


async def too_slow(peer):
    error = await refusal(peer.silent(b"", timeout=PATIENCE))
    equal(error.code(), StatusCode.DEADLINE_EXCEEDED)
    equal(error.details(), "the server behind this one did not answer in time")


async def too_large(peer):
    error = await refusal(peer.echo(b"." * 100_000, timeout=PATIENCE))
    equal(error.code(), StatusCode.RESOURCE_EXHAUSTED)


async def tell(arguments):
    options = UNLIMITED
    if arguments.ca:
        credentials = grpc.ssl_channel_credentials(open(arguments.ca, "rb").read())
        channel = grpc.aio.secure_channel(arguments.target, credentials, options)
    else:
        channel = grpc.aio.insecure_channel(arguments.target, options)
    async with channel:
        peer = Peer(channel, arguments.target)
        for story in arguments.story:
            await globals()[story](peer)
            print(f"{story} is told", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--ca")
    parser.add_argument("story", nargs="+")
    asyncio.run(tell(parser.parse_args()))
