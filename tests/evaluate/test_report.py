"""The report of evaluate and its pictures, without a model: from generated predictions."""

import base64
import functools
import html.parser
import io
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib.text import Text

from helpers.metadata import make_metadata
from helpers.repository import ROOT
from stages.evaluate.confusions import find_misclassifications
from stages.evaluate.evaluation import evaluate
from stages.evaluate.event_scores import COUNTS
from stages.evaluate.plots import (
    plot_classes,
    plot_confusion,
    plot_confusion_shares,
    plot_folds,
    plot_groups,
    plot_precision_recall,
    plot_reliability,
    plot_roc,
)
from stages.evaluate.predictions import SOUNDSCAPE_COLUMNS, FoldPredictions
from stages.evaluate.published import differences, find_protocol, read_published
from stages.evaluate.report import LISTEN_S, LISTEN_SR, N_EXAMPLES, Run, choose_examples, encode_mp3, render_report
from stages.evaluate.scores import EvaluateParams, count_confusions, score
from stages.evaluate.unknown import UNKNOWN_COLUMNS
from stages.lib.core.errors import AudioError, DataError
from stages.lib.plotting import save_figure

PARAMS = EvaluateParams(
    n_bootstrap=20,
    calibration_bins=10,
    n_soundscapes=0,
    soundscape_s=6.0,
    soundscape_snr_db=[6.0, 20.0],
    unknown="",
    seed=1,
)
NAMES = ["siren", "<b>dog & bark</b>", "car_horn"]  # a class may be called anything
DATA = {"name": "sample", "title": "Sample (synthetic)", "synthetic": True, "licence": "CC0-1.0", "citation": None}


def generate(n=90, classes=NAMES, n_folds=2):
    rng = np.random.default_rng(0)
    number = np.arange(n) % len(classes)
    raw = rng.gamma(1.0, size=(n, len(classes)))
    raw[np.arange(n), number] += 1
    probabilities = (raw / raw.sum(axis=1, keepdims=True)).round(6)
    source = np.arange(n) // 3
    table = pd.DataFrame(
        {
            "clip": [f"{i}.wav" for i in range(n)],
            "fold": 1 + source % n_folds,
            "source": source.astype(str),
            "salience": rng.choice(["1", "2"], n),
            "duration_s": rng.uniform(0.1, 5, n),
            "truth": np.array(classes)[number],
            "predicted": np.array(classes)[raw.argmax(axis=1)],
        }
    )
    return table.join(pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes]))


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
    return table.assign(model=model, named_s=1.0, unsure_s=0.0)[UNKNOWN_COLUMNS]


UNKNOWN = unknown_sounds(("noise", "white -20 dB", "siren", 0.95), ("noise", "pink -20 dB", "", 0.0))


def evaluate_table(predictions, classes=NAMES, counts=None, unknown=None):
    """The evaluation of a table of clips, each of which is its own segment; `counts` are those of soundscapes."""
    folds = [
        FoldPredictions(
            name=f"fold_{fold}",
            fold=fold,
            segments=rows.assign(start_s=0.0),
            clips=rows,
            soundscapes=pd.DataFrame(columns=SOUNDSCAPE_COLUMNS),
            counts=counts,
            example=None,
        )
        for fold, rows in predictions.groupby("fold")
    ]
    return evaluate(folds, [UNKNOWN] if unknown is None else [unknown], classes, PARAMS)


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
):
    models = models or [model(1), model(2, train=(1,))]
    run = Run(data, sources, classes, len(predictions), [1, 2], models)
    evaluation = evaluate_table(predictions, classes, counts, unknown)
    soundscape = ROOT / "metrics/evaluate/confusion.png"  # any picture will do
    protocols = read_published(ROOT / "data/published.yaml")
    return render_report(run, evaluation, pictures, soundscape, load, protocols, "0123abcd")


def test_soundscapes_have_their_scores_and_classes():
    counts = pd.DataFrame([[3, 1, 2] * 3, [0] * 9], columns=COUNTS, index=pd.Index(NAMES[::2], name="class"))
    names = NAMES[::2]
    page = render(generate(n_folds=1), counts=counts)
    assert '<td>event F1</td><td class="n">0.667</td>' in page
    assert f'<tr><td>{names[0]}</td><td class="n">4</td><td class="n">0.667</td>' in page
    assert f'<tr><td>{names[1]}</td><td class="n">0</td>' not in page


def test_without_soundscapes_the_page_says_so():
    section = render(generate()).split('<h2 id="soundscapes">')[1].split("<h2")[0]
    assert "This run has none." in section
    assert "<img" not in section


def section(page, name):
    """The words of one section of a page, with its heading."""
    _, after = page.split(f'<h2 id="{name}">')
    return " ".join(Page(f"<h2>{after.split('<h2')[0]}").text.split())


def test_unknown_sounds_are_listed_by_kind_and_confidence():
    recordings = [("recordings", "a.wav", NAMES[1], 0.99), ("recordings", "b.wav", "siren", 0.6)]
    text = section(render(generate(), unknown=pd.concat([UNKNOWN, unknown_sounds(*recordings)])), "unknown")
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
    assert warning in section(render(generate(), sources="one per file"), "numbers")


@pytest.fixture(scope="module")
def sample_page():
    """The page of the synthetic sample, for the tests that only look at it."""
    return render(generate())


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
    predictions = generate()
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


def test_synthetic_data_is_called_so_and_stands_beside_no_published_figure(sample_page):
    text = Page(sample_page).text
    assert "Synthetic data." in text
    assert "Nothing is published on synthetic data" in text
    assert "SB-CNN" not in text


