"""The people and animals among the sounds of `sample`: children, dogs and buskers.

Each is a simple physical model; `sounds.Sound` is the interface that all of them have.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from stages.fetch.synthetic.signals import (
    SR,
    add_at,
    amplitude,
    band_pass,
    bursts,
    formants,
    gate,
    harmonic_amplitudes,
    log_uniform,
    n_harmonics,
    period_table,
    random_curve,
    read_table,
    shaped_noise,
    times,
)

VOWELS_HZ = [
    (730, 1090, 2440),
    (270, 2290, 3010),
    (530, 1840, 2480),
    (570, 840, 2410),
    (300, 870, 2240),
    (660, 1720, 2410),
]
"""Formants of American vowels (men), Peterson and Barney 1952, table II; a child's throat is shorter, so they rise."""


@dataclass(frozen=True)
class ChildrenPlaying:
    """Several children at once: phrases of syllables, each a voiced vowel with a moving pitch, and some shrieks.

    A voice is a train of glottal pulses through the formants of a vowel, raised for short throats; syllables start
    with the noise of a consonant; a shriek is a long glide an octave higher.
    """

    pitches_hz: tuple[float, ...]
    throats: tuple[float, ...]
    syllable_s: float
    rest_share: float
    shrieks_per_s: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One random instance."""
        n_voices = int(rng.integers(2, 4))
        return cls(
            pitches_hz=tuple(log_uniform(rng, 230, 480) for _ in range(n_voices)),
            throats=tuple(rng.uniform(1.15, 1.45) for _ in range(n_voices)),
            syllable_s=rng.uniform(0.14, 0.28),
            rest_share=rng.uniform(0.1, 0.5),
            shrieks_per_s=rng.choice([0.0, 0.2, 0.6]),
        )

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """One clip of the instance, float32 of shape (n_samples,) at `SR` Hz."""
        y = np.zeros(n_samples, dtype=np.float32)
        hiss = shaped_noise(SR, rng, band_pass(4500, 1.0))
        for number, (pitch_hz, throat) in enumerate(zip(self.pitches_hz, self.throats, strict=True)):
            level = np.float32(amplitude(rng.uniform(-10, 0) if number else 0.0))
            start = int(rng.uniform(-0.3, 0.0) * SR)
            while start < n_samples:
                if number and rng.random() < self.rest_share:  # the first child never stops, so none is ever silent
                    start += int(rng.uniform(0.2, 0.8) * SR)
                phrase_hz = pitch_hz * 2 ** (rng.normal(0, 3) / 12)
                for _ in range(int(rng.integers(2, 7))):
                    length = int(self.syllable_s * log_uniform(rng, 0.5, 2.0) * SR)
                    phrase_hz *= 2 ** (rng.normal(-0.3, 2) / 12)
                    phrase_hz = float(np.clip(phrase_hz, 0.7 * pitch_hz, 1.9 * pitch_hz))
                    vowel = VOWELS_HZ[rng.integers(len(VOWELS_HZ))]
                    add_at(y, start, level * _syllable(length, phrase_hz, throat, vowel, hiss, rng))
                    start += int(length * rng.uniform(0.8, 1.1))
        for _ in range(rng.poisson(self.shrieks_per_s * n_samples / SR)):
            length = int(rng.uniform(0.2, 0.8) * SR)
            shriek_hz = self.pitches_hz[0] * rng.uniform(1.8, 3.2)
            sound = _syllable(length, shriek_hz, self.throats[0], VOWELS_HZ[0], hiss, rng)
            add_at(y, int(rng.uniform(0, 1) * n_samples), np.float32(rng.uniform(0.6, 1.6)) * sound)
        return y


def _syllable(
    n_samples: int, f0: float, throat: float, vowel: tuple[float, ...], hiss: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    count = n_harmonics(f0, 32)
    lines = f0 * np.arange(1, count + 1)
    colour = formants(lines, [throat * centre for centre in vowel], [110, 140, 200]) / np.arange(1, count + 1) ** 0.5
    # A pitch that bends up or down and back; one knot every 5 ms is as smooth as the ear and the features can tell.
    course = np.linspace(0, 1, max(2, n_samples // 120))
    bend = rng.normal(0, 0.06) * (course - 0.5) + rng.normal(0, 0.08) * np.sin(np.pi * course)
    bend += rng.uniform(0, 0.015) * np.sin(2 * np.pi * rng.uniform(4, 7) * n_samples / SR * course)
    bend = np.interp(np.linspace(0, 1, n_samples), course, bend)
    voiced = read_table(period_table(colour, rng), f0 * (1 + bend), n_samples, rng.uniform())
    sound = voiced * gate(n_samples, 0.03, 0.06)
    n_hiss = min(int(rng.uniform(0.02, 0.07) * SR), n_samples)
    offset = int(rng.integers(len(hiss) - n_hiss))
    sound[:n_hiss] += rng.uniform(0, 0.5) * hiss[offset : offset + n_hiss] * gate(n_hiss, 0.01, 0.02)
    return sound


@dataclass(frozen=True)
class DogBark:
    """A dog: bursts of a tenth of a second, harmonic, with a pitch that rises and falls, through the muzzle's formants.

    Breath adds noise, and a rough throat shakes the pitch from cycle to cycle. Larger dogs are lower in pitch and
    formants alike.
    """

    pitch_hz: float
    muzzle: float
    arch: float
    bark_s: float
    gap_s: float
    breath_db: float
    roughness: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One random instance."""
        size = rng.uniform()
        return cls(
            pitch_hz=220 * 4.0**size * rng.uniform(0.85, 1.18),
            muzzle=0.8 * 1.8**size * rng.uniform(0.9, 1.1),
            arch=rng.uniform(0.1, 0.5),
            bark_s=log_uniform(rng, 0.07, 0.3),
            gap_s=log_uniform(rng, 0.12, 1.2),
            breath_db=rng.uniform(-20, -4),
            roughness=rng.uniform(0.0, 0.04),
        )

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """One clip of the instance, float32 of shape (n_samples,) at `SR` Hz."""
        y = np.zeros(n_samples, dtype=np.float32)
        count = n_harmonics(1.2 * self.pitch_hz, 30)
        lines = self.pitch_hz * np.arange(1, count + 1)
        centres = [self.muzzle * hz for hz in (620, 1500, 2900)]
        table = period_table(formants(lines, centres, [250, 350, 600]), rng)
        breath = shaped_noise(SR, rng, lambda f: formants(f, centres, [600, 900, 1500]))
        for start, length in bursts(n_samples, rng, self.bark_s, spread=0.15, gap_s=(self.gap_s, 2 * self.gap_s)):
            course = np.linspace(0, 1, length, dtype=np.float32)
            f0 = self.pitch_hz * (1 - self.arch + self.arch * np.sin(np.pi * course**0.7)) * rng.uniform(0.95, 1.05)
            f0 = f0 * (1 + random_curve(length, rng, 150.0, self.roughness))
            offset = int(rng.integers(len(breath) - length)) if length < len(breath) else 0
            noise = np.resize(breath[offset:], length)
            bark = read_table(table, f0, length, rng.uniform()) + np.float32(amplitude(self.breath_db)) * noise
            swell = gate(length, 0.015, 0.6 * length / SR) * np.float32(rng.uniform(0.7, 1.0))
            add_at(y, start, bark * swell)
        return y


SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "major pentatonic": (0, 2, 4, 7, 9),
    "minor pentatonic": (0, 3, 5, 7, 10),
}
"""Semitones above the tonic."""


@dataclass(frozen=True)
class StreetMusic:
    """Buskers: a melody in steps of a scale, with chords under it, on strings that decay or pipes and reeds that hold.

    Notes are equally tempered. A plucked string's upper harmonics decay first; a held note has vibrato, and a fiddle
    slides into it. The beat is even, and some play to a shaker.
    """

    tonic_hz: float
    scale: str
    beat_s: float
    lead: str
    chords: str
    chord_db: float
    vibrato: float
    brightness: float
    shaker_db: float
    timbre_seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One random instance."""
        return cls(
            tonic_hz=220 * 2 ** (rng.uniform(-8, 8) / 12),
            scale=str(rng.choice(list(SCALES))),
            beat_s=rng.uniform(0.18, 0.5),
            lead=str(rng.choice(["plucked", "held", "bowed"])),
            chords=str(rng.choice(["none", "plucked", "plucked", "held", "held"])),
            chord_db=rng.uniform(-12, 0),
            vibrato=rng.uniform(0.0, 0.012),
            brightness=rng.uniform(0.3, 1.6),
            shaker_db=rng.choice([-60.0, rng.uniform(-16, -4)]),
            timbre_seed=int(rng.integers(2**31)),
        )

    def pitch_hz(self, degree: int) -> float:
        """The frequency of a degree of the scale, 0 the tonic; degrees beyond the scale go on in the next octave."""
        steps = SCALES[self.scale]
        octave, step = divmod(degree, len(steps))
        return self.tonic_hz * 2 ** (octave + steps[step] / 12)

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """One clip of the instance, float32 of shape (n_samples,) at `SR` Hz."""
        y = np.zeros(n_samples, dtype=np.float32)
        degree, previous_hz = int(rng.integers(0, 8)), 0.0
        beat_s = -rng.uniform(0, 1) * self.beat_s
        number = int(rng.integers(4))
        while beat_s * SR < n_samples:
            n_beat = int(self.beat_s * SR)
            start = int(beat_s * SR)
            n_notes = int(rng.choice([1, 1, 2]))
            for part in range(n_notes):
                length = n_beat // n_notes
                degree = int(np.clip(degree + rng.integers(-3, 4), -2, 11))
                note_hz = self.pitch_hz(degree)
                add_at(y, start + part * length, self._note(self.lead, note_hz, previous_hz, length, rng))
                previous_hz = note_hz
            if self.chords != "none" and number % 2 == 0:
                root = int(rng.choice([0, 3, 4, -2]))
                for step in (0, 2, 4):
                    chord = self._note(self.chords, self.pitch_hz(root + step - 5), 0.0, 2 * n_beat, rng)
                    add_at(y, start, np.float32(amplitude(self.chord_db)) * chord)
            if self.shaker_db > -60:
                n_shake = int(0.05 * SR)
                shake = shaped_noise(n_shake, rng, band_pass(6000, 1.0)) * gate(n_shake, 0.01, 0.035)
                add_at(y, start, np.float32(amplitude(self.shaker_db)) * shake)
            beat_s += self.beat_s
            number += 1
        return y

    def _note(self, manner: str, f0: float, from_hz: float, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        timbre = np.random.default_rng(self.timbre_seed)
        harmonics = harmonic_amplitudes(timbre, n_harmonics(f0, 20), fall=self.brightness)
        if manner == "plucked":
            ring = times(2 * n_samples) / np.float32(0.9 * np.sqrt(220 / f0))
            dark = period_table(harmonics / np.arange(1, len(harmonics) + 1) ** 1.2, timbre)
            bright = period_table(harmonics, timbre)
            y = read_table(dark, f0, len(ring)) * np.exp(-ring) + read_table(bright, f0, len(ring)) * np.exp(-5 * ring)
            return y * gate(len(ring), 0.003, 0.1)
        t = times(n_samples)
        pitch = f0 * (1 + self.vibrato * np.sin(2 * np.pi * 5.5 * t + rng.uniform(0, 6)))
        if manner == "bowed" and from_hz:
            pitch *= (from_hz / f0) ** np.exp(-t / np.float32(0.04))
        return read_table(period_table(harmonics, timbre), pitch, n_samples) * gate(n_samples, 0.03, 0.05)
