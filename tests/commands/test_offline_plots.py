"""The page template that needs no network: it has the scripts inside, and DVC is set to use it."""

import io
import re
import tarfile

import pytest
from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer

from stages.commands import offline_plots
from stages.lib.core.errors import SourceError


def write_package(path, name, script):
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(f"package/build/{name}.min.js")
        info.size = len(script.encode())
        archive.addfile(info, io.BytesIO(script.encode()))
    return path


def test_the_template_has_the_scripts_and_loads_nothing(tmp_path, monkeypatch, capsys):
    asked, configured = [], []

    def download(address, folder, *, known_hash, **options):
        asked.append((address, known_hash))
        name = address.split("/")[3]
        return write_package(tmp_path / f"{name}.tgz", name, f"code of {name}: 100 % 日本")

    monkeypatch.setattr(offline_plots, "download", download)
    monkeypatch.setattr(offline_plots, "dvc", lambda *arguments: configured.append(arguments))
    template = tmp_path / "made/page.html"
    offline_plots.main(["--template", str(template)])
    text = (
        HTML(template.read_text(encoding="utf-8")).with_scripts(VegaRenderer.SCRIPTS).with_element("<p>chart").embed()
    )
    scripts = [f"<script>code of {name}: 100 % 日本</script>" for name in ("vega", "vega-lite", "vega-embed")]
    assert "\n".join(scripts) in text
    assert "<p>chart" in text
    assert "http" not in text
    assert configured == [("config", "--local", "plots.html_template", str(template))]
    assert asked[0] == (
        "https://registry.npmjs.org/vega/-/vega-5.20.2.tgz",
        f"sha256:{offline_plots.PACKAGES['vega@5.20.2']}",
    )
    assert "no network" in capsys.readouterr().out


def test_the_versions_are_those_that_the_pages_of_dvc_load():
    assert re.findall(r"npm/([\w-]+@[\d.]+)", VegaRenderer.SCRIPTS) == list(offline_plots.PACKAGES)


def test_an_archive_of_something_else_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"other\.tgz: cannot be read .*vega\.min\.js.*; delete it and run again"):
        offline_plots.read_script("vega@1", write_package(tmp_path / "other.tgz", "other", "x"))
    (tmp_path / "broken.tgz").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"broken\.tgz: cannot be read"):
        offline_plots.read_script("vega@1", tmp_path / "broken.tgz")
