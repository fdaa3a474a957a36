"""The ten sounds of `sample`, each from a simple model of what makes it.

A class has a dataclass here. `draw(rng)` makes one instance of the thing (this dog, that siren), whose traits all clips
of a source share; `render(n_samples, rng)` lets it sound, float32 of shape (n_samples,) at `SR` Hz, with what differs
from clip to clip drawn anew. The scale of the result is arbitrary: levels are set where a clip is mixed. The thing
sounds inside every rendered clip, however short, so that no label is wrong.
"""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from stages.lib.sample_signals import (
    SR,
    add_at,
    amplitude,
    band_pass,
    formants,
    gate,
    log_uniform,
    low_pass,
    n_harmonics,
    period_table,
    read_table,
    renewal_times,
    shaped_noise,
    struck,
    times,
    unit_rms,
    wander,
)


class Sound(Protocol):
    """What every class of sound offers."""

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One instance with traits of its own."""

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """The instance sounding, float32 of shape (n_samples,)."""


@dataclass(frozen=True)
class AirConditioner:
    """A fan and a compressor: lines that hold still over the noise of flowing air.

    Magnetic hum has lines at multiples of twice the mains frequency; the blades pass at a multiple of the rotation;
    the flow is noise that falls with frequency; a loose grille beats with the rotation.
    """

    mains_hz: float
    rotation_hz: float
    n_blades: int
    hum_db: float
    blade_db: float
    flow_cutoff_hz: float
    flow_slope_db: float
    rattle: float
    whine_hz: float
    whine_db: float
    timbre_seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One instance with traits of its own."""
        return cls(
            mains_hz=float(rng.choice([50.0, 60.0])),
            rotation_hz=rng.uniform(9, 28),
            n_blades=int(rng.integers(3, 10)),
            hum_db=rng.uniform(-8, 6),
            blade_db=rng.uniform(-10, 5),
            flow_cutoff_hz=log_uniform(rng, 150, 3000),
            flow_slope_db=rng.uniform(3, 9),
            rattle=rng.choice([0.0, rng.uniform(0.2, 0.8)]),
            whine_hz=log_uniform(rng, 300, 3500),
            whine_db=rng.uniform(-25, -3),
            timbre_seed=int(rng.integers(2**31)),
        )

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """The instance sounding, float32 of shape (n_samples,)."""
        timbre = np.random.default_rng(self.timbre_seed)
        hum_hz, blade_hz = 2 * self.mains_hz, self.rotation_hz * self.n_blades
        hum = period_table(_uneven(timbre, n_harmonics(hum_hz, 40), fall=0.6), timbre)
        blade = period_table(_uneven(timbre, n_harmonics(blade_hz, 25), fall=1.0), timbre)
        speed = self.rotation_hz * (1 + wander(n_samples, rng, 0.5, 0.002))
        flow = shaped_noise(n_samples, rng, low_pass(self.flow_cutoff_hz, self.flow_slope_db))
        if self.rattle:
            flow *= 1 + self.rattle * read_table(_bump_table(0.3), speed, n_samples, rng.uniform())
        y = flow + amplitude(self.hum_db) * read_table(hum, hum_hz, n_samples, rng.uniform())
        y += amplitude(self.blade_db) * read_table(blade, speed * self.n_blades, n_samples, rng.uniform())
        whine = np.sin(2 * np.pi * self.whine_hz * times(n_samples))
        return y + np.float32(1.4 * amplitude(self.whine_db)) * whine


