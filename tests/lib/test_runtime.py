"""Model files: how they are opened, and what is refused."""

import pytest

from helpers.tone_model import tone_metadata, tone_model
from stages.lib.core.errors import ModelError
from stages.lib.inference.runtime import LOADERS, Network, open_model


def opened(monkeypatch, tmp_path, **changed):
    network = {"metadata": tone_metadata(), "shape_in": (30, 16), "shape_out": (3,), "score": tone_model().score}
    network |= changed
    monkeypatch.setitem(LOADERS, ".test", lambda path: Network(**network))
    (tmp_path / "a.test").touch()
    return open_model(tmp_path / "a.test")


def test_a_model_is_opened_by_its_suffix(monkeypatch, tmp_path):
    model = opened(monkeypatch, tmp_path)
    assert (model.length, model.n_features) == (30, 16)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"shape_in": (30, 12)},
            r"a\.test: expects segments of shape \(30, 12\), its metadata says 16 numbers per frame; run",
        ),
        ({"shape_out": (4,)}, r"a\.test: has outputs \(4,\) for 3 classes; run 'dvc repro train'"),
    ],
)
def test_a_network_that_does_not_fit_its_metadata_is_refused(changed, message, monkeypatch, tmp_path):
    with pytest.raises(ModelError, match=message):
        opened(monkeypatch, tmp_path, **changed)


def test_what_is_not_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"a\.wav: expected a model file, which ends in \.keras"):
        open_model(tmp_path / "a.wav")
    with pytest.raises(ModelError, match=r"a\.keras: no such model; run 'dvc repro train' or 'dvc checkout'"):
        open_model(tmp_path / "a.keras")
    (tmp_path / "a.keras").write_text("no archive")
    with pytest.raises(ModelError, match=r"a\.keras: not a model of this pipeline \(File is not a zip file\)"):
        open_model(tmp_path / "a.keras")
