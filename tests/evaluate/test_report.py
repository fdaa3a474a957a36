"""The report of evaluate and its pictures, without a model: from generated predictions."""

import base64
import html.parser
import io
import re

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers.metadata import change_metadata, make_metadata
from helpers.predictions import NAMES, PARAMS, generate_predictions
from helpers.repository import ROOT
from stages.evaluate.confusions import find_misclassifications
from stages.evaluate.evaluation import evaluate
from stages.evaluate.event_scores import COUNTS
from stages.evaluate.plots import (
    plot_confusion,
)
from stages.evaluate.predictions import FoldPredictions
from stages.evaluate.published import differences, find_protocol, read_published
from stages.evaluate.report import LISTEN_S, LISTEN_SR, N_EXAMPLES, Run, choose_examples, encode_mp3, render_report
from stages.evaluate.scores import count_confusions
from stages.evaluate.soundscapes import SOUNDSCAPE_COLUMNS, SoundscapeDetections
from stages.evaluate.strong_labels import RECORDING_COLUMNS, RecordingDetections
from stages.evaluate.unknown import UNKNOWN_COLUMNS
from stages.lib.core.errors import AudioError, DataError
from stages.lib.model.calibration import Calibration
from stages.lib.plotting import save_figure

DATA = {"name": "sample", "title": "Sample (synthetic)", "synthetic": True, "licence": "CC0-1.0", "citation": None}


def model(test, train=(2,), validation=None, calibration=None):
    """Metadata of a model that was tested on the fold `test`."""
    return make_metadata(
        name=f"fold_{test}",
        split={"train": list(train), "validation": validation, "test": test},
        featurize={"sr": 22050, "fmax": 8000.0},
        calibration=calibration,
    )


def load_tone(clip):
    if clip == "1.wav":
        raise AudioError(f"{clip}: cannot be read as audio (No such file or directory)")
    return np.sin(np.arange(10 * LISTEN_SR) / 10).astype(np.float32)


def unknown_sounds(*rows, model="fold_1"):
    """Rows of `unknown.csv`: kind, recording, class and confidence."""
    table = pd.DataFrame(rows, columns=["kind", "recording", "class", "confidence"])
    return table.assign(model=model, duration_s=10.0, n_named=1, named_s=1.0, unsure_s=0.0)[UNKNOWN_COLUMNS]


UNKNOWN = unknown_sounds(("noise", "white -20 dB", "siren", 0.95), ("noise", "pink -20 dB", "", 0.0))


def evaluate_table(predictions, classes=NAMES, counts=None, unknown=None, of_recordings=None, left_out=()):
    """The evaluation of a table of clips, each of which is its own segment.

    `counts` are those of soundscapes, `of_recordings` those of a recording of each fold.
    """
    folds = [
        FoldPredictions(
            name=f"fold_{fold}",
            fold=fold,
            segments=rows.assign(start_s=0.0),
            clips=rows,
            soundscapes=SoundscapeDetections(
                pd.DataFrame(columns=SOUNDSCAPE_COLUMNS),
                {} if counts is None else {"steady": counts},
                {} if counts is None else {"steady": (0.0, 0.0)},
                None,
            ),
            recordings=RecordingDetections(
                pd.DataFrame({"recording": [f"{fold}.wav"]}, columns=RECORDING_COLUMNS),
                of_recordings,
                [],
            ),
        )
        for fold, rows in predictions.groupby("fold")
    ]
    return evaluate(folds, [UNKNOWN] if unknown is None else [unknown], classes, PARAMS, left_out)


def render(
    predictions,
    data=DATA,
    classes=NAMES,
    models=None,
    pictures=(),
    load=load_tone,
    counts=None,
    unknown=None,
    sources="given by the table",
    rejected=(),
    of_recordings=None,
    left_out=(),
):
    models = models or [model(1), model(2, train=(1,))]
    table = pd.DataFrame(rejected, columns=["clip", "reasons"])
    run = Run(data, sources, classes, len(predictions), [1, 2], models, table)
    evaluation = evaluate_table(predictions, classes, counts, unknown, of_recordings, left_out)
    soundscape = ROOT / "metrics/evaluate/confusion.png"  # any picture will do
    protocols = read_published(ROOT / "data/published.yaml")
    return render_report(run, evaluation, pictures, soundscape, load, protocols, "0123abcd")