@dataclass(frozen=True)
class CarHorn:
    """Two diaphragms some three or four semitones apart, held by whoever leans on the wheel.

    Each is a reed: many harmonics, raised where its trumpet resonates, and a pitch that settles within milliseconds.
    """

    low_hz: float
    interval: float
    n_tones: int
    resonance_hz: float
    settle_s: float
    honk_s: float
    timbre_seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One instance with traits of its own."""
        return cls(
            low_hz=log_uniform(rng, 290, 520),
            interval=rng.uniform(1.16, 1.32),
            n_tones=int(rng.choice([1, 2, 2, 2, 2])),
            resonance_hz=log_uniform(rng, 1200, 3500),
            settle_s=rng.uniform(0.01, 0.04),
            honk_s=log_uniform(rng, 0.15, 3.0),
            timbre_seed=int(rng.integers(2**31)),
        )

    def tones_hz(self) -> list[float]:
        """The fundamental of each diaphragm."""
        return [self.low_hz * self.interval**number for number in range(self.n_tones)]

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """The instance sounding, float32 of shape (n_samples,)."""
        timbre = np.random.default_rng(self.timbre_seed)
        tables = []
        for tone_hz in self.tones_hz():
            count = n_harmonics(tone_hz, 24)
            body = formants(tone_hz * np.arange(1, count + 1), [self.resonance_hz], [self.resonance_hz]) + 0.15
            tables.append(period_table(body * _uneven(timbre, count, fall=0.3), timbre))
        y = np.zeros(n_samples, dtype=np.float32)
        for start, length in _spells(n_samples, rng, self.honk_s, spread=0.4, gap_s=(0.08, 0.9)):
            settling = 1 - 0.03 * np.exp(-times(length) / np.float32(self.settle_s))
            honk = sum(
                read_table(table, tone_hz * settling, length, rng.uniform())
                for table, tone_hz in zip(tables, self.tones_hz(), strict=True)
            )
            add_at(y, start, honk * gate(length, 0.012, 0.04))
        return y


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
        """One instance with traits of its own."""
        n_voices = int(rng.integers(2, 6))
        return cls(
            pitches_hz=tuple(log_uniform(rng, 230, 480) for _ in range(n_voices)),
            throats=tuple(rng.uniform(1.15, 1.45) for _ in range(n_voices)),
            syllable_s=rng.uniform(0.12, 0.26),
            rest_share=rng.uniform(0.1, 0.5),
            shrieks_per_s=rng.choice([0.0, 0.2, 0.6]),
        )

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """The instance sounding, float32 of shape (n_samples,)."""
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
    course = np.linspace(0, 1, n_samples, dtype=np.float32)
    bend = rng.normal(0, 0.06) * (course - 0.5) + rng.normal(0, 0.08) * np.sin(np.pi * course)
    vibrato = rng.uniform(0, 0.015) * np.sin(2 * np.pi * rng.uniform(4, 7) * times(n_samples))
    voiced = read_table(period_table(colour, rng), f0 * (1 + bend + vibrato), n_samples, rng.uniform())
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
        """One instance with traits of its own."""
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
        """The instance sounding, float32 of shape (n_samples,)."""
        y = np.zeros(n_samples, dtype=np.float32)
        count = n_harmonics(1.2 * self.pitch_hz, 30)
        lines = self.pitch_hz * np.arange(1, count + 1)
        centres = [self.muzzle * hz for hz in (620, 1500, 2900)]
        table = period_table(formants(lines, centres, [250, 350, 600]), rng)
        breath = shaped_noise(SR, rng, lambda f: formants(f, centres, [600, 900, 1500]))
        for start, length in _spells(n_samples, rng, self.bark_s, spread=0.15, gap_s=(self.gap_s, 2 * self.gap_s)):
            course = np.linspace(0, 1, length, dtype=np.float32)
            f0 = self.pitch_hz * (1 - self.arch + self.arch * np.sin(np.pi * course**0.7)) * rng.uniform(0.95, 1.05)
            f0 = f0 * (1 + wander(length, rng, 150.0, self.roughness))
            offset = int(rng.integers(len(breath) - length)) if length < len(breath) else 0
            noise = np.resize(breath[offset:], length)
            bark = read_table(table, f0, length, rng.uniform()) + np.float32(amplitude(self.breath_db)) * noise
            swell = gate(length, 0.015, 0.6 * length / SR) * np.float32(rng.uniform(0.7, 1.0))
            add_at(y, start, bark * swell)
        return y


@dataclass(frozen=True)
class Drilling:
    """An electric drill: the whine of a motor that slows as the bit bites, and the noise of the cut.

    The commutator and gears give harmonics of the motor tone, with sidebands at the speed of the shaft; the speed
    falls under load and recovers; a hammer drill strikes some forty times a second.
    """

    motor_hz: float
    teeth: int
    sideband: float
    sag: float
    bites_per_s: float
    cut_db: float
    cut_centre_hz: float
    hammer: float
    rest: bool
    timbre_seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One instance with traits of its own."""
        return cls(
            motor_hz=log_uniform(rng, 140, 650),
            teeth=int(rng.integers(5, 14)),
            sideband=rng.uniform(0.1, 0.6),
            sag=rng.uniform(0.03, 0.2),
            bites_per_s=log_uniform(rng, 0.4, 2.5),
            cut_db=rng.uniform(-6, 8),
            cut_centre_hz=log_uniform(rng, 500, 4500),
            hammer=rng.choice([0.0, rng.uniform(0.3, 0.9)]),
            rest=bool(rng.random() < 0.3),
            timbre_seed=int(rng.integers(2**31)),
        )

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """The instance sounding, float32 of shape (n_samples,)."""
        timbre = np.random.default_rng(self.timbre_seed)
        motor = period_table(_uneven(timbre, n_harmonics(self.motor_hz, 30), fall=0.7), timbre)
        load = np.clip(0.5 + wander(n_samples, rng, self.bites_per_s, 0.45), 0, 1)
        speed_hz = self.motor_hz * (1 - self.sag * load + wander(n_samples, rng, 12.0, 0.003))
        shaft = read_table(_bump_table(0.5), speed_hz / self.teeth, n_samples, rng.uniform())
        tone = read_table(motor, speed_hz, n_samples, rng.uniform()) * (1 + self.sideband * shaft)
        cut = shaped_noise(n_samples, rng, band_pass(self.cut_centre_hz, 0.7)) * (0.3 + load)
        if self.hammer:
            cut *= 1 + self.hammer * read_table(_bump_table(0.2), speed_hz / self.teeth, n_samples, rng.uniform())
        y = tone + np.float32(amplitude(self.cut_db)) * cut
        return y * _rests(n_samples, rng) if self.rest else y


