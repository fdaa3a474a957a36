"""Let the pages of `dvc plots` work without a network: `python -m stages.commands.offline_plots`.

DVC's charts load Vega from a server each time that a page is opened. This downloads the same versions once from npm's
registry, keeps them in the user's cache folder, writes a page template with them inside, and makes it that of this
clone (`dvc config --local`). The template is 0.8 MB of third-party code, so it is written on demand and not kept in
the repository.
"""

import argparse
import tarfile
from pathlib import Path

from stages.commands.dvc import dvc
from stages.lib.core.errors import SourceError, run
from stages.lib.core.files import atomic_write
from stages.lib.download import cache_folder, download

# As dvc_render names them in its pages; a test holds them to that. The hashes are of npm's archives.
PACKAGES = {
    "vega@5.20.2": "d77deab01d6104b1239228720721f93003e60797d2faced7ffdd759fa70f989d",
    "vega-lite@5.2.0": "f64ca4745f043447ac86b67dc9e9592ec2b85ac8b8dafc35faf970f142463e4b",
    "vega-embed@6.18.2": "93aeee312e92077b0252ef026c0fe0ec8fa430c19825aeada6cd3a6804e68e1b",
}
PAGE = """\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
{refresh_tag}
<title>DVC plots</title>
%s
<style>table { border-spacing: 15px; }</style>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def main(argv: list[str] | None = None) -> None:
    """Download, write, configure."""
    args = parse_args(argv)
    scripts = [read_script(package, get_package(package)) for package in PACKAGES]
    page = PAGE % "\n".join(f"<script>{script}</script>" for script in scripts)
    with atomic_write(args.template) as tmp_path:
        tmp_path.write_text(page, encoding="utf-8")
    dvc("config", "--local", "plots.html_template", str(args.template.resolve()))
    print(f"offline_plots: pages of 'dvc plots' in this clone use {args.template}, and no network")


def get_package(package: str) -> Path:
    """The archive of a package, downloaded where it is not in the cache folder. Raises `SourceError`."""
    name, version = package.split("@")
    address = f"https://registry.npmjs.org/{name}/-/{name}-{version}.tgz"
    return download(
        address,
        cache_folder() / "npm",
        known_hash=f"sha256:{PACKAGES[package]}",
        check=lambda path: None,
        otherwise="use the pages with a network",
    )


def read_script(package: str, archive: Path) -> str:
    """The code for browsers in the archive of a package. Raises `SourceError`."""
    name = f"package/build/{package.split('@')[0]}.min.js"
    try:
        with tarfile.open(archive) as files:
            script = files.extractfile(name)
            if script is None:
                raise KeyError(name)
            return script.read().decode("utf-8")
    except (KeyError, tarfile.TarError, OSError) as error:
        raise SourceError(f"{archive}: cannot be read ({error}); delete it and run again") from None


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read where the template goes."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.commands.offline_plots", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--template",
        type=Path,
        default=Path(".dvc/tmp/offline_plots.html"),
        help="where to write it (default: %(default)s, which Git ignores)",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
