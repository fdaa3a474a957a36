"""Let the pages of `dvc plots` work without a network: `python -m stages.commands.offline_plots`.

DVC's charts load Vega from jsDelivr each time that a page is opened. This downloads the same files once, keeps them in
the user's cache folder, writes a page template with them inside, and makes it that of this clone
(`dvc config --local`). The template is 0.8 MB of third-party code, so it is written on demand and not kept in the
repository.
"""

import argparse
from pathlib import Path

from stages.commands.dvc import dvc
from stages.lib.core.errors import run
from stages.lib.core.files import atomic_write, cache_folder
from stages.lib.download import download

# As dvc_render names them in its pages; a test holds them to that. The hashes are of build/<name>.min.js.
PACKAGES = {
    "vega@5.20.2": "4794d0169cb1f3ebad8117fe98ba5bd652dd725905ec0384e832391dbccb03be",
    "vega-lite@5.2.0": "d73157451b3978015ab31dacd55ff90d986ab8663fc0abed50f97b3cd90002cb",
    "vega-embed@6.18.2": "1ba9826431ddc9805e815ad92acc811c819f2bfd32bda2a128b8c4b5070fab5e",
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
    scripts = [get_script(package).read_text(encoding="utf-8") for package in PACKAGES]
    page = PAGE % "\n".join(f"<script>{script}</script>" for script in scripts)
    with atomic_write(args.template) as tmp_path:
        tmp_path.write_text(page, encoding="utf-8")
    dvc("config", "--local", "plots.html_template", str(args.template.resolve()))
    print(f"offline_plots: pages of 'dvc plots' in this clone use {args.template}, and no network")


def get_script(package: str) -> Path:
    """The code of a package for browsers, downloaded where it is not in the cache folder. Raises `SourceError`."""
    name = package.split("@")[0]
    return download(
        f"https://cdn.jsdelivr.net/npm/{package}/build/{name}.min.js",
        cache_folder() / "vega",
        known_hash=f"sha256:{PACKAGES[package]}",
        check=lambda path: None,
        otherwise="use the pages with a network",
    )


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
