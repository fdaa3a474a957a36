"""The dataset `sample`: its plan, its files, what is in its clips, and what is said about faulty settings."""

import hashlib
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler

from helpers.repository import ROOT
from stages.fetch.synthetic import dataset as sample
from stages.fetch.synthetic.clips import render_parts
from stages.fetch.synthetic.scenes import BACKGROUNDS, Equaliser, Place, active_power, mix
from stages.fetch.synthetic.signals import SR
from stages.fetch.synthetic.sounds import SOUNDS
from stages.lib.core.errors import SourceError

SOURCE_FILE = ROOT / "data/sources/sample.yaml"
CLASS_NAMES = [
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "siren",
    "street_music",
]


def render_values(**changes):
    values = yaml.safe_load(SOURCE_FILE.read_text(encoding="utf-8"))["render"]
    return values | changes


def small_values(n_clips, **changes):
    return render_values(clips=dict.fromkeys(CLASS_NAMES, n_clips), **changes)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two clips per class and fold, from one source."""
    target = tmp_path_factory.mktemp("sample")
    sample.render_sample(target, small_values(2))
    return target / "UrbanSound8K"


@pytest.fixture(scope="module")
def default_plan():
    return sample.plan(sample.sample_settings(render_values()))


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def probe(folder):
    """The metadata with what each file shows."""
    table = pd.read_csv(folder / "metadata" / "UrbanSound8K.csv")
    paths = [folder / "audio" / f"fold{row.fold}" / row.slice_file_name for row in table.itertuples()]
    infos = [soundfile.info(path) for path in paths]
    table["sr"] = [info.samplerate for info in infos]
    table["n_channels"] = [info.channels for info in infos]
    table["subtype"] = [info.subtype for info in infos]
    table["duration_s"] = [info.frames / info.samplerate for info in infos]
    frames = [soundfile.read(path, always_2d=True)[0] for path in paths]
    table["peak"] = [np.max(np.abs(y)) for y in frames]
    table["rms_db"] = [10 * np.log10(np.mean(y.mean(axis=1) ** 2)) for y in frames]
    return table


# the source file and the plan


def test_source_file_says_what_it_is():
    source = yaml.safe_load(SOURCE_FILE.read_text(encoding="utf-8"))
    assert source["name"] == "sample"
    assert source["synthetic"] is True
    assert source["layout"] == "urbansound8k"
    assert source["licence"] == "CC0-1.0"
    assert list(SOUNDS) == CLASS_NAMES == list(source["render"]["clips"])


def test_plan_has_every_class_in_every_fold_and_enough_in_the_tenth(default_plan):
    counts = pd.DataFrame([(s.fold, s.class_name, len(s.slices)) for s in default_plan], columns=["fold", "class", "n"])
    table = counts.pivot_table(index="fold", columns="class", values="n", aggfunc="sum")
    assert sorted(table.index) == list(range(1, 11))
    assert sorted(table.columns) == sorted(CLASS_NAMES)
    assert table.notna().all(axis=None)
    assert table.loc[10].sum() >= 80
    assert table.sum(axis=None) <= 850
    assert table["gun_shot"].sum() < table["car_horn"].sum() < table["siren"].sum()


def test_plan_gives_each_source_one_fold_one_class_and_several_clips(default_plan):
    ids = [source.fs_id for source in default_plan]
    assert len(set(ids)) == len(ids)
    assert min(len(source.slices) for source in default_plan) >= 2


def test_plan_keeps_the_clips_of_a_source_apart_in_time(default_plan):
    for source in default_plan:
        names = [source.file_name(part) for part in source.slices]
        assert len(set(names)) == len(names)
        for before, after in zip(source.slices, source.slices[1:], strict=False):
            assert after.start_s >= before.start_s + before.duration_s - 1e-9
            assert (after.occurrence > before.occurrence) == (after.number == 0)


def test_plan_stays_in_its_budget_and_varies(default_plan):
    parts = [(source.class_name, part) for source in default_plan for part in source.slices]
    durations = np.array([part.duration_s for _, part in parts])
    assert durations.max() == 4.0
    assert durations.min() >= 0.5
    assert 3.3 <= durations.mean() <= 3.65
    saliences = [part.salience for _, part in parts]
    assert 0.2 < np.mean(np.array(saliences) == 2) < 0.4
    full = defaultdict(list)
    for name, part in parts:
        full[name].append(part.duration_s == 4.0)
    for name in ("gun_shot", "car_horn", "dog_bark"):
        assert np.mean(full[name]) < np.mean(full["siren"])


def test_seed_changes_the_plan():
    first, second = (sample.plan(sample.sample_settings(small_values(1, seed=seed))) for seed in (1, 2))
    assert [source.fs_id for source in first] != [source.fs_id for source in second]


# the files


def test_files_are_those_of_the_metadata(small):
    table = pd.read_csv(small / "metadata" / "UrbanSound8K.csv")
    assert list(table.columns) == ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"]
    named = sorted(f"fold{row.fold}/{row.slice_file_name}" for row in table.itertuples())
    found = sorted(path.relative_to(small / "audio").as_posix() for path in (small / "audio").rglob("*.wav"))
    assert named == found
    assert len(named) == 200
    assert [CLASS_NAMES[number] for number in table["classID"]] == list(table["class"])
    parts = table["slice_file_name"].str.extract(r"^(\d+)-(\d+)-(\d+)-(\d+)\.wav$").astype(int)
    assert (parts[0] == table["fsID"]).all()
    assert (parts[1] == table["classID"]).all()
    assert set(table["salience"]) == {1, 2}
    assert len(table[["fsID", "fold"]].drop_duplicates()) == len(table["fsID"].unique())
    assert (table.groupby("fsID").size() == 2).all()


def test_files_hold_what_the_metadata_says_and_vary(small):
    table = probe(small)
    assert (abs(table["duration_s"] - (table["end"] - table["start"])) <= 1.5 / table["sr"].clip(upper=SR)).all()
    assert table["sr"].nunique() >= 5
    assert table["sr"].min() >= 16000
    assert set(table["n_channels"]) == {1, 2}
    assert {"PCM_16", "PCM_24"} < set(table["subtype"])
    assert len(set(table["subtype"]) - {"PCM_16", "PCM_24"}) >= 2
    assert table["duration_s"].nunique() > 10
    assert table["peak"].max() <= 0.98
    assert table["rms_db"].max() - table["rms_db"].min() > 15
    shared = table.groupby("fsID")[["sr", "n_channels", "subtype"]].nunique()
    assert (shared == 1).all(axis=None)


def nearest_centroid_accuracy(table):
    """Of a classifier on duration and loudness alone, trained on folds 1 to 9, on fold 10."""
    x = table[["duration_s", "rms_db"]].to_numpy()
    train = (table["fold"] != 10).to_numpy()
    scaler = StandardScaler().fit(x[train])
    model = NearestCentroid().fit(scaler.transform(x[train]), table["class"][train])
    return model.score(scaler.transform(x[~train]), table["class"][~train])


def test_duration_and_loudness_do_not_give_the_class_away(small):
    assert nearest_centroid_accuracy(probe(small)) < 0.4


@pytest.mark.slow
def test_duration_and_loudness_do_not_give_the_class_away_in_the_default(tmp_path):
    sample.render_sample(tmp_path, render_values())
    table = probe(tmp_path / "UrbanSound8K")
    assert (table["fold"] == 10).sum() >= 80
    assert nearest_centroid_accuracy(table) < 0.4


def test_same_bytes_whatever_the_number_of_workers(tmp_path, monkeypatch):
    settings = sample.sample_settings(small_values(1))
    found = []
    for name, workers in [("a", "1"), ("b", "2")]:
        monkeypatch.setenv("EAR_WORKERS", workers)
        sample.render_sample(tmp_path / name, settings)
        found.append(digests(tmp_path / name))
    assert len(found[0]) == 101
    assert found[0] == found[1]


def test_another_seed_gives_other_sounds():
    one, other = (sample.plan(sample.sample_settings(small_values(1, seed=seed)))[0] for seed in (1, 2))
    assert not np.array_equal(render_parts(one)[0][0], render_parts(other)[0][0])
    assert np.array_equal(render_parts(one)[0][0], render_parts(one)[0][0])


# what is in a clip


def block_levels_db(y):
    n_blocks = len(y) // (SR // 20)
    power = np.mean(np.square(y[: n_blocks * (SR // 20)].reshape(n_blocks, -1), dtype=np.float64), axis=1)
    return 10 * np.log10(power + 1e-20)


def test_every_clip_of_a_fold_holds_its_sound_above_the_background(default_plan):
    settings = sample.sample_settings(render_values())
    for source in (source for source in default_plan if source.fold == 10):
        for part, (sound, background) in zip(source.slices, render_parts(source), strict=True):
            assert len(sound) == len(background) == round(part.duration_s * SR)
            snr_db = 10 * np.log10(active_power(sound) / np.mean(background.astype(np.float64) ** 2))
            low, high = settings.foreground_snr_db if part.salience == 1 else settings.background_snr_db
            assert low - 0.01 <= snr_db <= high + 0.01, source.file_name(part)
            # Its loudest 50 ms are above the mean of the background by what was asked for, or nearly.
            assert block_levels_db(sound).max() >= 10 * np.log10(np.mean(background.astype(np.float64) ** 2)) + low - 3


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_even_the_shortest_clip_holds_an_event_and_not_only_its_edge(name):
    for seed in range(40):
        rng = np.random.default_rng(seed)
        sound = SOUNDS[name].draw(rng).render(round(sample.SHORT_CLIP_S[0] * SR), rng)
        assert np.isfinite(sound).all()
        levels_db = block_levels_db(sound)
        loud = np.flatnonzero(levels_db > levels_db.max() - 6)
        assert loud[0] <= len(levels_db) - 3, f"seed {seed}: begins {loud[0]} of {len(levels_db)} blocks in"


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_clips_of_one_instance_differ(name):
    sound = SOUNDS[name].draw(np.random.default_rng(1))
    first, second, again = (sound.render(SR, np.random.default_rng(seed)) for seed in (1, 2, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, second)


# the place and the recording chain


def test_equaliser_reaches_no_further_than_its_curves():
    frequencies = np.linspace(20, 11000, 500)
    for seed in range(20):
        level_db = 20 * np.log10(Equaliser.draw(np.random.default_rng(seed), 5.0).gain(frequencies))
        assert np.abs(level_db).max() <= 5.0 * 5
        assert np.ptp(level_db) > 0.5
    flat = Equaliser.draw(np.random.default_rng(0), 0.0).gain(frequencies)
    np.testing.assert_allclose(flat, 1.0)


def test_active_power_of_steady_sound_and_of_burst():
    t = np.arange(2 * SR) / SR
    tone = np.sin(2 * np.pi * 1000 * t)
    assert active_power(tone) == pytest.approx(0.5, rel=1e-3)
    burst = np.where((t > 1.0) & (t <= 1.2), tone, 0)  # four whole blocks
    assert active_power(burst) == pytest.approx(0.5, rel=1e-2)


def test_mix_sets_the_level_of_the_background():
    rng = np.random.default_rng(0)
    sound, background = mix(rng.normal(size=SR), 5 * rng.normal(size=SR), 12.0)
    assert 10 * np.log10(np.mean(sound**2) / np.mean(background**2)) == pytest.approx(12.0, abs=0.3)


def test_place_filters_and_echoes_a_click():
    click = np.zeros(SR, dtype=np.float32)
    click[100] = 1.0
    backgrounds = set()
    for seed in range(30):
        place = Place.draw(np.random.default_rng(seed), 6.0)
        backgrounds.add(place.background)
        received, background = place.record(click, np.random.default_rng(0))
        energy = np.cumsum(received.astype(np.float64) ** 2)
        assert energy[100 + int(6 * place.echo_s * SR)] > 0.98 * energy[-1]
        assert np.std(background) > 0
    assert backgrounds == set(BACKGROUNDS)


# errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": None}, r"render\.seed: expected a whole number, found None"),
        ({"seed": -1}, r"render\.seed: expected a value greater than or equal to 0, found -1"),
        ({"sources": "4"}, r"render\.sources: expected a whole number, found '4'"),
        ({"background_share": 1.5}, r"render\.background_share: expected a value less than or equal to 1, found 1\.5"),
        ({"clips": {"siren": 3}}, r"render\.clips: expected the classes air_conditioner, .*, found siren"),
        ({"foreground_snr_db": [9.0, 3.0]}, r"render\.foreground_snr_db: expected the lower value first, found \[9\.0"),
        ({"background_snr_db": [9.0]}, r"render\.background_snr_db"),
        ({"loudness": 3}, r"render\.loudness is not a known key"),
    ],
)
def test_wrong_setting_is_named(tmp_path, changes, message):
    with pytest.raises(SourceError, match=message) as caught:
        sample.render_sample(tmp_path, render_values(**changes))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_zero_clips_of_a_class_are_named(tmp_path):
    clips = render_values()["clips"] | {"siren": 0}
    with pytest.raises(SourceError, match=r"render\.clips\.siren: expected a value .* equal to 1, found 0"):
        sample.render_sample(tmp_path, render_values(clips=clips))


def test_missing_setting_is_named(tmp_path):
    values = render_values()
    del values["equaliser_db"]
    with pytest.raises(SourceError, match=r"render\.equaliser_db is missing; correct the section render"):
        sample.render_sample(tmp_path, values)


def test_settings_that_are_no_table_are_shown(tmp_path):
    with pytest.raises(SourceError, match=r"render: expected settings with keys, found None"):
        sample.render_sample(tmp_path, None)
