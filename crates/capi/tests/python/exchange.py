"""Exchanges through pyzmq: over our library on both sides, and with another Python's on the other.

    exchange.py PREFIX OTHER_PYTHON

Runs in a Python whose pyzmq is built against the library in PREFIX. Every exchange takes place over
tcp and ipc, with this Python and with OTHER_PYTHON in the other process; either side answers, or
publishes, in turn. The last line counts them; anything amiss ends it with an error.
"""

import asyncio
import os
import subprocess
import sys
import tempfile

import tornado.ioloop
import zmq
import zmq.asyncio
from zmq.eventloop.zmqstream import ZMQStream

PATIENCE_S = 300
MESSAGES = 1000


def bodies():
    """What is exchanged: short, empty, of several parts, and long ones."""
    for number in range(MESSAGES):
        yield [b"%d" % number, b"", b"x" * (number * 97 % 5000)][: 1 + number % 3]
    yield [bytes(range(256)) * (1 << 12), b"last"]


def open_socket(context, kind):
    socket = context.socket(kind)
    socket.linger = PATIENCE_S * 1000
    socket.rcvtimeo = socket.sndtimeo = PATIENCE_S * 1000
    return socket


def bind(socket, endpoint):
    """Binds, and tells the process that started this one where."""
    socket.bind(endpoint)
    print(socket.last_endpoint.decode(), flush=True)


# The side that binds, in a process of its own. It answers each message with what it got.


def answer_blocking(context, endpoint):
    socket = open_socket(context, zmq.REP)
    bind(socket, endpoint)
    for _ in bodies():
        socket.send_multipart(socket.recv_multipart())
    socket.close()


def answer_asyncio(context, endpoint):
    async def run():
        socket = open_socket(zmq.asyncio.Context.shadow(context), zmq.REP)
        bind(socket, endpoint)
        for _ in bodies():
            await socket.send_multipart(await socket.recv_multipart())
        socket.close()

    asyncio.run(run())


def answer_tornado(context, endpoint):
    async def run():
        socket = open_socket(context, zmq.REP)
        stream = ZMQStream(socket)
        left = sum(1 for _ in bodies())
        over = asyncio.Event()

        def answer(parts):
            nonlocal left
            left -= 1
            stream.send_multipart(parts, callback=None if left else lambda *_: over.set())

        stream.on_recv(answer)
        bind(socket, endpoint)
        await asyncio.wait_for(over.wait(), PATIENCE_S)
        stream.close()

    tornado.ioloop.IOLoop.current().run_sync(run)


def publish(context, endpoint):
    socket = open_socket(context, zmq.XPUB)
    socket.sndhwm = 0
    bind(socket, endpoint)
    assert socket.recv() == b"\x01topic"
    for parts in bodies():
        socket.send_multipart([b"other"] + parts)
        socket.send_multipart([b"topic"] + parts)
    assert socket.recv() == b"\x00topic"
    socket.close()


# The side that connects, in this process.


def ask_blocking(context, endpoint):
    socket = open_socket(context, zmq.REQ)
    socket.connect(endpoint)
    for parts in bodies():
        socket.send_multipart(parts)
        assert socket.recv_multipart() == parts
    socket.close()


def ask_asyncio(context, endpoint):
    async def run():
        socket = open_socket(zmq.asyncio.Context.shadow(context), zmq.REQ)
        socket.connect(endpoint)
        for parts in bodies():
            await asyncio.wait_for(socket.send_multipart(parts), PATIENCE_S)
            assert await asyncio.wait_for(socket.recv_multipart(), PATIENCE_S) == parts
        socket.close()

    asyncio.run(run())


def ask_tornado(context, endpoint):
    async def run():
        socket = open_socket(context, zmq.REQ)
        stream = ZMQStream(socket)
        answers = asyncio.Queue()
        stream.on_recv(answers.put_nowait)
        socket.connect(endpoint)
        for parts in bodies():
            stream.send_multipart(parts)
            assert await asyncio.wait_for(answers.get(), PATIENCE_S) == parts
        stream.close()

    tornado.ioloop.IOLoop.current().run_sync(run)


def subscribe(context, endpoint):
    socket = open_socket(context, zmq.SUB)
    socket.rcvhwm = 0
    socket.connect(endpoint)
    socket.subscribe(b"topic")
    for parts in bodies():
        assert socket.recv_multipart() == [b"topic"] + parts
    socket.unsubscribe(b"topic")
    socket.close()


EXCHANGES = {
    "request and reply": (answer_blocking, ask_blocking),
    "asyncio": (answer_asyncio, ask_asyncio),
    "tornado": (answer_tornado, ask_tornado),
    "asyncio and tornado": (answer_asyncio, ask_tornado),
    "publish and subscribe": (publish, subscribe),
}


def take_part(name, side, endpoint):
    """One side of an exchange."""
    context = zmq.Context()
    EXCHANGES[name][side](context, endpoint)
    context.term()


def exchange(name, binding, connecting, endpoint):
    """One exchange between two processes, of these Pythons."""

    def start(python, side, at):
        command = [python, __file__, "--side", name, str(side), at]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    with start(binding, 0, endpoint) as first:
        at = first.stdout.readline().strip()
        assert at, f"{name}: the side that binds has ended"
        with start(connecting, 1, at) as second:
            # A side that hangs has time-outs of its own.
            assert (second.wait(), first.wait()) == (0, 0), f"{name} failed at {at}"


def library_of(python):
    """The version of libzmq that a Python has loaded, and where it lies."""
    script = (
        "import zmq; print(zmq.zmq_version()); "
        "print({line.split()[-1] for line in open('/proc/self/maps') if 'libzmq' in line})"
    )
    answer = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    return answer.stdout.split("\n")


def main(prefix, other):
    ours = sys.executable
    version, loaded = library_of(ours)[:2]
    assert os.path.realpath(prefix) in loaded, f"pyzmq has loaded {loaded}, not that of {prefix}"
    assert os.path.realpath(prefix) not in library_of(other)[1]
    print(f"libzmq {version} of {prefix}, beside {library_of(other)[0]} of {other}")
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in EXCHANGES:
            for binding, connecting in [(ours, ours), (ours, other), (other, ours)]:
                for endpoint in ["tcp://127.0.0.1:*", f"ipc://{folder}/{count}"]:
                    exchange(name, binding, connecting, endpoint)
                    count += 1
            print(f"{name}: done", flush=True)
    print(f"test result: ok. {count} passed; 0 failed")


if __name__ == "__main__":
    if sys.argv[1] == "--side":
        take_part(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main(sys.argv[1], sys.argv[2])
