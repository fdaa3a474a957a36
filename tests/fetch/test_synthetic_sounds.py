"""Each sound of `sample` against its model: rates, lines, sweeps and decays at the parameters it was given."""

import dataclasses

import numpy as np
import pytest
from scipy import signal

from stages.fetch.synthetic.machines import AirConditioner, CarHorn, Drilling, EngineIdling, GunShot, Jackhammer, Siren
from stages.fetch.synthetic.signals import (
    SR,
    add_at,
    band_pass,
    gate,
    low_pass,
    n_harmonics,
    period_table,
    random_curve,
    read_table,
    renewal_times,
    shaped_noise,
    struck_body,
)
from stages.fetch.synthetic.voices import SCALES, VOWELS_HZ, ChildrenPlaying, DogBark, StreetMusic, _syllable

N_SAMPLES = 4 * SR


def instance(cls, seed=0, **traits):
    return dataclasses.replace(cls.draw(np.random.default_rng(seed)), **traits)


def spectrum_db(y):
    """Levels over frequencies that are SR / len(y) apart; the Hann window spreads a line over two of them a side."""
    level = np.abs(np.fft.rfft(y * np.hanning(len(y))))
    return np.fft.rfftfreq(len(y), 1 / SR), 20 * np.log10(level + 1e-12)


def line_above_floor_db(y, line_hz, reach_hz):
    """The highest level within two bins of `line_hz` above the median of what lies within `reach_hz` of it."""
    frequencies, level_db = spectrum_db(y)
    bin_hz = SR / len(y)
    near = np.abs(frequencies - line_hz) <= reach_hz
    return level_db[np.abs(frequencies - line_hz) <= 2 * bin_hz].max() - np.median(level_db[near])