def test_soundscapes_have_their_scores_and_classes():
    counts = pd.DataFrame([[3, 1, 2] * 3, [0] * 9], columns=COUNTS, index=pd.Index(NAMES[::2], name="class"))
    text = section(render(generate_predictions(n_folds=1), counts=counts), "soundscapes")
    assert "They hold 4 events." in text
    assert "event F1 0.667 3 of 4 2 an event is found where" in text  # found and false next to each F1
    assert f"segment-based F1 {NAMES[0]} 4 3 2 3 2 0.667" in text
    assert NAMES[2] not in text


def test_an_event_score_of_zero_stands_next_to_what_was_found():
    """Names right, edges wrong: the strict score alone would read as if nothing had been detected."""
    counts = pd.DataFrame([[0, 4, 4, 4, 0, 0, 9, 1, 2]], columns=COUNTS, index=pd.Index(NAMES[:1], name="class"))
    text = section(render(generate_predictions(n_folds=1), counts=counts), "soundscapes")
    assert "event F1 0.000 0 of 4 4" in text
    assert "by intersection 1.000 4 of 4 0" in text
    assert "names are right and the edges are not" in text


def test_rejected_clips_are_counted_by_their_first_reason():
    rejected = [("a.wav", "silent: peak -90 dB; too_short: 0.01 s"), ("b.wav", "silent: peak -80 dB")]
    rejected.append(("<c>.wav", "truncated: 3 of 4 s: the file ends early"))
    text = section(render(generate_predictions(), rejected=rejected), "data")
    assert "90 of 93 clips were accepted, of 3 classes in 2 folds; 3 were rejected: " in text
    assert "silent 2 a.wav: peak -90 dB truncated 1 <c>.wav: 3 of 4 s: the file ends early" in text
    assert "too_short" not in text


def test_a_page_without_rejected_clips_says_so(sample_page):
    text = section(sample_page, "data")
    assert text.endswith("90 of 90 clips were accepted, of 3 classes in 2 folds; none were rejected.")


def test_metrics_are_few_enough_to_compare_at_a_glance():
    """All that a run can have: several folds, soundscapes, labelled recordings, noise, recordings of other sounds."""
    counts = pd.DataFrame([[3, 1, 2] * 3] * len(NAMES), columns=COUNTS, index=pd.Index(NAMES, name="class"))
    unknown = pd.concat([UNKNOWN, unknown_sounds(("recordings", "a.wav", NAMES[1], 0.99))])
    metrics = evaluate_table(generate_predictions(n_folds=2), NAMES, counts, unknown, of_recordings=counts).metrics
    assert {"accuracy", "accuracy_low", "accuracy_high", "accuracy_std"} < set(metrics)
    assert {"soundscape_event_f1", "noise_confident_rate", "unknown_confident_rate"} < set(metrics)
    assert {"n_recordings", "recordings_event_f1", "recordings_segment_f1"} < set(metrics)
    assert len(metrics) <= 20


def test_without_soundscapes_the_page_says_so():
    section = render(generate_predictions()).split('<h2 id="soundscapes">')[1].split("<h2")[0]
    assert "This run has none." in section
    assert "<img" not in section


def test_recordings_have_their_section_where_some_were_scored(sample_page):
    counts = pd.DataFrame([[3, 1, 2] * 3, [0] * 9], columns=COUNTS, index=pd.Index(NAMES[::2], name="class"))
    page = render(generate_predictions(n_folds=1), of_recordings=counts, left_out=["recording <x>.wav: is short"])
    text = section(page, "recordings")
    assert "They are 1, with 4 events." in text
    assert "event F1 0.667 3 of 4 2 an event is found where" in text
    assert f"segment-based F1 {NAMES[0]} 4 3 2 3 2 0.667" in text
    assert text.endswith("recording <x>.wav: is short")
    assert "This run has none." in section(page, "soundscapes")
    assert 'href="#recordings"' in page
    assert "recordings" not in {attributes.get("id") for _, attributes in Page(sample_page).tags}
    assert 'href="#recordings"' not in sample_page


def test_where_no_recording_was_scored_the_page_says_why():
    text = section(render(generate_predictions(), left_out=["recordings not scored: 2"]), "recordings")
    assert text == "Events in your recordings recordings not scored: 2"


def section(page, name):
    """The words of one section of a page, with its heading."""
    _, after = page.split(f'<h2 id="{name}">')
    return " ".join(Page(f"<h2>{after.split('<h2')[0]}").text.split())


