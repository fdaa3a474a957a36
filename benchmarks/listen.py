"""How many streams listen captions at once, what memory it takes, and what others notice of broken clients and files.

    python -m benchmarks.listen [--model FILE] [--only streams|broken|uploads|memory] [--minutes M]

streams   clients that send noise of changing level at 44,100 Hz in real time, as browsers do, a tenth of a second at a
          time; seconds from the end of a segment until its caption is there. Goal: 95 % within 0.5 s of 20 at once
broken    the same for 4 clients, while others break off, send garbage or half a sample, nothing, 200 kHz, or take no
          message
uploads   seconds until recordings of a minute are answered, 1 and 4 at once, and the captions of 4 clients meanwhile
memory    of the program, while streams of 5 to 15 s come and go, 10 at once, half of them breaking off, for M minutes.
          Goal: 30 minutes without growth

All on this machine: the clients are one more program on the same processors, so its load is printed first.
"""

import argparse
import asyncio
import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count

import numpy as np
import psutil
import soundfile
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

SR = 44100
BLOCK_S = 0.1
STREAM_S = 20
AT_ONCE = (1, 5, 10, 20, 30)
MEASURED, COMING_AND_GOING = 4, 10  # streams
UPLOAD_S = 60
MAX_STREAMS = 100


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model file, or a name in data/models; default: that of the workspace")
    parser.add_argument("--minutes", type=float, default=10, help="how long streams come and go (%(default)s)")
    parser.add_argument("--only", choices=("streams", "broken", "uploads", "memory"))
    args = parser.parse_args()
    measures: dict[str, Callable[[str, psutil.Process], Coroutine[None, None, None]]] = {
        "streams": print_streams, "broken": print_broken, "uploads": print_uploads,
        "memory": partial(print_memory, minutes=args.minutes),
    }  # fmt: skip
    print(f"{os.cpu_count()} cores, load of other work {os.getloadavg()[0]:.2f}")
    for name, measure in measures.items():
        if args.only in (None, name):
            with serve(*(["--model", args.model] if args.model else [])) as (address, process):
                asyncio.run(measure(address, process))


@contextmanager
def serve(*options: str) -> Iterator[tuple[str, psutil.Process]]:
    """The address of the listen command, once it has a model, and its process."""
    command = [sys.executable, "-m", "stages.commands.listen", "--port", "0", "--max-streams", str(MAX_STREAMS)]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None  # for mypy
        try:
            address = next(found[1] for line in process.stderr if (found := re.search(r"open (\S+)", line)))
            next(line for line in process.stderr if line.startswith("listen: model"))
            yield address, psutil.Process(process.pid)
        finally:
            process.terminate()


def noise(duration_s: float, seed: int) -> np.ndarray:
    """White noise whose level changes each second, so that events come and go; float32 of shape (n_samples,)."""
    rng = np.random.default_rng(seed)
    levels = np.repeat(10 ** rng.uniform(-4, -1, int(duration_s) + 1), SR)[: round(duration_s * SR)]
    return (levels * rng.standard_normal(len(levels))).astype(np.float32)


def live(address: str, query: str = f"sr={SR}") -> connect:
    """A stream, to use with `async with`."""
    return connect(f"{address.replace('http', 'ws', 1)}api/live?{query}", compression=None)


async def speak(stream: ClientConnection, y: np.ndarray, begun: float) -> None:
    """Send samples as a microphone gives them that began to listen at `begun`."""
    block = round(BLOCK_S * SR)
    for i in range(0, len(y), block):
        await asyncio.sleep(max(0, begun + (i + block) / SR - time.monotonic()))
        await stream.send(y[i : i + block].tobytes())


async def listen(address: str, seed: int) -> list[float]:
    """How many seconds after their segments the captions of one stream come."""
    y, late = noise(STREAM_S, seed), []
    async with live(address) as stream:
        await asyncio.sleep(seed % 10 * BLOCK_S / 2)  # microphones do not begin at once
        begun = time.monotonic()
        speaking = asyncio.create_task(speak(stream, y, begun))
        with suppress(TimeoutError):
            while True:
                message = json.loads(await asyncio.wait_for(stream.recv(), 5))
                if message["type"] == "caption":
                    late.append(time.monotonic() - begun - message["end_s"])
        await speaking
    return late


def describe(late: list[float]) -> str:
    """Lateness of captions in words."""
    within = np.mean(np.asarray(late) <= 0.5)
    return (
        f"{len(late)} captions, {100 * within:.1f} % within 0.5 s; median {np.median(late):.2f} s, "
        f"95 % within {np.quantile(late, 0.95):.2f} s, latest {max(late):.2f} s"
    )


async def listen_at_once(address: str, n: int) -> list[float]:
    """The same of `n` streams at once."""
    return [late for of_one in await asyncio.gather(*(listen(address, seed) for seed in range(n))) for late in of_one]


async def print_streams(address: str, process: psutil.Process) -> None:
    """Tell how late captions come, by the number of streams."""
    for n in AT_ONCE:
        before, begun = process.cpu_times(), time.monotonic()
        late = await listen_at_once(address, n)
        after, taken = process.cpu_times(), time.monotonic() - begun
        share = (after.user + after.system - before.user - before.system) / taken
        print(f"streams: {n} at once: {describe(late)}; {share:.2f} processors", flush=True)


