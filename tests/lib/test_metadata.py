"""What a model file says about its network: read in this version, from earlier ones, and refused from later ones."""

import json
import zipfile

import numpy as np
import pytest

from helpers.metadata import VALUES, change_metadata, make_metadata
from helpers.repository import ROOT
from stages.lib.core.errors import ModelError
from stages.lib.inference.runtime import open_model
from stages.lib.inference.streaming import StreamingClassifier
from stages.lib.model.archive import METADATA_MEMBER, read_metadata
from stages.lib.model.calibration import Calibration
from stages.lib.model.metadata import SCHEMA_VERSION, dump_metadata, parse_metadata
from stages.lib.model.segments import SegmentParams
from stages.lib.split.folds import Split

# A tiny untrained network that the code of version 0.1 wrote, with the probabilities that the same code gave.
OLD_FILE = ROOT / "tests/data/tones_0.1.keras"
OLD_PROBABILITIES = [[0.163851, 0.396445, 0.439704], [0.166463, 0.348523, 0.485014]]
OLD_ROWS = [*3 * [[0.151637, 0.120128, 0.728234]], [0.15173, 0.120085, 0.728185], [0.151823, 0.120041, 0.728136]]


def test_a_file_of_version_0_1_says_the_same():
    metadata = read_metadata(OLD_FILE)
    assert metadata.schema_version == 1
    assert (metadata.name, metadata.classes, metadata.longest) == ("fold_3", ["low", "middle", "high"], 67)
    assert metadata.split == Split(train=[1], validation=2, test=3)
    assert metadata.segment == SegmentParams(duration_s=0.5, overlap_s=0.25, pad="mask")
    assert (metadata.featurize.sr, metadata.featurize.compression) == (8000, "log")
    assert (metadata.train.model, metadata.train.epochs) == ("tiny", 6)
    assert metadata.calibration == Calibration(
        temperature=0.8, thresholds={"low": 0.31, "middle": 0.4, "high": 0.52}, folds=[2]
    )


def test_a_file_of_version_0_1_predicts_the_same():
    model = open_model(OLD_FILE)
    segments = np.sin(np.arange(2 * 30 * 8) / 7).reshape(2, 30, 8).astype(np.float32) * 3 - 5
    np.testing.assert_allclose(model.predict(segments), OLD_PROBABILITIES, atol=2e-6)
    stream = StreamingClassifier(model, 8000)
    tone = (0.3 * np.sin(2 * np.pi * 900 * np.arange(8000) / 8000)).astype(np.float32)
    rows = [stream.push(tone[:, np.newaxis]), stream.finish()]
    np.testing.assert_allclose(np.concatenate([part.probabilities for part in rows]), OLD_ROWS, atol=2e-6)


def test_what_is_written_is_read_again():
    metadata = make_metadata()
    text = dump_metadata(metadata)
    assert parse_metadata(text) == metadata
    assert dump_metadata(parse_metadata(text)) == text
    values = {key: value for key, value in json.loads(text).items() if value is not None}
    assert values == VALUES | {"schema_version": 1}


def test_a_field_of_a_later_version_is_kept():
    text = dump_metadata(make_metadata(licence_of_weights="MIT", calibration={"method": "new"}))
    values = json.loads(dump_metadata(parse_metadata(text)))
    assert (values["licence_of_weights"], values["calibration"]["method"]) == ("MIT", "new")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"schema_version": SCHEMA_VERSION + 1},
            rf"written by a newer urban-ear: its metadata has schema_version {SCHEMA_VERSION + 1}, this code reads up "
            rf"to {SCHEMA_VERSION}; update the code, or run 'dvc repro train'$",
        ),
        ({"schema_version": 0}, "schema_version: expected a value greater than or equal to 1, found 0"),
        ({"schema_version": "1"}, "cannot be used by this version of urban-ear: schema_version: expected a whole"),
        ({"split": None}, "split: expected .*, found None; run 'dvc repro train'$"),
        ({"dataset": {"title": 3}}, r"dataset\.title: expected a string, found 3; run"),
        ({"segment": {"pad": "zeros"}}, r"segment\.pad: expected 'repeat', 'silence' or 'mask', found 'zeros'"),
        ({"classes": ["dog", 1]}, r"classes\[1\]: expected a string, found 1"),
        ({"train": {"backend": "caffe"}}, r"train\.backend: expected 'tensorflow', 'jax' or 'torch', found 'caffe'"),
    ],
)
def test_what_this_version_cannot_use_is_named(changes, message):
    with pytest.raises(ModelError, match=message) as caught:
        make_metadata(**changes)
    assert "\n" not in str(caught.value)


def test_all_that_is_missing_is_named():
    values = {key: value for key, value in VALUES.items() if key not in ("floor", "kind")}
    with pytest.raises(ModelError, match="version of urban-ear: kind is missing; floor is missing; run 'dvc repro"):
        parse_metadata(json.dumps(values))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", b"\xff"])
def test_what_is_no_json_object_is_named(text):
    with pytest.raises(ModelError, match="its metadata is not a JSON object; export it again"):
        parse_metadata(text, repair="export it again")


def test_the_file_is_named(tmp_path):
    path = tmp_path / "x.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(METADATA_MEMBER, '{"schema_version": 7}')
    with pytest.raises(ModelError, match=r"x\.keras: written by a newer urban-ear: .* schema_version 7"):
        read_metadata(path)


def test_without_calibration_probabilities_stay_as_they_are():
    metadata = change_metadata(make_metadata(), calibration=None)
    assert (metadata.temperature, metadata.thresholds) == (1.0, None)


def test_with_calibration_its_numbers_are_used():
    metadata = make_metadata(calibration={"temperature": 1.5, "thresholds": {"low": 0.2}})
    assert (metadata.temperature, metadata.thresholds) == (1.5, {"low": 0.2, "middle": 0.5, "high": 0.5})