def test_unknown_sounds_are_listed_by_kind_and_confidence():
    recordings = [("recordings", "a.wav", NAMES[1], 0.99), ("recordings", "b.wav", "siren", 0.6)]
    text = section(render(generate_predictions(), unknown=pd.concat([UNKNOWN, unknown_sounds(*recordings)])), "unknown")
    assert "confidence of at least noise (2) recordings (2) any 50.0% 100.0% 50% 50.0% 100.0%" in text
    assert "70% 50.0% 50.0%" in text
    assert "95% 50.0% 50.0%" in text
    assert "Recordings: those of the folder evaluate.unknown ." in text
    assert f"Named with 90% or more, of recordings: {NAMES[1]} (1)" in text
    assert "Named with 90% or more, of noise: siren (1)" in text


def test_a_page_without_recordings_of_other_sounds_says_so(sample_page):
    text = section(sample_page, "unknown")
    assert "No recordings of other sounds were given ( evaluate.unknown )" in text
    assert "recordings (" not in text


def test_a_page_warns_where_each_file_is_its_own_source(sample_page):
    warning = "Each file counts as a source of its own,"
    assert warning not in section(sample_page, "numbers")
    assert warning in section(render(generate_predictions(), sources="one per file"), "numbers")


@pytest.fixture(scope="module")
def sample_page():
    """The page of the synthetic sample, for the tests that only look at it."""
    return render(generate_predictions())


