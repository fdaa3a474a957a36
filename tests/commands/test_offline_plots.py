"""The page template that needs no network: it has the scripts inside, and DVC is set to use it."""

import re

from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer

from stages.commands import offline_plots


def test_the_template_has_the_scripts_and_loads_nothing(tmp_path, monkeypatch, capsys):
    asked, configured = [], []

    def download(address, folder, *, known_hash, **options):
        asked.append((address, known_hash))
        name = address.rsplit("/", 1)[1]
        (tmp_path / name).write_text(f"code of {name}: 100 % 日本", encoding="utf-8")
        return tmp_path / name

    monkeypatch.setattr(offline_plots, "download", download)
    monkeypatch.setattr(offline_plots, "dvc", lambda *arguments: configured.append(arguments))
    template = tmp_path / "made/page.html"
    offline_plots.main(["--template", str(template)])
    text = (
        HTML(template.read_text(encoding="utf-8")).with_scripts(VegaRenderer.SCRIPTS).with_element("<p>chart").embed()
    )
    scripts = [f"<script>code of {name}.min.js: 100 % 日本</script>" for name in ("vega", "vega-lite", "vega-embed")]
    assert "\n".join(scripts) in text
    assert "<p>chart" in text
    assert "http" not in text
    assert configured == [("config", "--local", "plots.html_template", str(template))]
    assert asked[0] == (
        "https://cdn.jsdelivr.net/npm/vega@5.20.2/build/vega.min.js",
        f"sha256:{offline_plots.PACKAGES['vega@5.20.2']}",
    )
    assert "no network" in capsys.readouterr().out


def test_the_versions_are_those_that_the_pages_of_dvc_load():
    assert re.findall(r"npm/([\w-]+@[\d.]+)", VegaRenderer.SCRIPTS) == list(offline_plots.PACKAGES)
