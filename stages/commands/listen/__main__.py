"""Caption sounds in a browser: `python -m stages.commands.listen`, then open the address that it prints.

The page sends the microphone, or a recording, to this program, which keeps nothing of it. Programs can do the same:
`POST /api/events` and `WS /api/live`, see docs/listen.md.
"""

import argparse
import socket
import ssl
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from stages.commands.fast_start import open_model
from stages.commands.listen.options import parse_args
from stages.commands.models import obtain_model
from stages.commands.predict.__main__ import describe
from stages.lib.core.errors import EarError, run
from stages.lib.inference.runtime import Model

ELSEWHERE = ("192.0.2.1", 9)  # an address that nobody has (RFC 5737)
GRACE_S = 3  # seconds that open connections get at the end


def main(argv: list[str] | None = None) -> None:
    """Serve until Ctrl-C. Raises `EarError`, also where a model that was named cannot be opened."""
    args = parse_args(argv, __doc__.splitlines()[0])
    try:
        import uvicorn
    except ModuleNotFoundError:
        raise EarError("fastapi and uvicorn are not installed; pip install fastapi uvicorn websockets") from None
    from stages.commands.listen.app import make_app
    from stages.commands.listen.live import MAX_MESSAGE

    problems: list[EarError] = []

    def end(problem: EarError) -> None:
        problems.append(problem)
        server.should_exit = True

    config = uvicorn.Config(
        make_app(
            partial(prepare_model, args.model, args.rev), args.settings, partial(prepare_model, None),
            give_up=end if args.model or args.rev else None,  # where none was named, one may be taught
        ),
        log_level="warning", access_log=False, root_path=args.root_path, ssl_certfile=args.certificate,
        ssl_keyfile=args.key, ws_max_size=MAX_MESSAGE, ws_per_message_deflate=False, server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )  # fmt: skip
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise EarError(f"{args.certificate}, {args.key}: cannot be used ({error.strerror or error})") from None
    with bind(args.host, args.port) as listening:
        for line in greeting(args.host, listening.getsockname()[1], args):
            print(f"listen: {line}", file=sys.stderr, flush=True)
        server = uvicorn.Server(config)
        server.run(sockets=[listening])
    if problems:
        raise problems[0]


def prepare_model(wanted: str | None, revision: str | None) -> Model:
    """Open the model that was asked for, and say which it is. Raises `EarError`."""
    with tempfile.TemporaryDirectory() as scratch:
        model = open_model(obtain_model(wanted, revision, Path(scratch)))
    model.score(np.zeros((1, model.length, model.n_features), np.float32))  # the first time is slow: not at a sound
    print(f"listen: {describe(model, revision)}", file=sys.stderr, flush=True)
    return model


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises `EarError` where that cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]  # create_server repeats the address
        raise EarError(f"{host}:{port}: {reason}; choose another with --host and --port") from None


def greeting(host: str, port: int, args: argparse.Namespace) -> list[str]:
    """What to open, and what to know about it."""
    scheme, token = "https" if args.certificate else "http", args.settings.token
    name = here() if host in ("0.0.0.0", "::") else host
    name = f"[{name}]" if ":" in name else name
    lines = [f"open {scheme}://{name}:{port}/{f'?token={token}' if token else ''} (Ctrl-C ends it)"]
    if token and not args.certificate and not args.settings.origins:
        lines.append(
            "without --certificate and --key browsers on other devices refuse the microphone, see docs/listen.md"
        )
    return lines


def here() -> str:
    """The address of this machine in its network, or its name where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)  # which sends nothing
            return probe.getsockname()[0]
        except OSError:
            return socket.gethostname()


if __name__ == "__main__":
    try:
        run(main)
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell counts it
