"""Takes of sounds to learn, sent to the listen command and kept in a folder."""

import io

import numpy as np
import pandas as pd
import pytest
import soundfile
from fastapi.testclient import TestClient

from helpers.tone_model import SR, scene, tone_model
from stages.commands.listen import takes
from stages.commands.listen.app import make_app
from stages.commands.listen.options import Settings
from stages.fetch.layouts import list_clips
from stages.fetch.sources import FetchParams, Source


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "recordings"


@pytest.fixture
def client(folder):
    app = make_app(tone_model, Settings(recordings=folder), tone_model)
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client


def wav(y=None, sr=SR):
    file = io.BytesIO()
    soundfile.write(file, scene() if y is None else y, sr, format="WAV", subtype="FLOAT")
    return file.getvalue()


def add(client, name, body=None):
    return client.post("/api/takes", params={"name": name}, content=wav() if body is None else body)


def test_takes_are_kept_listed_played_and_deleted(client, folder):
    (folder / "kettle").mkdir(parents=True)
    (folder / "kettle/mine.m4a").write_bytes(b"from elsewhere")
    first, second = (add(client, "door bell") for _ in range(2))
    assert first.status_code == 201
    assert first.json()["duration_s"] == 9
    files = [answer.json()["file"] for answer in (first, second)]
    y, sr = soundfile.read(folder / "door bell" / files[0])
    assert sr == SR
    np.testing.assert_allclose(y, scene(), atol=2**-23)
    assert client.get("/api/takes").json() == [
        {"name": "door bell", "takes": [{"file": file, "duration_s": 9} for file in files], "n_others": 0},
        {"name": "kettle", "takes": [], "n_others": 1},
    ]
    played = client.get(f"/api/takes/door bell/{files[0]}")
    assert played.content == (folder / "door bell" / files[0]).read_bytes()
    for file in files:
        assert client.delete(f"/api/takes/door bell/{file}").status_code == 204
    assert [path.name for path in folder.iterdir()] == ["kettle"]
    assert client.delete("/api/takes/kettle/mine.m4a").status_code == 404
    assert (folder / "kettle/mine.m4a").exists()


def test_the_folder_is_one_that_fetch_reads(client, folder):
    for name in ("door bell", "kettle"):
        for _ in range(3):
            assert add(client, name).status_code == 201
    source = Source(name="folder", title="own", synthetic=False, layout="folder")
    params = FetchParams(dataset="folder", source=str(folder), esc10=False, n_folds=3, source_from="file")
    clips = list_clips(folder, source, params).clips
    assert clips["class"].value_counts().to_dict() == {"door bell": 3, "kettle": 3}
    assert clips["source"].nunique() == 6


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", "a\\b", ".git", "C:x", " a", "a ", "fold1", "test", "unsure", "x" * 61, "a\nb"]
)
def test_names_that_are_none_are_refused(client, folder, name):
    answer = add(client, name)
    assert answer.status_code == 422
    assert "\n" not in answer.json()["detail"]
    assert not folder.exists()


REFUSED = {
    "no recording": (b"text", 422, "cannot be read as audio"),
    "empty": (b"", 400, "the request has no body"),
    "no samples": (wav(np.zeros(0)), 422, "holds no samples"),
    "not finite": (wav(np.array([0.1, np.nan])), 422, "some samples are NaN or infinite"),
    "cut off": (wav()[:-100], 422, "the header claims"),
    "an inverted channel": (wav(np.stack([scene(), -scene()], axis=1)), 422, "averaging the channels loses all"),
    "33 channels": (wav(np.ones((9, 33))), 422, "has 33 channels, expected at most 32"),
    "too long": (wav(np.zeros(1000 * 121), 1000), 422, "is longer than 120 s, which is the limit of a take"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_take_is_refused(client, folder, case):
    body, status, line = REFUSED[case]
    answer = add(client, "kettle", body)
    assert (answer.status_code, folder.exists()) == (status, False)
    assert line in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize("form", ["FLAC", "OGG", "MP3", "AIFF", "CAF"])
def test_a_take_may_come_in_any_format_that_predict_reads(client, folder, form):
    body = io.BytesIO()
    soundfile.write(body, np.stack([scene(44100)] * 2, axis=1), 44100, format=form)
    answer = add(client, "kettle", body.getvalue())
    assert (answer.status_code, answer.json()["duration_s"]) == (201, pytest.approx(9, abs=0.1))
    (file,) = (folder / "kettle").iterdir()
    y, sr = soundfile.read(file)
    assert (sr, y.ndim) == (44100, 1)
    n = min(len(y), 9 * sr)
    assert np.corrcoef(y[:n], scene(sr)[:n])[0, 1] > 0.99


def test_two_spellings_of_a_sound_are_refused(client):
    add(client, "door bell")
    assert "write each in one way" in add(client, "Doorbell").json()["detail"]


def test_a_folder_with_a_table_is_left_as_it_is(client, folder):
    folder.mkdir()
    pd.DataFrame({"path": [], "class": []}).to_csv(folder / "clips.csv")
    answer = add(client, "kettle")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("clips.csv: the folder of recordings has a table")


@pytest.mark.parametrize("path", ["kettle/../x", "%2e%2e/take-20260101-000000-000.wav", "kettle/..%2f..%2fetc"])
def test_no_path_of_the_disk_is_taken(client, path):
    add(client, "kettle")
    assert client.get(f"/api/takes/{path}").status_code == 404
    assert client.delete(f"/api/takes/{path}").status_code in (404, 405)


def test_without_a_folder_there_are_no_takes():
    with TestClient(make_app(tone_model, Settings(), tone_model), base_url="http://127.0.0.1:8000") as client:
        assert client.get("/api/takes").status_code == 404
    assert takes.MAX_S == 120
