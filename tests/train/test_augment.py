import numpy as np
import pytest

from helpers.metadata import make_metadata
from helpers.tones import PLAIN
from stages.lib.core.errors import ParamsError
from stages.train.augment import AugmentParams, between_class_weights, make_augmenter, random_filters

N_MELS = 16
MEAN = np.linspace(-3, 3, N_MELS)


def augmenter(kind="log", power=1, **changes):
    metadata = make_metadata(featurize={"power": power}, kind=kind, scaler_mean=MEAN.tolist())
    return make_augmenter(AugmentParams(**PLAIN | changes), metadata)


@pytest.fixture
def mel():
    return np.random.default_rng(0).uniform(0.1, 10, (4, 20, N_MELS)).astype(np.float32)


def rng():
    return np.random.default_rng(1)


def stored(mel, kind, power):
    """As featurize writes it."""
    log = np.log(mel + np.float32(1e-8))
    return log if kind == "log" else 20 / power * log / np.log(10)


KINDS = [("log", 1), ("log", 2), ("db", 1), ("db", 2)]


def test_the_plain_recipe_changes_nothing(mel):
    np.testing.assert_array_equal(augmenter()(np.log(mel), rng())[0], np.log(mel))


@pytest.mark.parametrize(("kind", "power"), KINDS)
def test_gain_is_one_factor_per_segment_and_within_its_limit(mel, kind, power):
    before = stored(mel**power, kind, power)
    change = augmenter(kind, power, gain_db=6.0)(before, rng())[0] - before
    change_db = change if kind == "db" else 20 * change / np.log(10) / power
    assert np.ptp(change_db, axis=(1, 2)).max() < 1e-4
    assert np.abs(change_db).max() <= 6
    assert change_db.min() < -1
    assert change_db.max() > 1


def test_the_random_filter_is_the_same_in_all_frames_and_within_its_limit(mel):
    change_db = 20 / np.log(10) * (augmenter(filter_db=6.0)(np.log(mel), rng())[0] - np.log(mel))
    assert np.ptp(change_db, axis=1).max() < 1e-4
    assert np.abs(change_db).max() <= 6.001
    assert np.ptp(change_db, axis=2).min() > 0.5


def test_a_random_filter_is_made_of_straight_pieces():
    filters = random_filters(rng(), batch=200, n_mels=100, depth_db=6.0)
    bends = (np.abs(np.diff(filters, n=2, axis=1)) > 1e-9).sum(axis=1)
    assert bends.max() == 2 * 4  # 5 pieces have 4 corners within, each between two bands
    assert bends.min() >= 1
    assert -6 <= filters.min() < -5
    assert 5 < filters.max() <= 6


def test_a_random_filter_bends_anywhere():
    filters = random_filters(rng(), batch=1000, n_mels=50, depth_db=6.0)
    bends = np.abs(np.diff(filters, n=2, axis=1)) > 1e-9
    assert bends.any(axis=0).all()
    assert 0.9 < bends[:, :24].sum() / bends[:, 24:].sum() < 1.1


def test_masks_show_the_mean_in_one_span_of_frames_and_one_of_bands(mel):
    masked, _ = augmenter(mask_frames=5, mask_bands=3)(np.log(mel), np.random.default_rng(3))
    is_mean = np.isclose(masked, MEAN[np.newaxis, np.newaxis], atol=1e-6)
    frames, bands = is_mean.all(axis=2), is_mean.all(axis=1)
    assert frames.sum(axis=1).max() <= 5
    assert bands.sum(axis=1).max() <= 3
    assert frames.any()
    assert bands.any()
    untouched = ~(frames[:, :, np.newaxis] | bands[:, np.newaxis, :])
    np.testing.assert_array_equal(masked[untouched], np.log(mel)[untouched])


def test_masks_reach_every_frame_and_band_and_their_full_width():
    log_mel = np.full((1000, 20, N_MELS), 9, dtype=np.float32)  # which no mean is
    masked, _ = augmenter(mask_frames=5, mask_bands=3)(log_mel, rng())
    is_masked = masked != 9
    frames, bands = is_masked.all(axis=2), is_masked.all(axis=1)
    assert frames.any(axis=0).all()
    assert bands.any(axis=0).all()
    assert sorted(set(frames.sum(axis=1))) == [0, 1, 2, 3, 4, 5]
    assert sorted(set(bands.sum(axis=1))) == [0, 1, 2, 3]


@pytest.mark.parametrize(("kind", "power"), KINDS)
def test_silence_stays_what_it_is(kind, power):
    """Its logarithm is that of the offset, which gain must not amplify; float32 may fall below it, and stays finite."""
    silence = stored(np.zeros((8, 20, N_MELS), np.float32), kind, power)
    change = augmenter(kind, power, gain_db=20.0, filter_db=20.0, mix="between_class")
    for log_mel in (silence, silence - np.float32(0.01)):
        with np.errstate(all="raise"):
            changed, _ = change(log_mel, rng(), log_mel, (np.zeros(8), np.zeros(8)))
        np.testing.assert_allclose(changed, silence, rtol=1e-5)