@dataclass(frozen=True)
class EngineIdling:
    """A four-stroke engine at rest: a pulse of exhaust for each firing, rung by the pipe, and the clatter of valves.

    Cylinders fire at rpm / 120 times their number a second, no two alike, at intervals that are never quite even: so
    there are lines at the firing rate, weaker ones at the rate of one cycle, and jitter blurs the upper ones.
    """

    rpm: float
    n_cylinders: int
    jitter: float
    unevenness: float
    pipe_hz: tuple[float, ...]
    clatter_db: float
    clatter_hz: float
    intake_db: float
    timbre_seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One instance with traits of its own."""
        return cls(
            rpm=rng.uniform(600, 1150),
            n_cylinders=int(rng.choice([1, 2, 3, 4, 4, 6, 8])),
            jitter=rng.uniform(0.004, 0.03),
            unevenness=rng.uniform(0.05, 0.4),
            pipe_hz=tuple(log_uniform(rng, low, 2.2 * low) for low in (60, 130, 300, 700, 1600, 3500)),
            clatter_db=rng.uniform(-14, 2),
            clatter_hz=log_uniform(rng, 800, 4500),
            intake_db=rng.uniform(-14, 4),
            timbre_seed=int(rng.integers(2**31)),
        )

    def firing_hz(self) -> float:
        """Firings a second: every cylinder fires once in two turns."""
        return self.rpm / 120 * self.n_cylinders

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """The instance sounding, float32 of shape (n_samples,)."""
        timbre = np.random.default_rng(self.timbre_seed)
        modes_hz = np.array(self.pipe_hz)
        levels = amplitude(timbre.uniform(-12, 0, len(modes_hz)))
        pulse = struck(modes_hz, timbre.uniform(2, 5) / modes_hz, levels, timbre)
        cylinders = 1 + self.unevenness * timbre.uniform(-1, 1, self.n_cylinders)
        n_clatter = int(0.02 * SR)
        fade = np.exp(-times(n_clatter) / np.float32(0.004))
        rattle = shaped_noise(SR, rng, band_pass(self.clatter_hz, 1.2))
        exhaust, valves = np.zeros((2, n_samples), dtype=np.float32)
        first = int(rng.integers(self.n_cylinders))
        for number, beat_s in enumerate(renewal_times(n_samples / SR, self.firing_hz(), self.jitter, rng)):
            strength = np.float32(cylinders[(first + number) % self.n_cylinders])
            add_at(exhaust, round(beat_s * SR), strength * pulse)
            offset = int(rng.integers(SR - n_clatter))
            add_at(valves, round(beat_s * SR), strength * rattle[offset : offset + n_clatter] * fade)
        intake = shaped_noise(n_samples, rng, low_pass(500, 4.0))
        y = unit_rms(exhaust) + np.float32(amplitude(self.clatter_db)) * unit_rms(valves)
        return y + np.float32(amplitude(self.intake_db)) * intake


@dataclass(frozen=True)
class GunShot:
    """A blast wave and what the surroundings make of it.

    The blast is Friedlander's: a jump that decays and undershoots, p(t) = (1 - t/T) exp(-t/T) (Friedlander 1946); a
    supersonic bullet sends an N-wave ahead; the ground and walls return copies; the tail is noise that loses its
    treble as it decays. Single shots, a few, or a burst.
    """

    blast_s: float
    crack_lead_s: float
    echoes_s: tuple[float, ...]
    tail_s: float
    tail_db: float
    tail_cutoff_hz: float
    shot_gap_s: float
    shots: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One instance with traits of its own."""
        burst = rng.random() < 0.35
        return cls(
            blast_s=log_uniform(rng, 0.0002, 0.002),
            crack_lead_s=rng.choice([0.0, rng.uniform(0.004, 0.06)]),
            echoes_s=tuple(rng.uniform(0.004, 0.35, rng.integers(2, 7))),
            tail_s=log_uniform(rng, 0.04, 0.35),
            tail_db=rng.uniform(-6, 8),
            tail_cutoff_hz=log_uniform(rng, 400, 4000),
            shot_gap_s=rng.uniform(0.07, 0.15) if burst else log_uniform(rng, 0.25, 1.5),
            shots=int(rng.integers(3, 13)) if burst else int(rng.integers(1, 4)),
        )

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """The instance sounding, float32 of shape (n_samples,)."""
        n_shot = int(min(6 * self.tail_s + 0.4, 1.6) * SR)
        shot = np.zeros(n_shot, dtype=np.float32)
        t = times(int(8 * self.blast_s * SR) + 2)
        blast = (1 - t / self.blast_s) * np.exp(-t / self.blast_s)
        muzzle = int(self.crack_lead_s * SR)
        if muzzle:
            n_crack = max(3, int(0.0004 * SR))
            add_at(shot, 0, np.linspace(0.7, -0.7, n_crack, dtype=np.float32))
        add_at(shot, muzzle, blast)
        for number, echo_s in enumerate(self.echoes_s):
            add_at(shot, muzzle + int(echo_s * SR), np.float32(0.4 * 0.75**number) * blast)
        tail = shaped_noise(n_shot, rng, low_pass(self.tail_cutoff_hz, 6.0))
        bright = shaped_noise(n_shot, rng, low_pass(4 * self.tail_cutoff_hz, 6.0))
        fade = times(n_shot) / np.float32(self.tail_s)
        tail = tail * np.exp(-fade) + bright * np.exp(-4 * fade)
        level = amplitude(self.tail_db) * np.sqrt(np.sum(blast**2) / np.sum(tail**2))
        add_at(shot, muzzle, np.float32(level) * tail)
        y = np.zeros(n_samples, dtype=np.float32)
        length_s = n_samples / SR
        span_s = min((self.shots - 1) * self.shot_gap_s, 0.5 * length_s)
        start_s = rng.uniform(0.02, max(0.03, min(length_s - 0.25, length_s - span_s - 0.25)))
        while start_s < length_s - 0.15:
            add_at(y, int(start_s * SR), np.float32(rng.uniform(0.7, 1.0)) * shot)
            span_s -= self.shot_gap_s
            if span_s < 0:
                break
            start_s += self.shot_gap_s * rng.uniform(0.93, 1.07)
        return y


