"""How many frames a recording makes: apart from the spectrogram itself, since training needs only this."""


def n_frames(n_samples: int, *, win_length: int, hop_length: int) -> int:
    """The frames that fit into `n_samples`; at least one, since a shorter recording is filled up with zeros."""
    return 1 + max(0, n_samples - win_length) // hop_length
