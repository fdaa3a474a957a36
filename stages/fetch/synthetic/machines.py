"""The machines among the sounds of `sample`: fan, horn, drill, engine, gun, breaker and siren.

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
    bump_table,
    bursts,
    formants,
    gate,
    harmonic_amplitudes,
    log_uniform,
    low_pass,
    n_harmonics,
    pause_envelope,
    period_table,
    random_curve,
    read_table,
    renewal_times,
    shaped_noise,
    struck_body,
    times,
    unit_rms,
)


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
        """One random instance."""
        return cls(
            mains_hz=float(rng.choice([50.0, 60.0])),
            rotation_hz=rng.uniform(9, 28),
            n_blades=int(rng.integers(3, 10)),
            hum_db=rng.uniform(-6, 6),
            blade_db=rng.uniform(-10, 5),
            flow_cutoff_hz=log_uniform(rng, 150, 3000),
            flow_slope_db=rng.uniform(3, 9),
            rattle=rng.choice([0.0, rng.uniform(0.2, 0.8)]),
            whine_hz=log_uniform(rng, 300, 3500),
            whine_db=rng.uniform(-25, -3),
            timbre_seed=int(rng.integers(2**31)),
        )

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """One clip of the instance, float32 of shape (n_samples,) at `SR` Hz."""
        timbre = np.random.default_rng(self.timbre_seed)
        hum_hz, blade_hz = 2 * self.mains_hz, self.rotation_hz * self.n_blades
        hum = period_table(harmonic_amplitudes(timbre, n_harmonics(hum_hz, 40), fall=0.6), timbre)
        blade = period_table(harmonic_amplitudes(timbre, n_harmonics(blade_hz, 25), fall=1.0), timbre)
        speed = self.rotation_hz * (1 + random_curve(n_samples, rng, 0.5, 0.002))
        flow = shaped_noise(n_samples, rng, low_pass(self.flow_cutoff_hz, self.flow_slope_db))
        if self.rattle:
            flow *= 1 + self.rattle * read_table(bump_table(0.3), speed, n_samples, rng.uniform())
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
        """One random instance."""
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
        """One clip of the instance, float32 of shape (n_samples,) at `SR` Hz."""
        timbre = np.random.default_rng(self.timbre_seed)
        tables = []
        for tone_hz in self.tones_hz():
            count = n_harmonics(tone_hz, 24)
            body = formants(tone_hz * np.arange(1, count + 1), [self.resonance_hz], [self.resonance_hz]) + 0.15
            tables.append(period_table(body * harmonic_amplitudes(timbre, count, fall=0.3), timbre))
        y = np.zeros(n_samples, dtype=np.float32)
        for start, length in bursts(n_samples, rng, self.honk_s, spread=0.4, gap_s=(0.08, 0.9)):
            settling = 1 - 0.03 * np.exp(-times(length) / np.float32(self.settle_s))
            honk = sum(
                read_table(table, tone_hz * settling, length, rng.uniform())
                for table, tone_hz in zip(tables, self.tones_hz(), strict=True)
            )
            add_at(y, start, honk * gate(length, 0.012, 0.04))
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
        """One random instance."""
        return cls(
            motor_hz=log_uniform(rng, 140, 650),
            teeth=int(rng.integers(5, 14)),
            sideband=rng.uniform(0.1, 0.6),
            sag=rng.uniform(0.03, 0.2),
            bites_per_s=log_uniform(rng, 0.4, 2.5),
            cut_db=rng.uniform(-12, 3),
            cut_centre_hz=log_uniform(rng, 500, 4500),
            hammer=rng.choice([0.0, rng.uniform(0.3, 0.9)]),
            rest=bool(rng.random() < 0.3),
            timbre_seed=int(rng.integers(2**31)),
        )

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """One clip of the instance, float32 of shape (n_samples,) at `SR` Hz."""
        timbre = np.random.default_rng(self.timbre_seed)
        motor = period_table(harmonic_amplitudes(timbre, n_harmonics(self.motor_hz, 30), fall=0.7), timbre)
        load = np.clip(0.5 + random_curve(n_samples, rng, self.bites_per_s, 0.45), 0, 1)
        speed_hz = self.motor_hz * (1 - self.sag * load + random_curve(n_samples, rng, 12.0, 0.003))
        shaft = read_table(bump_table(0.5), speed_hz / self.teeth, n_samples, rng.uniform())
        tone = read_table(motor, speed_hz, n_samples, rng.uniform()) * (1 + self.sideband * shaft)
        cut = shaped_noise(n_samples, rng, band_pass(self.cut_centre_hz, 0.7)) * (0.3 + load)
        if self.hammer:
            cut *= 1 + self.hammer * read_table(bump_table(0.2), speed_hz / self.teeth, n_samples, rng.uniform())
        y = tone + np.float32(amplitude(self.cut_db)) * cut
        return y * pause_envelope(n_samples, rng) if self.rest else y


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
        """One random instance."""
        return cls(
            rpm=rng.uniform(600, 1150),
            n_cylinders=int(rng.choice([1, 2, 3, 4, 4, 6, 8])),
            jitter=rng.uniform(0.003, 0.015),
            unevenness=rng.uniform(0.05, 0.4),
            pipe_hz=tuple(log_uniform(rng, low, 2.2 * low) for low in (60, 130, 300, 700, 1600, 3500)),
            clatter_db=rng.uniform(-16, -3),
            clatter_hz=log_uniform(rng, 800, 4500),
            intake_db=rng.uniform(-18, -3),
            timbre_seed=int(rng.integers(2**31)),
        )

    def firing_hz(self) -> float:
        """Firings a second: every cylinder fires once in two turns."""
        return self.rpm / 120 * self.n_cylinders

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """One clip of the instance, float32 of shape (n_samples,) at `SR` Hz."""
        timbre = np.random.default_rng(self.timbre_seed)
        modes_hz = np.array(self.pipe_hz)
        levels = amplitude(timbre.uniform(-12, 0, len(modes_hz)))
        pulse = struck_body(modes_hz, timbre.uniform(2, 5) / modes_hz, levels, timbre)
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
        """One random instance."""
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
        """One clip of the instance, float32 of shape (n_samples,) at `SR` Hz."""
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
        """One random instance."""
        return cls(
            rate_hz=log_uniform(rng, 11, 32),
            jitter=rng.uniform(0.004, 0.03),
            modes_hz=tuple(log_uniform(rng, 500, 6000) for _ in range(rng.integers(3, 8))),
            decay_s=log_uniform(rng, 0.004, 0.025),
            thump_hz=log_uniform(rng, 60, 220),
            thump_db=rng.uniform(-14, 2),
            puff_db=rng.uniform(-12, 2),
            puff_s=log_uniform(rng, 0.008, 0.05),
            puff_hz=log_uniform(rng, 500, 4500),
            rest=bool(rng.random() < 0.3),
            timbre_seed=int(rng.integers(2**31)),
        )

    def render(self, n_samples: int, rng: np.random.Generator) -> np.ndarray:
        """One clip of the instance, float32 of shape (n_samples,) at `SR` Hz."""
        timbre = np.random.default_rng(self.timbre_seed)
        modes_hz = np.array(self.modes_hz)
        decays_s = self.decay_s * timbre.uniform(0.4, 1.0, len(modes_hz))
        ring = struck_body(modes_hz, decays_s, amplitude(timbre.uniform(-10, 0, len(modes_hz))), timbre)
        thump = struck_body(np.array([self.thump_hz]), np.array([2.0 / self.thump_hz]), np.ones(1), timbre)
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
        return y * pause_envelope(n_samples, rng) if self.rest else y


@dataclass(frozen=True)
class Siren:
    """An emergency vehicle: one tone that moves between two frequencies, slowly (wail), fast (yelp), in steps (hi-lo).

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
        """One random instance."""
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
        """One clip of the instance, float32 of shape (n_samples,) at `SR` Hz."""
        timbre = np.random.default_rng(self.timbre_seed)
        table = period_table(harmonic_amplitudes(timbre, n_harmonics(self.high_hz, 20), fall=self.fall), timbre)
        passing = 1 + self.doppler * np.linspace(-1, 1, n_samples, dtype=np.float32)
        f0 = self.course_hz(n_samples, rng.uniform()) * passing
        swell = amplitude(random_curve(n_samples, rng, 1.5, 2.0))
        return (read_table(table, f0, n_samples, rng.uniform()) * swell).astype(np.float32)