class Page(html.parser.HTMLParser):
    """The tags of a page with their attributes, and its text; fails where tags do not close in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self._open = [], "", []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data} "

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_a_page_asks_for_nothing_from_the_network(tmp_path):
    predictions = generate_predictions()
    matrix = count_confusions(predictions["truth"], predictions["predicted"], NAMES)
    save_figure(tmp_path / "confusion.png", plot_confusion(matrix, NAMES, "title"))
    text = render(predictions, pictures=[(tmp_path / "confusion.png", "Clips by class.")])
    page = Page(text)
    addresses = [v for _, attributes in page.tags for key, v in attributes.items() if key in ("src", "href", "data")]
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not page.all("script")
    assert not page.all("link")
    assert "url(" not in text
    assert "@import" not in text
    policy = page.all("meta")[2]["content"]
    assert policy.startswith("default-src 'none'")
    assert page.all("img")[0]["src"].startswith("data:image/png;base64,")
    assert page.all("img")[0]["alt"] == "Clips by class."


def test_anchors_lead_somewhere(sample_page):
    page = Page(sample_page)
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link["href"][1:] for link in page.all("a")} == ids


def test_names_are_text_and_not_markup(sample_page):
    text = sample_page
    assert "&lt;b&gt;dog &amp; bark&lt;/b&gt;" in text
    assert "<b>dog" not in text


def test_synthetic_data_is_called_so_and_stands_next_to_no_published_figure(sample_page):
    text = Page(sample_page).text
    assert "Synthetic data." in text
    assert 'id="published"' not in sample_page
    assert "SB-CNN" not in text


def test_confident_misclassifications_can_be_played(sample_page):
    page = Page(sample_page)
    chosen = choose_examples(find_misclassifications(generate_predictions(), NAMES))
    sounds = [tag["src"] for tag in page.all("audio")]
    assert len(sounds) == len(chosen) - (chosen["clip"] == "1.wav").sum() > 3
    kind, content = sounds[0].split(",", 1)
    assert kind == "data:audio/mpeg;base64"
    samples, sr = soundfile.read(io.BytesIO(base64.b64decode(content)))
    assert sr == LISTEN_SR
    assert len(samples) / sr == pytest.approx(LISTEN_S, abs=0.1)  # MP3 pads by a frame or two


def test_a_clip_that_cannot_be_read_says_so():
    predictions = generate_predictions()
    predictions.loc[1, ["truth", "predicted", "p_car_horn", "p_siren"]] = ["siren", "car_horn", 1.0, 0.0]
    page = Page(render(predictions))
    assert "1.wav: cannot be read as audio (No such file or directory)" in page.text


def test_examples_are_bounded_and_one_per_source_and_confusion():
    predictions = generate_predictions(n=3000)
    predictions["source"] = (predictions.index // 300).astype(str)  # many clips per source, of all classes
    chosen = choose_examples(find_misclassifications(predictions, NAMES))
    assert len(chosen) == N_EXAMPLES
    assert not chosen.duplicated(["source", "truth", "predicted"]).any()
    assert len(render(predictions, load=lambda clip: np.zeros(4 * LISTEN_SR, np.float32))) < 3_000_000


@pytest.mark.parametrize("n_samples", [0, 1, 1000, 4 * LISTEN_SR])
def test_sounds_of_any_length_are_encoded(n_samples):
    assert len(encode_mp3(np.zeros(n_samples, np.float32), LISTEN_SR)) < 100_000


def test_no_test_fold_makes_a_page_that_says_so():
    text = Page(render(generate_predictions(n=0), models=[model(None, train=(1, 2))])).text
    assert "there is nothing to score" in text
    assert "trained on folds 1, 2" in text


def test_one_fold_is_called_a_quick_look():
    text = " ".join(Page(render(generate_predictions(n_folds=1), models=[model(1)])).text.split())
    assert "90 clips of fold 1. One fold is a quick look" in text


def test_confidence_names_temperature_and_thresholds_with_the_clips_they_rest_on():
    classes = model(1).classes
    old = Calibration(temperature=1.25, thresholds=dict.fromkeys(classes, 0.625), folds=[2])  # as of version 0.1
    new = old.model_copy(update={"n_clips": dict.fromkeys(classes, 8), "limited": True})
    models = [model(i).model_copy(update={"calibration": fitted}) for i, fitted in ((1, new), (2, old), (3, None))]
    text = section(render(generate_predictions(), models=models), "confidence")
    assert "Not calibrated: fold_3." in text
    assert "fold_1 1.25 24 2 held at a limit:" in text
    assert "fold_2 1.25 – 2 Thresholds class fold_1 fold_2 low 0.62 (8) 0.62" in text


def test_a_class_may_be_called_anything():
    names = ["$1 to $2", "\U0001f415 dog", "a" * 200]
    text = Page(render(generate_predictions(classes=names), classes=names)).text
    assert all(name in text for name in names)


def test_the_card_names_licence_and_citation_of_pretrained_weights():
    weights = {"title": "Net", "sha256": "0" * 64, "licence": "CC BY <4.0>", "citation": "A. Author, 2026"}
    begun = change_metadata(model(1), weights=weights)
    page = render(generate_predictions(n_folds=1), models=[begun])
    for text in ("Net, sha256", "0" * 64, "licence of the weights", "CC BY &lt;4.0&gt;", "A. Author, 2026"):
        assert text in page
    assert "pretrained weights" not in render(generate_predictions(n_folds=1), models=[model(1)])


def test_the_card_names_the_band():
    models = [model(1)]
    text = Page(render(generate_predictions(n_folds=1), models=models)).text
    assert "above 8000 Hz" in text


URBANSOUND8K = {"name": "urbansound8k", "title": "UrbanSound8K", "synthetic": False, "licence": "x", "citation": "y"}
TEN = [f"class {i}" for i in range(10)]


def test_a_run_of_another_protocol_is_set_next_to_published_results_with_a_warning():
    predictions = generate_predictions(n=100, classes=TEN, n_folds=2)
    models = [model(1, validation=2), model(2, train=(1,))]
    text = " ".join(Page(render(predictions, URBANSOUND8K, TEN, models)).text.split())
    assert "Not to be compared as it stands" in text
    assert (
        "this run tests 2 of 10 folds; has 100 of 8,732 clips; trains on one fold less, which it keeps for validation"
        in text
    )
    assert re.search(r"this run \d+\.\d%", text)
    assert "SB-CNN with augmentation 79.0%" in text
    assert "UrbanSound8K; real recordings. Licence: x" in text


def test_a_run_of_the_protocol_has_no_difference():
    (protocol, *_) = read_published(ROOT / "data/published.yaml")
    assert differences(protocol, list(range(10, 0, -1)), 8732, validation=False) == []


def test_esc10_is_distinguished_from_esc50_by_its_classes():
    protocols = read_published(ROOT / "data/published.yaml")
    assert [find_protocol(protocols, "esc50", n).title for n in (10, 50)] == ["ESC-10", "ESC-50"]
    assert find_protocol(protocols, "folder", 10) is None


def test_every_published_figure_has_a_source():
    for protocol in read_published(ROOT / "data/published.yaml"):
        assert all(re.search(r"(19|20)\d\d", result.source) for result in protocol.results)
        assert len({result.name for result in protocol.results}) == len(protocol.results)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"published\.yaml: No such file or directory; restore it from Git"),
        ("- [", r"published\.yaml line 1: not valid YAML: "),
        ("- dataset: x", r"published\.yaml: \[0\]\.title is missing; .*; correct the table"),
        ("3", r"published\.yaml: expected a list, found 3; correct the table"),
    ],
)
def test_an_invalid_table_is_named(tmp_path, content, message):
    path = tmp_path / "published.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_published(path)
