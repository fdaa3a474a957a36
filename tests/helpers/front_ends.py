"""Parameters of featurize that several tests share."""

from stages.lib.frontend.spectrogram import FeaturizeParams, PcenParams

# The recipe of the study: 53 ms Hamming windows, half overlapping, 150 bands up to 8 kHz.
STUDY = FeaturizeParams(
    sr=22050, window="hamming", win_length=1168, n_fft=1168, hop_length=584, n_mels=150, fmin=0.0, fmax=8000.0,
    mel_scale="slaney", mel_norm="slaney", power=1, compression="log", log_offset=1e-8, pcen=None, n_mfcc=None,
    lifter=None, stretch=[], pitch=[],
)  # fmt: skip
PCEN = PcenParams(gain=0.98, bias=2.0, power=0.5, time_constant_s=0.4, eps=1e-6)
GRID = {
    "study": {},
    "power": {"power": 2},
    "htk": {"mel_scale": "htk"},
    "htk, peaks of 1": {"mel_scale": "htk", "mel_norm": "none"},
    "peaks of 1, power": {"mel_norm": "none", "power": 2},
    "10 bands": {"n_mels": 10},
    "1 band": {"n_mels": 1},
    "some band": {"fmin": 300.0, "fmax": 3400.0, "n_mels": 64},
    "padded": {"n_fft": 2048},
    "padded, odd": {"n_fft": 1301, "win_length": 1001},
    "odd": {"n_fft": 1001, "win_length": 1001, "hop_length": 333, "n_mels": 64},
    "no overlap": {"hop_length": 1168},
    "short hop": {"hop_length": 57},
    "speech": {"win_length": 400, "n_fft": 512, "hop_length": 160, "n_mels": 40, "fmin": 50.0, "fmax": 7600.0},
    "8 kHz": {"sr": 8000, "fmax": 4000.0, "win_length": 256, "n_fft": 256, "hop_length": 128, "n_mels": 32},
    "44.1 kHz": {"sr": 44100, "fmax": 22050.0, "win_length": 2048, "n_fft": 2048, "hop_length": 512, "n_mels": 128},
} | {
    window: {"window": window, "n_mels": 64} for window in ("hann", "blackman", "blackmanharris", "bartlett", "boxcar")
}