def pitch_track(y, low_hz, high_hz, n_window):
    """The frequency of the strongest bin between two limits, by window of half overlap."""
    frequencies, _, level = signal.spectrogram(y, SR, nperseg=n_window, noverlap=n_window // 2)
    inside = (frequencies >= low_hz) & (frequencies <= high_hz)
    return frequencies[inside][level[inside].argmax(axis=0)]


def beat_hz(y, low_hz, high_hz):
    """The rate at which the power of `y` repeats, by autocorrelation of its envelope at 2 kHz."""
    step = SR // 2000
    power = np.square(y[: len(y) // step * step].reshape(-1, step)).sum(axis=1)
    power = power - power.mean()
    likeness = np.correlate(power, power, "full")[len(power) :]  # lags from 1 on
    lags = np.arange(1, len(likeness) + 1)
    inside = (lags >= 2000 / high_hz) & (lags <= 2000 / low_hz)
    return 2000 / lags[inside][likeness[inside].argmax()]


# machines


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_air_conditioner_has_still_lines_at_twice_the_mains(mains_hz):
    fan = instance(AirConditioner, mains_hz=mains_hz, hum_db=6.0, blade_db=-40.0, rattle=0.0, whine_db=-60.0)
    y = fan.render(N_SAMPLES, np.random.default_rng(1))
    hum_hz = 2 * mains_hz
    assert np.median([line_above_floor_db(y, k * hum_hz, 0.4 * hum_hz) for k in range(1, 9)]) > 15
    first, second = y[: N_SAMPLES // 2], y[N_SAMPLES // 2 :]
    strongest = max(range(1, 9), key=lambda k: line_above_floor_db(y, k * hum_hz, 0.4 * hum_hz)) * hum_hz
    tracks = [pitch_track(half, strongest - 20, strongest + 20, SR // 2) for half in (first, second)]
    assert abs(np.mean(tracks[0]) - np.mean(tracks[1])) <= 2  # Hz, one bin of half a second


def test_air_conditioner_has_lines_at_the_blade_rate():
    fan = instance(AirConditioner, rotation_hz=17.0, n_blades=5, hum_db=-60.0, blade_db=5.0, rattle=0.0, whine_db=-60.0)
    y = fan.render(N_SAMPLES, np.random.default_rng(1))
    frequencies, level_db = spectrum_db(y)
    low = (frequencies > 60) & (frequencies < 110)
    assert frequencies[low][level_db[low].argmax()] == pytest.approx(85.0, abs=1.0)  # 5 * 17 Hz, wandering by 0.2 %


def test_car_horn_has_two_series_of_partials():
    horn = instance(CarHorn, low_hz=420.0, interval=1.19, n_tones=2, honk_s=2.0)
    y = horn.render(N_SAMPLES, np.random.default_rng(3))
    levels_db = 20 * np.log10(np.abs(y).reshape(-1, SR // 20).max(axis=1) + 1e-9)
    start = (np.flatnonzero(levels_db > levels_db.max() - 6)[0] + 2) * (SR // 20)
    honk = y[start : start + SR]
    for tone_hz in (420.0, 420.0 * 1.19):
        # 150 Hz to either side lies no partial of the other diaphragm nearer than 29 Hz for the first three.
        assert min(line_above_floor_db(honk, k * tone_hz, 40.0) for k in (1, 2, 3)) > 20


def test_car_horn_is_silent_between_honks():
    horn = instance(CarHorn, honk_s=0.3)
    y = horn.render(N_SAMPLES, np.random.default_rng(3))
    blocks = np.abs(y).reshape(-1, SR // 50).max(axis=1)
    assert blocks.min() == 0
    assert blocks.max() > 0


@pytest.mark.parametrize("motor_hz", [180.0, 300.0, 600.0])
def test_drill_slows_under_load_but_no_further_than_its_sag(motor_hz):
    drill = instance(Drilling, motor_hz=motor_hz, sag=0.2, bites_per_s=2.0, cut_db=-30.0, hammer=0.0, rest=False)
    drill = dataclasses.replace(drill, sideband=0.0)
    n_window = SR // 4
    track = pitch_track(drill.render(N_SAMPLES, np.random.default_rng(2)), 0.7 * motor_hz, 1.1 * motor_hz, n_window)
    tolerance_hz = SR / n_window + 0.01 * motor_hz  # a bin, and the motor's own unrest
    assert track.max() <= motor_hz + tolerance_hz
    assert track.min() >= 0.8 * motor_hz - tolerance_hz
    assert np.ptp(track) > 0.05 * motor_hz


@pytest.mark.parametrize(("rpm", "n_cylinders"), [(800.0, 4), (900.0, 6), (750.0, 8)])
def test_engine_has_lines_at_multiples_of_the_firing_rate(rpm, n_cylinders):
    engine = instance(EngineIdling, rpm=rpm, n_cylinders=n_cylinders, jitter=0.003, unevenness=0.05)
    engine = dataclasses.replace(engine, clatter_db=-20.0, intake_db=-20.0)
    firing_hz = engine.firing_hz()
    assert firing_hz == pytest.approx(rpm / 120 * n_cylinders)
    y = engine.render(N_SAMPLES, np.random.default_rng(4))
    assert np.median([line_above_floor_db(y, k * firing_hz, 0.45 * firing_hz) for k in (1, 2, 3, 4)]) > 15
    assert beat_hz(y, 0.7 * firing_hz, 1.4 * firing_hz) == pytest.approx(firing_hz, rel=0.03)


def test_gun_shot_is_a_blast_with_a_decaying_tail():
    gun = instance(GunShot, shots=1, crack_lead_s=0.0, tail_s=0.1, tail_db=0.0, echoes_s=(0.05,))
    y = gun.render(N_SAMPLES, np.random.default_rng(5))
    onset = np.flatnonzero(np.abs(y) > 0.5 * np.abs(y).max())[0]
    assert not np.any(y[: onset - SR // 100])
    assert np.abs(y).argmax() - onset < SR // 50
    energy = np.cumsum(y[::-1].astype(np.float64) ** 2)[::-1] / np.sum(y.astype(np.float64) ** 2)
    assert energy[onset + int(0.7 * SR)] < 1e-3
    # Amplitude exp(-t / 0.1 s) makes energy fall by 8.7 dB in 0.1 s; the echo and the brighter noise are over by then.
    after = [np.sum(y[onset + int(s * SR) : onset + int((s + 0.1) * SR)].astype(np.float64) ** 2) for s in (0.15, 0.25)]
    assert 10 * np.log10(after[0] / after[1]) == pytest.approx(8.7, abs=1.5)


def test_gun_shots_of_a_burst_are_counted():
    gun = instance(GunShot, shots=4, shot_gap_s=0.5, crack_lead_s=0.0, tail_s=0.04, echoes_s=(0.02,), blast_s=0.001)
    y = gun.render(N_SAMPLES, np.random.default_rng(6))
    peaks, _ = signal.find_peaks(np.abs(y), height=0.5 * np.abs(y).max(), distance=int(0.3 * SR))
    assert len(peaks) == 4
    assert np.diff(peaks) / SR == pytest.approx(0.5, rel=0.08)


@pytest.mark.parametrize("rate_hz", [12.0, 18.5, 27.0])
def test_jackhammer_strikes_at_its_rate(rate_hz):
    hammer = instance(Jackhammer, rate_hz=rate_hz, jitter=0.005, rest=False, puff_db=-10.0, puff_s=0.01)
    y = hammer.render(N_SAMPLES, np.random.default_rng(7))
    assert beat_hz(y, 0.7 * rate_hz, 1.4 * rate_hz) == pytest.approx(rate_hz, rel=0.03)


def test_jackhammer_rings_at_its_modes():
    hammer = instance(Jackhammer, modes_hz=(1500.0,), decay_s=0.025, thump_db=-40.0, puff_db=-40.0, rest=False)
    frequencies, level_db = spectrum_db(hammer.render(N_SAMPLES, np.random.default_rng(7)))
    # A decay of 10 ms or more makes the resonance at most 1 / (pi * 0.01 s) = 32 Hz wide.
    assert frequencies[level_db.argmax()] == pytest.approx(1500.0, abs=32)


@pytest.mark.parametrize(("mode", "period_s"), [("wail", 3.0), ("yelp", 0.4), ("hi-lo", 1.2)])
def test_siren_follows_its_course(mode, period_s):
    siren = instance(Siren, mode=mode, low_hz=500.0, high_hz=800.0, period_s=period_s, fall=2.0, doppler=0.0)
    y = siren.render(N_SAMPLES, np.random.default_rng(8))
    course_hz = siren.course_hz(N_SAMPLES, np.random.default_rng(8).uniform())
    n_window = 1200  # 50 ms, bins of 20 Hz
    track = pitch_track(y, 450.0, 880.0, n_window)
    expected = course_hz[n_window // 2 :: n_window // 2][: len(track)]
    assert np.median(np.abs(track - expected)) <= SR / n_window
    assert track.min() == pytest.approx(500.0, abs=2 * SR / n_window)
    assert track.max() == pytest.approx(800.0, abs=2 * SR / n_window)


def test_siren_passing_by_falls_or_rises_by_its_doppler_shift():
    siren = instance(Siren, mode="hi-lo", low_hz=600.0, high_hz=600.0, fall=2.0, doppler=0.03)
    track = pitch_track(siren.render(N_SAMPLES, np.random.default_rng(8)), 500.0, 700.0, SR // 4)
    assert track[0] == pytest.approx(0.97 * 600, abs=6)  # a bin of 4 Hz, and what the first window covers
    assert track[-1] == pytest.approx(1.03 * 600, abs=6)


# voices


def test_child_speaks_at_its_pitch_and_in_syllables():
    child = instance(ChildrenPlaying, pitches_hz=(300.0,), throats=(1.3,), syllable_s=0.2, shrieks_per_s=0.0)
    y = child.render(N_SAMPLES, np.random.default_rng(9))
    likeness = []
    for start in range(0, N_SAMPLES - 2400, 1200):
        frame = y[start : start + 2400]
        full = np.correlate(frame, frame, "full")[2399:]
        lags = np.arange(int(SR / 700), int(SR / 180))  # 0.7 to 1.9 times the pitch, with the bend of a syllable
        likeness.append(full[lags].max() / (full[0] + 1e-9))
    assert np.median(likeness) > 0.6  # voiced most of the time
    power = y.reshape(-1, SR // 100).std(axis=1)
    assert power.min() < 0.3 * power.max()


@pytest.mark.parametrize("throat", [1.0, 1.4])
def test_shorter_throats_raise_the_formants(throat):
    silence = np.zeros(SR, dtype=np.float32)
    y = _syllable(SR, 100.0, throat, VOWELS_HZ[0], silence, np.random.default_rng(0))
    frequencies, level_db = spectrum_db(y)
    assert frequencies[level_db.argmax()] == pytest.approx(730 * throat, abs=70)  # half a line's distance, and its bend


def test_dog_barks_are_short_harmonic_and_apart():
    dog = instance(DogBark, pitch_hz=500.0, arch=0.2, bark_s=0.15, gap_s=0.4, breath_db=-20.0, roughness=0.0)
    y = dog.render(N_SAMPLES, np.random.default_rng(10))
    sounding = np.abs(y).reshape(-1, SR // 100).max(axis=1) > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], sounding, [0]])))
    lengths_s = (edges[1::2] - edges[::2]) / 100
    assert len(lengths_s) >= 2
    assert (lengths_s[:-1] > 0.1).all()
    assert (lengths_s < 0.22).all()
    start = edges[0] * (SR // 100) + int(0.02 * SR)
    frame = y[start : start + int(0.07 * SR)]
    likeness = np.correlate(frame, frame, "full")[len(frame) - 1 :]
    lags = np.arange(int(SR / 560), int(SR / 360))
    pitch_hz = SR / lags[likeness[lags].argmax()]
    assert 0.95 * 0.8 * 500 <= pitch_hz <= 1.06 * 500


@pytest.mark.parametrize("scale", list(SCALES))
def test_music_steps_through_its_scale(scale):
    buskers = instance(StreetMusic, tonic_hz=220.0, scale=scale, beat_s=0.5, lead="held", chords="none")
    buskers = dataclasses.replace(buskers, vibrato=0.0, shaker_db=-60.0, brightness=3.0)
    y = buskers.render(N_SAMPLES, np.random.default_rng(11))
    n_window = int(0.2 * SR)
    track = pitch_track(y, 100.0, 900.0, n_window)
    steady = track[:-1][np.diff(track) == 0]  # windows whose neighbour has the same note
    pitches = np.array([buskers.pitch_hz(degree) for degree in range(-2, 12)])
    nearest = np.abs(steady[:, None] - pitches).min(axis=1)
    assert len(steady) > 10
    assert (nearest <= SR / n_window).all()
    assert len(np.unique(steady)) >= 3


def test_music_is_equally_tempered():
    buskers = instance(StreetMusic, tonic_hz=220.0, scale="minor")
    assert buskers.pitch_hz(7) == pytest.approx(440.0)
    assert buskers.pitch_hz(4) == pytest.approx(220 * 2 ** (7 / 12))
    assert buskers.pitch_hz(-1) == pytest.approx(220 * 2 ** (-2 / 12))


def test_plucked_note_loses_its_upper_harmonics_first():
    buskers = instance(StreetMusic, brightness=0.5)
    note = buskers._note("plucked", 220.0, 0.0, SR, np.random.default_rng(0))
    shares = []
    for part in (note[: SR // 4], note[SR : SR + SR // 4]):
        frequencies, level_db = spectrum_db(part)
        power = 10 ** (level_db / 10)
        shares.append(power[frequencies > 1000].sum() / power.sum())
    assert shares[1] < 0.5 * shares[0]
    assert np.std(note[SR : SR + SR // 4]) < 0.7 * np.std(note[: SR // 4])


# signals


def test_table_reads_as_a_tone_of_its_frequency():
    table = period_table(np.array([1.0, 0.5]), np.random.default_rng(0))
    assert np.sqrt(np.mean(table**2)) == pytest.approx(1.0, rel=1e-5)
    y = read_table(table, 440.0, SR)
    frequencies, level_db = spectrum_db(y)
    assert frequencies[level_db.argmax()] == 440.0
    assert level_db[440] - level_db[880] == pytest.approx(20 * np.log10(2), abs=0.1)
    np.testing.assert_allclose(y, read_table(table, np.full(SR, 440.0), SR, phase=-440 / SR), atol=0.05)


def test_harmonics_stay_below_their_top():
    assert n_harmonics(300.0, 100, top_hz=1000.0) == 3
    assert n_harmonics(300.0, 2, top_hz=1000.0) == 2
    assert n_harmonics(3000.0, 2, top_hz=1000.0) == 1


def test_noise_has_its_shape():
    y = shaped_noise(20 * SR, np.random.default_rng(0), low_pass(500.0, 12.0))
    frequencies, level_db = spectrum_db(y)
    power = 10 ** (level_db / 10)
    octaves = [10 * np.log10(power[(frequencies > low) & (frequencies < 1.1 * low)].mean()) for low in (2000, 4000)]
    assert octaves[0] - octaves[1] == pytest.approx(12.0, abs=1.0)
    assert np.sqrt(np.mean(y.astype(np.float64) ** 2)) == pytest.approx(1.0, rel=1e-4)
    peak = band_pass(1000.0, 5.0)(np.array([500.0, 1000.0, 2000.0]))
    assert peak[1] == 1.0
    assert peak[0] == pytest.approx(peak[2])


def test_struck_body_decays_with_its_time_constant():
    ring = struck_body(np.array([1000.0]), np.array([0.02]), np.ones(1), np.random.default_rng(0))
    periods = np.abs(ring[: 24 * 60]).reshape(-1, 24).max(axis=1)  # a peak each millisecond
    assert periods[40] / periods[0] == pytest.approx(np.exp(-40 / 20), rel=0.02)


def test_beats_keep_their_rate_and_fill_the_time():
    beats = renewal_times(10.0, 20.0, 0.01, np.random.default_rng(0))
    assert beats[0] <= 0
    assert beats[-1] > 10.0 - 1.1 / 20
    assert np.diff(beats).mean() == pytest.approx(1 / 20, rel=0.01)
    assert np.diff(beats).std() == pytest.approx(0.01 / 20, rel=0.3)


def test_sound_beyond_the_edges_is_cut_off():
    y = np.zeros(5)
    add_at(y, -1, np.array([1.0, 2.0]))
    add_at(y, 4, np.array([3.0, 4.0]))
    add_at(y, 9, np.array([5.0]))
    add_at(y, -5, np.array([5.0]))
    assert y.tolist() == [2.0, 0.0, 0.0, 0.0, 3.0]


def test_gate_and_random_curve():
    envelope = gate(SR, 0.1, 0.2)
    assert envelope[0] == 0
    assert (envelope[int(0.1 * SR) : int(0.8 * SR)] == 1).all()
    assert envelope[int(0.05 * SR)] == pytest.approx(0.5, abs=0.01)
    assert envelope[int(0.9 * SR)] == pytest.approx(0.5, abs=0.01)
    curve = random_curve(100 * SR, np.random.default_rng(0), 2.0, 3.0)
    assert curve.mean() == pytest.approx(0.0, abs=0.6)
    assert curve.std() == pytest.approx(3.0 * np.sqrt(2 / 3), rel=0.15)  # straight lines between knots: two thirds
