"""Two event loops over ZMQ_FD, as pyzmq integrates it, that send each other bursts of messages.

    bursts.py asyncio|tornado|gevent MESSAGES [SEED]

MESSAGES go each way, in bursts with random pauses within and after. At the end of a burst both sides
wait for all that was sent, and nothing more is: a message that waits for the next one would wait for
ever, and is an error.
"""

import asyncio
import importlib
import os
import queue
import random
import sys
import threading
import time
import traceback

import zmq

# A message that has not come after so long does not come. Less than what the loops have of
# time-outs of their own: gevent's is 11.6 s.
PATIENCE_S = 10
BURST_MAX = 1500
# Low, so that senders run into it.
HIGH_WATER = 200


class Side:
    """One end: its socket, and what the other may know of it."""

    def __init__(self, name, messages, seed):
        self.name, self.messages = name, messages
        self.random = random.Random(f"{name} {seed}")
        self.socket = self.other = None
        self.sent = self.received = self.bursts = self.met = 0
        self.slowest_s = 0.0

    def open(self, context):
        """In the side's own thread: gevent's sockets belong to the loop they are made in."""
        self.socket = context.socket(zmq.PAIR)
        self.socket.linger = 0
        self.socket.hwm = HIGH_WATER

    def next_message(self):
        self.sent += 1
        return b"%d %.6f" % (self.sent - 1, time.monotonic())

    def take(self, message):
        number, at = message.split()
        assert int(number) == self.received, f"{self.name}: {number} where {self.received} was due"
        self.received += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - float(at))

    def burst(self):
        """How many messages the next burst has: a few single ones too."""
        most = self.random.choice([3, BURST_MAX, BURST_MAX, BURST_MAX])
        return min(self.random.randint(1, most), self.messages - self.sent)

    def pause(self):
        """How long to pause after a message, if at all."""
        return self.random.random() * 0.0005 if self.random.randrange(300) == 0 else None

    def is_quiet(self):
        return self.other.bursts >= self.bursts and self.received == self.other.sent

    def is_over(self):
        return self.sent == self.other.sent == self.messages

    def check_waited(self, since):
        if self.other.bursts >= self.bursts and time.monotonic() - since > PATIENCE_S:
            raise AssertionError(
                f"{self.name}: a message waits for the next one: received {self.received} of "
                f"{self.other.sent}; EVENTS are {self.socket.events}"
            )


async def take_turns(side, send):
    """A side's bursts, in a loop of asyncio; `send` sends a message."""
    while True:
        for _ in range(side.burst()):
            await send(side.next_message())
            pause = side.pause()
            if pause is not None:
                await asyncio.sleep(pause)
        side.bursts += 1
        received, since = side.received, time.monotonic()
        while not side.is_quiet():
            await asyncio.sleep(0.001)
            if received != side.received or side.other.bursts < side.bursts:
                received, since = side.received, time.monotonic()
            side.check_waited(since)
        if await agree(side):
            return
        if side.random.randrange(8) == 0:
            await asyncio.sleep(side.random.random() * 0.003)


async def meet(side):
    """Both come here before either goes on."""
    side.met += 1
    while side.other.met < side.met:
        await asyncio.sleep(0.0001)


async def agree(side):
    """Whether all is done. What was looked at stays until both have looked."""
    await meet(side)
    is_over = side.is_over()
    await meet(side)
    return is_over


def run_asyncio(side):
    async def receive():
        while True:
            side.take(await side.socket.recv())

    async def run():
        receiving = asyncio.create_task(receive())
        turns = asyncio.create_task(take_turns(side, side.socket.send))
        done, _ = await asyncio.wait([receiving, turns], return_when=asyncio.FIRST_COMPLETED)
        done.pop().result()
        receiving.cancel()
        side.socket.close()

    asyncio.run(run())


def run_tornado(side):
    from zmq.eventloop.zmqstream import ZMQStream

    async def run():
        stream = ZMQStream(side.socket)
        stream.on_recv(lambda parts: side.take(parts[0]))

        async def send(message):
            stream.send(message)
            if side.random.randrange(20) == 0:
                await asyncio.sleep(0)
            while stream._send_queue.qsize() > HIGH_WATER:
                await asyncio.sleep(0.0001)

        await take_turns(side, send)
        stream.close()

    asyncio.run(run())


def run_gevent(side):
    import gevent

    def receive():
        while True:
            side.take(side.socket.recv())

    def meet():
        side.met += 1
        while side.other.met < side.met:
            gevent.sleep(0.0001)

    receiving = gevent.spawn(receive)
    is_over = False
    while not is_over:
        for _ in range(side.burst()):
            side.socket.send(side.next_message())
            pause = side.pause()
            if pause is not None:
                gevent.sleep(pause)
        side.bursts += 1
        received, since = side.received, time.monotonic()
        while not side.is_quiet():
            gevent.sleep(0.001)
            if received != side.received or side.other.bursts < side.bursts:
                received, since = side.received, time.monotonic()
            side.check_waited(since)
        meet()
        is_over = side.is_over()
        meet()
        if side.random.randrange(8) == 0:
            gevent.sleep(side.random.random() * 0.003)
    receiving.kill()
    side.socket.close()


# Where the loop's contexts are, and what runs it.
LOOPS = {
    "asyncio": ("zmq.asyncio", run_asyncio),
    "tornado": ("zmq", run_tornado),
    "gevent": ("zmq.green", run_gevent),
}


def main(kind, messages, seed):
    module, run = LOOPS[kind]
    contexts = [importlib.import_module(module).Context() for _ in range(2)]
    first, second = (Side(name, messages, seed) for name in ["the first", "the second"])
    first.other, second.other = second, first
    ports = queue.Queue()

    def run_first():
        first.open(contexts[0])
        ports.put(first.socket.bind_to_random_port("tcp://127.0.0.1"))
        run(first)

    def run_second():
        second.open(contexts[1])
        second.socket.connect(f"tcp://127.0.0.1:{ports.get()}")
        run(second)

    threads = [threading.Thread(target=or_end, args=[run]) for run in (run_first, run_second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for context in contexts:
        context.term()
    assert first.received == second.received == messages
    slowest_ms = 1000 * max(first.slowest_s, second.slowest_s)
    print(f"{kind}: {messages} messages each way, {first.bursts} bursts, slowest {slowest_ms:.1f} ms")
    print("test result: ok. 1 passed; 0 failed")


def or_end(run):
    """Runs a side; a failure ends the process, for the other side would wait for ever."""
    try:
        run()
    except BaseException:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "7")