async def break_off(address: str) -> None:
    """End without a word."""
    async with live(address) as stream:
        await stream.send(noise(1, 0).tobytes())
        stream.transport.abort()


async def send_garbage(address: str) -> None:
    """Send bytes that are no samples."""
    async with live(address) as stream:
        await stream.send(np.random.default_rng(0).bytes(100_000))
        await stream.recv()


async def send_half_a_sample(address: str) -> None:
    """End within a sample."""
    async with live(address) as stream:
        await stream.send(b"\x00\x00")
        await stream.send("end")
        await stream.recv()


async def send_nothing(address: str) -> None:
    """Wait to be sent away."""
    async with live(address) as stream:
        await stream.recv()


async def send_at_200_khz(address: str) -> None:
    """Send as fast as it is taken, at a high rate."""
    async with live(address, "sr=200000&format=s16le") as stream:
        for _ in range(20):
            await stream.send(bytes(40_000))
        await stream.send("end")
        await stream.recv()


async def read_nothing(address: str) -> None:
    """Send as fast as it is taken, and take no message."""
    async with live(address) as stream:
        stream.transport.pause_reading()
        await asyncio.wait_for(stream.send(noise(30, 0).tobytes()[: 1 << 20]), 5)
        await asyncio.sleep(5)
        stream.transport.abort()


BROKEN: tuple[Callable[[str], Awaitable[None]], ...] = (
    break_off, send_garbage, send_half_a_sample, send_nothing, send_at_200_khz, read_nothing,
)  # fmt: skip


async def repeat(client: Callable[[str], Awaitable[None]], address: str) -> None:
    """Let a broken client come back until this is cancelled."""
    while True:
        with suppress(ConnectionClosed, TimeoutError, OSError):
            await client(address)
        await asyncio.sleep(0.5)


async def print_broken(address: str, process: psutil.Process) -> None:
    """Tell how late captions come without and with broken clients."""
    print(f"broken: without them: {describe(await listen_at_once(address, MEASURED))}", flush=True)
    tasks = [asyncio.create_task(repeat(client, address)) for client in BROKEN]
    print(f"broken: with them: {describe(await listen_at_once(address, MEASURED))}", flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def upload(address: str, recording: bytes) -> float:
    """Seconds until a recording is answered."""
    begun = time.monotonic()
    with urllib.request.urlopen(f"{address}api/events", recording) as answer:
        json.load(answer)
    return time.monotonic() - begun


async def print_uploads(address: str, process: psutil.Process) -> None:
    """Tell how long recordings take, and how late captions come meanwhile."""
    with io.BytesIO() as file:
        soundfile.write(file, noise(UPLOAD_S, 0), SR, format="WAV")
        recording = file.getvalue()
    for n in (1, 4):
        taken = await asyncio.gather(*(asyncio.to_thread(upload, address, recording) for _ in range(n)))
        print(f"uploads: {n} at once of {UPLOAD_S} s: {', '.join(f'{seconds:.1f}' for seconds in sorted(taken))} s")
    listening = asyncio.create_task(listen_at_once(address, MEASURED))
    n_answers = 0
    while not listening.done():
        await asyncio.to_thread(upload, address, recording)
        n_answers += 1
    print(f"uploads: one after the other, {n_answers} meanwhile: {describe(listening.result())}", flush=True)


async def come_and_go(address: str, numbers: Iterator[int], until: float) -> None:
    """One stream after the other."""
    while time.monotonic() < until:
        number = next(numbers)
        y = noise(5 + number % 11, number)
        async with live(address) as stream:
            reading = asyncio.create_task(drain(stream))
            await speak(stream, y, time.monotonic())
            if number % 2:
                stream.transport.abort()
            else:
                await stream.send("end")
            await reading


async def drain(stream: ClientConnection) -> None:
    """Take messages until the stream is closed."""
    with suppress(ConnectionClosed):
        async for _ in stream:
            pass


async def print_memory(address: str, process: psutil.Process, minutes: float) -> None:
    """Tell the memory of the program each tenth of the time."""
    numbers, begun = count(), time.monotonic()
    until = begun + 60 * minutes
    print(f"memory: {process.memory_info().rss / 2**20:.0f} MiB before the first stream", flush=True)
    tasks = [asyncio.create_task(come_and_go(address, numbers, until)) for _ in range(COMING_AND_GOING)]
    for tenth in range(1, 11):
        await asyncio.sleep(max(0, begun + 6 * minutes * tenth - time.monotonic()))
        megabytes = process.memory_info().rss / 2**20
        print(
            f"memory: {megabytes:.0f} MiB after {minutes * tenth / 10:.1f} minutes; {process.num_threads()} threads, "
            f"{process.num_fds()} files",
            flush=True,
        )
    await asyncio.gather(*tasks)
    print(f"memory: {next(numbers)} streams", flush=True)


if __name__ == "__main__":
    main()