def test_each_segment_of_a_batch_has_a_ratio_of_its_own(mel):
    for mix in ("mixup", "between_class"):
        _, share = augmenter(mix=mix)(np.log(mel), rng(), np.log(mel[::-1]), (np.zeros(4), np.zeros(4)))
        assert len(set(share)) == 4


def test_a_batch_is_not_changed_in_place(mel):
    before, partners = np.log(mel), np.log(mel[::-1])
    kept = before.copy()
    everything = augmenter(gain_db=6.0, filter_db=6.0, mask_frames=5, mask_bands=3, mix="between_class")
    everything(before, rng(), partners, (np.zeros(4), np.zeros(4)))
    np.testing.assert_array_equal(before, kept)
    np.testing.assert_array_equal(partners, kept[::-1])


def test_between_class_weights_make_both_sounds_equally_loud_at_one_half():
    """Of sounds 20 dB apart, the quiet one is taken ten times as loud: eq. 2 of the paper at r = 1/2."""
    first, second = between_class_weights(np.array([0.5]), np.array([-10.0]), np.array([-30.0]))
    assert second / first == pytest.approx(10**2)
    p = 1 / (1 + 10)
    assert first == pytest.approx(p**2 / (p**2 + (1 - p) ** 2))


def test_equal_levels_are_mixed_by_the_ratio():
    ratio = np.array([0.0, 0.25, 0.9, 1.0])
    first, second = between_class_weights(ratio, np.zeros(4), np.zeros(4))
    np.testing.assert_allclose(np.sqrt(second[1:3] / first[1:3]), (1 - ratio[1:3]) / ratio[1:3])
    np.testing.assert_allclose([first[0], second[0], first[3], second[3]], [0, 1, 1, 0], atol=1e-9)


@pytest.mark.parametrize(("kind", "power"), KINDS)
def test_mixed_mel_is_that_of_the_mixed_waveforms_on_average(kind, power):
    """Noise mixed as a waveform, as in the paper, against the mixture of its mel values: equal in the mean power."""
    generator = np.random.default_rng(0)
    spectra = [
        scale * (generator.normal(size=(4000, N_MELS)) + 1j * generator.normal(size=(4000, N_MELS))) for scale in (1, 3)
    ]
    levels = tuple(np.array([20 * np.log10(scale)]) for scale in (1, 3))
    pair = tuple(stored(np.abs(s[np.newaxis]).astype(np.float32) ** power, kind, power) for s in spectra)
    mixer = augmenter(kind, power, mix="between_class")
    mixed, ratio = mixer(pair[0], rng(), pair[1], levels)
    p = 1 / (1 + 10 ** ((levels[0] - levels[1]) / 20) * (1 - ratio) / ratio)
    waveform = (p * spectra[0] + (1 - p) * spectra[1]) / np.sqrt(p**2 + (1 - p) ** 2)
    powers = mixer.to_mel(mixed)[0] ** (2 / power)
    assert powers.mean() == pytest.approx((np.abs(waveform) ** 2).mean(), rel=0.02)


def test_mixup_is_the_weighted_mean_of_what_is_stored(mel):
    pair = np.log(mel), np.log(mel[::-1])
    mixed, share = augmenter(mix="mixup", mix_alpha=0.4)(pair[0], rng(), pair[1], (np.zeros(4), np.zeros(4)))
    weights = share[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(mixed, weights * pair[0] + (1 - weights) * pair[1], rtol=1e-5, atol=1e-6)
    assert mixed.dtype == np.float32


@pytest.mark.parametrize("kind", ["pcen", "mfcc"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"gain_db": 6.0},
            r"augment\.gain_db 6\.0 changes mel values, which cannot be computed from features of the kind",
        ),
        ({"filter_db": 3.0}, r"augment\.filter_db 3\.0 changes mel values"),
        ({"mix": "between_class"}, r"augment\.mix between_class changes mel values.*set featurize\.compression to log"),
    ],
)
def test_what_needs_mel_values_is_refused_where_there_are_none(kind, change, message):
    with pytest.raises(ParamsError, match=message):
        augmenter(kind, **change)


@pytest.mark.parametrize("kind", ["pcen", "mfcc"])
def test_masks_and_mixup_work_on_any_features(kind, mel):
    any_kind = augmenter(kind, mask_frames=5, mask_bands=3, mix="mixup")
    changed, _ = any_kind(mel, rng(), mel, (np.zeros(4), np.zeros(4)))
    is_mean = np.isclose(changed, MEAN)
    assert is_mean.any()
    np.testing.assert_allclose(changed[~is_mean], mel[~is_mean], rtol=1e-5)
