"""The options of the listen command."""

import argparse
import ipaddress
import os
import secrets
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from stages.commands.models import MODELS
from stages.commands.predict.options import number, whole

TOKEN_VARIABLE = "EAR_LISTEN_TOKEN"
MIN_TOKEN = 16  # characters: nobody guesses as many over a network


@dataclass(frozen=True)
class Settings:
    """What the server accepts.

    `token` is None where whoever reaches the address may use it, since only this machine does. `hosts` are the names
    under which the server is addressed, None for any; `origins` those of pages that may use it besides its own.
    """

    token: str | None = None
    hosts: frozenset[str] | None = frozenset({"127.0.0.1", "::1", "localhost"})
    origins: frozenset[str] = field(default_factory=frozenset)
    secure: bool = False  # whether cookies are sent over HTTPS only
    max_streams: int = 20
    max_upload_bytes: int = 200_000_000
    max_length_s: float = 3600.0
    webhook: str | None = None
    recordings: Path | None = None  # where takes of sounds to learn are kept, None where the page makes none


def parse_args(argv: list[str] | None, description: str) -> argparse.Namespace:
    """Read the options; `settings` gets what the server accepts."""
    default = Settings()
    parser = argparse.ArgumentParser(prog="python -m stages.commands.listen", description=description)
    which = parser.add_argument_group("the model")
    which.add_argument("--model", help=f"a model file, or a name in {MODELS}, such as fold_10")
    which.add_argument("--rev", help="of this commit, branch, tag or DVC experiment; default: the workspace")

    address = parser.add_argument_group("the address")
    address.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s: this machine alone)")
    address.add_argument("--port", type=partial(whole, 0, 65535), default=8000, help="(%(default)s; 0: any free one)")
    address.add_argument("--certificate", type=Path, metavar="PEM", help="serve HTTPS, with this certificate")
    address.add_argument("--key", type=Path, metavar="PEM", help="the private key of --certificate")
    address.add_argument("--root-path", default="", metavar="/PATH", help="where a proxy puts it, such as /ear")
    address.add_argument(
        "--origin",
        action="append",
        default=[],
        type=origin,
        metavar="URL",
        help="of a proxy, or of another page that may use it, such as https://home.example; may be repeated",
    )

    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-streams", type=partial(whole, 1, 1000), default=default.max_streams, metavar="N",
        help="live streams at once (%(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--max-upload", type=partial(whole, 1, 100_000), default=default.max_upload_bytes // 1_000_000, metavar="MB",
        help="size of a recording in megabytes (%(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--max-length", type=partial(number, 1, None), default=default.max_length_s, metavar="S",
        help="length of a recording in seconds (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--recordings", type=Path, metavar="DIR", help="keep takes of sounds to learn there")
    parser.add_argument("--webhook", type=web_address, metavar="URL", help="post each event of live streams there")

    args = parser.parse_args(argv)
    if args.rev and args.model and Path(args.model).suffix:
        parser.error("--rev takes a name for --model, not a file")
    if (args.certificate is None) != (args.key is None):
        parser.error("--certificate and --key belong together")
    if args.root_path and not (args.root_path.startswith("/") and not args.root_path.endswith("/")):
        parser.error(f"--root-path begins with / and does not end with it, found {args.root_path!r}")
    local = is_loopback(args.host)
    token = None if local and not args.origin else os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(24)
    if token is not None and len(token) < MIN_TOKEN:
        parser.error(f"{TOKEN_VARIABLE}: expected at least {MIN_TOKEN} characters, found {len(token)}")
    args.settings = Settings(
        token=token,
        hosts=default.hosts if token is None else None,
        origins=frozenset(args.origin),
        secure=args.certificate is not None,
        max_streams=args.max_streams,
        max_upload_bytes=args.max_upload * 1_000_000,
        max_length_s=args.max_length,
        webhook=args.webhook,
        recordings=args.recordings,
    )
    return args


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def web_address(text: str) -> str:
    """An address of HTTP. Raises `ArgumentTypeError`."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"expected an address such as https://home.example/hook, found {text!r}")
    return text


def origin(text: str) -> str:
    """An origin as browsers send it. Raises `ArgumentTypeError`."""
    parts = urlsplit(web_address(text))
    if parts.path.rstrip("/") or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(f"expected scheme, name and port alone, found {text!r}")
    return f"{parts.scheme}://{parts.netloc}".lower()