@dataclass(frozen=True)
class Jackhammer:
    """A pneumatic breaker: a piston strikes a steel chisel some twenty times a second.

    Each impact rings the chisel's modes and thumps the ground, then the cylinder exhausts a puff of air. The rate is
    nearly even and dips as the operator leans on it.
    """

    rate_hz: float
    jitter: float
    modes_hz: tuple[float, ...]
    decay_s: float
    thump_hz: float
    thump_db: float
    puff_db: float
    puff_s: float
    puff_hz: float
    rest: bool
    timbre_seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One instance with traits of its own."""
        return cls(
            rate_hz=log_uniform(rng, 11, 32),
            jitter=rng.uniform(0.004, 0.03),
            modes_hz=tuple(log_uniform(rng, 500, 6000) for _ in range(rng.integers(3, 8))),
            decay_s=log_uniform(rng, 0.004, 0.025),
            thump_hz=log_uniform(rng, 60, 220),
            thump_db=rng.uniform(-12, 6),
            puff_db=rng.uniform(-8, 6),
            puff_s=log_uniform(rng, 0.008, 0.05),
            puff_hz=log_uniform(rng, 500, 4500),
            rest=bool(rng.random() < 0.3),
            timbre_seed=int(rng.integers(2**31)),
        )

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """The instance sounding, float32 of shape (n_samples,)."""
        timbre = np.random.default_rng(self.timbre_seed)
        modes_hz = np.array(self.modes_hz)
        decays_s = self.decay_s * timbre.uniform(0.4, 1.0, len(modes_hz))
        ring = struck(modes_hz, decays_s, amplitude(timbre.uniform(-10, 0, len(modes_hz))), timbre)
        thump = struck(np.array([self.thump_hz]), np.array([2.0 / self.thump_hz]), np.ones(1), timbre)
        n_puff = int(4 * self.puff_s * SR)
        t = times(n_puff) / np.float32(self.puff_s)
        fade = t * np.exp(1 - t)
        air = shaped_noise(SR, rng, band_pass(self.puff_hz, 0.6))
        steel, ground, puffs = np.zeros((3, n_samples), dtype=np.float32)
        for beat_s in renewal_times(n_samples / SR, self.rate_hz, self.jitter, rng):
            start, strength = round(beat_s * SR), np.float32(rng.uniform(0.75, 1.0))
            add_at(steel, start, strength * ring)
            add_at(ground, start, strength * thump)
            offset = int(rng.integers(SR - n_puff))
            add_at(puffs, start, air[offset : offset + n_puff] * fade)
        y = unit_rms(steel) + np.float32(amplitude(self.thump_db)) * unit_rms(ground)
        y += np.float32(amplitude(self.puff_db)) * unit_rms(puffs)
        return y * _rests(n_samples, rng) if self.rest else y


@dataclass(frozen=True)
class Siren:
    """An emergency vehicle: one tone that moves between two frequencies, slowly (wail), fast (yelp) or in steps (hi-lo).

    The horn loudspeaker passes many harmonics; driving past shifts all of them a little (Doppler).
    """

    mode: str
    low_hz: float
    high_hz: float
    period_s: float
    rise_share: float
    fall: float
    doppler: float
    timbre_seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """One instance with traits of its own."""
        mode = str(rng.choice(["wail", "yelp", "hi-lo"]))
        low_hz = log_uniform(rng, 320, 700)
        ratio = rng.uniform(1.18, 1.5) if mode == "hi-lo" else rng.uniform(1.35, 2.4)
        period_s = {"wail": rng.uniform(2.0, 6.0), "yelp": rng.uniform(0.22, 0.5), "hi-lo": rng.uniform(0.5, 2.0)}[mode]
        return cls(
            mode=mode,
            low_hz=low_hz,
            high_hz=low_hz * ratio,
            period_s=period_s,
            rise_share=rng.uniform(0.25, 0.75),
            fall=rng.uniform(0.3, 1.3),
            doppler=rng.uniform(-0.03, 0.03),
            timbre_seed=int(rng.integers(2**31)),
        )

    def course_hz(self, n_samples: int, phase: float) -> np.ndarray:
        """The fundamental at each sample, float32 of shape (n_samples,), from `phase` of a period on; no Doppler."""
        position = (times(n_samples) / np.float32(self.period_s) + np.float32(phase)) % 1
        rising = position < self.rise_share
        if self.mode == "hi-lo":
            height = rising.astype(np.float32)
        else:
            height = np.where(rising, position / self.rise_share, (1 - position) / (1 - self.rise_share))
        return self.low_hz * (self.high_hz / self.low_hz) ** height

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """The instance sounding, float32 of shape (n_samples,)."""
        timbre = np.random.default_rng(self.timbre_seed)
        table = period_table(_uneven(timbre, n_harmonics(self.high_hz, 20), fall=self.fall), timbre)
        passing = 1 + self.doppler * np.linspace(-1, 1, n_samples, dtype=np.float32)
        f0 = self.course_hz(n_samples, rng.uniform()) * passing
        swell = amplitude(wander(n_samples, rng, 1.5, 2.0))
        return (read_table(table, f0, n_samples, rng.uniform()) * swell).astype(np.float32)


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
        """One instance with traits of its own."""
        return cls(
            tonic_hz=220 * 2 ** (rng.uniform(-8, 8) / 12),
            scale=str(rng.choice(list(SCALES))),
            beat_s=rng.uniform(0.22, 0.7),
            lead=str(rng.choice(["plucked", "held", "bowed"])),
            chords=str(rng.choice(["none", "plucked", "held"])),
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
        """The instance sounding, float32 of shape (n_samples,)."""
        y = np.zeros(n_samples, dtype=np.float32)
        degree, previous_hz = int(rng.integers(0, 8)), 0.0
        beat_s = -rng.uniform(0, 1) * self.beat_s
        number = int(rng.integers(4))
        while beat_s * SR < n_samples:
            n_beat = int(self.beat_s * SR)
            start = int(beat_s * SR)
            for part in range(int(rng.choice([1, 1, 2]))):
                length = n_beat if part == 0 else n_beat // 2
                degree = int(np.clip(degree + rng.integers(-3, 4), -2, 11))
                note_hz = self.pitch_hz(degree)
                add_at(y, start + part * n_beat // 2, self._note(self.lead, note_hz, previous_hz, length, rng))
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
        harmonics = _uneven(timbre, n_harmonics(f0, 20), fall=self.brightness)
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


def _uneven(rng: np.random.Generator, count: int, fall: float) -> np.ndarray:
    """Amplitudes of `count` harmonics that fall as the `fall`-th power of their number, each off by some decibels."""
    return amplitude(rng.normal(0, 4, count)) / np.arange(1, count + 1) ** fall


def _bump_table(width: float) -> np.ndarray:
    """One period of zero mean and root mean square 1 with a bump over a share `width` of it."""
    phase = np.arange(8192) / 8192
    bump = np.exp(-0.5 * ((phase - 0.5) / (width / 3)) ** 2)
    return unit_rms((bump - bump.mean()).astype(np.float32))


def _spells(
    n_samples: int, rng: np.random.Generator, length_s: float, *, spread: float, gap_s: tuple[float, float]
) -> list[tuple[int, int]]:
    """Starts and lengths in samples of repeated sounds, the first of them whole and inside the clip."""
    total_s = n_samples / SR
    first_s = min(length_s * log_uniform(rng, 1 - spread, 1 + spread), 0.85 * total_s)
    start_s = rng.uniform(0.0, min(total_s - first_s, 0.4 * total_s))
    spells = [(int(start_s * SR), int(first_s * SR))]
    end_s = start_s + first_s + rng.uniform(*gap_s)
    while end_s < total_s - 0.05 and rng.random() < 0.85:
        next_s = length_s * log_uniform(rng, 1 - spread, 1 + spread)
        spells.append((int(end_s * SR), int(next_s * SR)))
        end_s += next_s + rng.uniform(*gap_s)
    return spells


def _rests(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """An envelope that is down for one stretch of a quarter to a half of the clip, anywhere in it."""
    n_rest = int(n_samples * rng.uniform(0.2, 0.5))
    envelope = np.ones(n_samples, dtype=np.float32)
    hole = 1 - gate(n_rest, 0.08, 0.05)
    start = int(rng.uniform(-0.3, 1.0) * n_samples)
    start = min(max(start, -n_rest // 2), n_samples - n_rest // 2)
    rest = np.ones(n_samples, dtype=np.float32)
    add_at(rest, start, hole - 1)
    return envelope * np.maximum(rest, 0.02)


SOUNDS: dict[str, type[Sound]] = {
    "air_conditioner": AirConditioner,
    "car_horn": CarHorn,
    "children_playing": ChildrenPlaying,
    "dog_bark": DogBark,
    "drilling": Drilling,
    "engine_idling": EngineIdling,
    "gun_shot": GunShot,
    "jackhammer": Jackhammer,
    "siren": Siren,
    "street_music": StreetMusic,
}
"""The classes in the order of their ids, as in UrbanSound8K."""