def test_confident_misclassifications_can_be_played(sample_page):
    page = Page(sample_page)
    chosen = choose_examples(find_misclassifications(generate(), NAMES))
    sounds = [tag["src"] for tag in page.all("audio")]
    assert len(sounds) == len(chosen) - (chosen["clip"] == "1.wav").sum() > 3
    kind, content = sounds[0].split(",", 1)
    assert kind == "data:audio/mpeg;base64"
    samples, sr = soundfile.read(io.BytesIO(base64.b64decode(content)))
    assert sr == LISTEN_SR
    assert len(samples) / sr == pytest.approx(LISTEN_S, abs=0.1)  # MP3 pads by a frame or two


def test_a_clip_that_cannot_be_read_says_so():
    predictions = generate()
    predictions.loc[1, ["truth", "predicted", "p_car_horn", "p_siren"]] = ["siren", "car_horn", 1.0, 0.0]
    page = Page(render(predictions))
    assert "1.wav: cannot be read as audio (No such file or directory)" in page.text


def test_examples_are_bounded_and_one_per_source_and_confusion():
    predictions = generate(n=3000)
    predictions["source"] = (predictions.index // 300).astype(str)  # many clips per source, of all classes
    chosen = choose_examples(find_misclassifications(predictions, NAMES))
    assert len(chosen) == N_EXAMPLES
    assert not chosen.duplicated(["source", "truth", "predicted"]).any()
    assert len(render(predictions, load=lambda clip: np.zeros(4 * LISTEN_SR, np.float32))) < 3_000_000


@pytest.mark.parametrize("n_samples", [0, 1, 1000, 4 * LISTEN_SR])
def test_sounds_of_any_length_are_encoded(n_samples):
    assert len(encode_mp3(np.zeros(n_samples, np.float32), LISTEN_SR)) < 100_000


def test_no_test_fold_makes_a_page_that_says_so():
    text = Page(render(generate(n=0), models=[model(None, train=(1, 2))])).text
    assert "there is nothing to score" in text
    assert "trained on folds 1, 2" in text


def test_one_fold_is_called_a_quick_look():
    text = " ".join(Page(render(generate(n_folds=1), models=[model(1)])).text.split())
    assert "90 clips of fold 1. One fold is a quick look" in text


def test_the_card_names_temperature_and_band():
    models = [model(1, calibration={"temperature": 1.25, "thresholds": {}, "folds": [2]})]
    text = Page(render(generate(n_folds=1), models=models)).text
    assert "calibrated by temperature on the validation fold: 1.25" in text
    assert "above 8000 Hz" in text


URBANSOUND8K = {"name": "urbansound8k", "title": "UrbanSound8K", "synthetic": False, "licence": "x", "citation": "y"}
TEN = [f"class {i}" for i in range(10)]


def test_a_run_of_another_protocol_is_set_beside_published_results_with_a_warning():
    predictions = generate(n=100, classes=TEN, n_folds=2)
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


def test_esc10_is_told_from_esc50_by_its_classes():
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


FIGURES = {
    "classes": lambda p, c, r: plot_classes(r, "data"),
    "folds": lambda p, c, r: plot_folds(r, "data"),
    "groups": lambda p, c, r: plot_groups(r, "data"),
    "precision_recall": lambda p, c, r: plot_precision_recall(p, c, r, "data"),
    "roc": lambda p, c, r: plot_roc(p, c, r, "data"),
    "reliability": lambda p, c, r: plot_reliability(p, c, r, "data"),
    "confusion": lambda p, c, r: plot_confusion(count_confusions(p["truth"], p["predicted"], c), c, "title\ndata"),
    "shares": lambda p, c, r: plot_confusion_shares(count_confusions(p["truth"], p["predicted"], c), c, "title\ndata"),
}


def long_names(n_classes):
    return [f"a class of sounds {i}" for i in range(n_classes)]


@functools.cache  # scikit-learn takes seconds for fifty classes
def generate_and_score(n_classes):
    predictions = generate(n=3 * n_classes, classes=long_names(n_classes), n_folds=1)
    return predictions, score(predictions, predictions, long_names(n_classes), PARAMS)


@pytest.mark.parametrize("n_classes", [2, 50])
@pytest.mark.parametrize("name", sorted(set(FIGURES) - {"roc"}))  # drawn as precision_recall is
def test_pictures_name_the_data_and_cut_nothing_off(name, n_classes):
    classes = long_names(n_classes)
    predictions, results = generate_and_score(n_classes)
    figure = FIGURES[name](predictions, classes, results)
    figure.draw_without_rendering()
    # Numbers beside an axis may lie out of its limits, and are then not drawn: only words are looked at.
    words = [text for text in figure.findobj(Text) if any(map(str.isalpha, text.get_text()))]
    assert any("data" in text.get_text() for text in words)
    width, height = figure.get_size_inches() * figure.dpi
    for text in words:
        box = text.get_window_extent()
        assert -1 < box.x0 < box.x1 < width + 1, text
        assert -1 < box.y0 < box.y1 < height + 1, text


@pytest.mark.parametrize("name", FIGURES)
def test_pictures_of_nothing_can_be_drawn(name, tmp_path):
    predictions = generate(n=0)
    save_figure(tmp_path / "x.png", FIGURES[name](predictions, NAMES, score(predictions, predictions, NAMES, PARAMS)))


def test_classes_are_drawn_with_the_best_on_top_beside_their_own_name():
    predictions = generate()
    results = score(predictions, predictions, NAMES, PARAMS)
    axis = plot_classes(results, "data").axes[0]
    named = [label.get_text().rsplit(" (", 1)[0] for label in axis.get_yticklabels()]
    recall = results.classes.set_index("class")["recall"]
    drawn = axis.lines[0].get_xdata().tolist()
    assert drawn == [recall[name] for name in named] == sorted(recall)
