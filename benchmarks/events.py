"""Are events found when they sound? A model before and after it gets a head for frames, in one run.

    python -m benchmarks.events data/models/fold_5.keras --backgrounds FOLDER --unknown FOLDER --seeds 1 2 3
    python -m benchmarks.events data/models/fold_5.keras --fold validation

The network of the model stays as it is; what head it has is left out, and one is trained for each seed as
`stages.train` does, on soundscapes of clips of the model's training folds. All are scored on the soundscapes that
`evaluate` makes, of clips of the test fold: F1 of events within 0.5 s at both ends, over each background, and which
share of the events is found so, of those that sound alone and of those that overlap with another; where two classes
sound at once, the share of the seconds of both that is found; and events that name a class an hour, in noise and in
recordings of no class. Choose on `--fold validation`.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from stages.evaluate.event_scores import COLLAR_S, summarise_backgrounds
from stages.evaluate.recordings import find_recordings
from stages.evaluate.scores import EvaluateParams
from stages.evaluate.soundscapes import compose, detect_in_soundscapes, make_backgrounds
from stages.evaluate.unknown import detect_unknown
from stages.lib.audio import load_mono
from stages.lib.core.params import load_params
from stages.lib.features.store import Features, open_features
from stages.lib.inference.detect import StreamDetector
from stages.lib.inference.events import named_events
from stages.lib.inference.runtime import Model, open_model
from stages.lib.model.archive import load_model, read_metadata, save_model
from stages.lib.model.backend import start_backend
from stages.lib.model.metadata import EventsMetadata, FramesMetadata
from stages.lib.soundscapes.backgrounds import steady
from stages.lib.soundscapes.compose import Soundscape
from stages.train.recipe import EventParams

PARAMS = Path("params.yaml")
BLOCK_S = 0.1  # of the live stream


def main() -> None:
    """Score the model without a head, then with one of each seed, and print the table."""
    args = parse_args()
    features, params = open_features(args.features), load_params(PARAMS, EvaluateParams)
    events = load_params(PARAMS, EventParams)
    metadata = read_metadata(args.model)
    fold = metadata.split.test if args.fold == "test" else metadata.split.validation
    if fold is None:
        raise SystemExit(f"{args.model} has no {args.fold} fold")
    start_backend(metadata.train.backend)
    import keras

    from stages.train.frames import add_frame_head

    network = load_model(args.model)
    if metadata.frames is not None:
        network = keras.Model(network.input, network.outputs[0], name=network.name)
    metadata = metadata.model_copy(update={"frames": None, "events": None})
    settings = EventsMetadata(**{name: getattr(events, name) for name in EventsMetadata.model_fields})
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / args.model.name
        save_model(path, network, metadata)
        rows.append({"head": "none"} | score(open_model(path), fold, features, params, args))
        for seed in args.seeds:
            begun = time.perf_counter()
            both, step = add_frame_head(
                network,
                metadata,
                features.clips(metadata.split.train),
                partial(load_clip, args.raw, metadata.featurize.sr),
                events,
                seed,
            )
            seconds = time.perf_counter() - begun
            frames = FramesMetadata(step=step, n_soundscapes=events.n_soundscapes)
            save_model(path, both, metadata.model_copy(update={"frames": frames, "events": settings}))
            found = score(open_model(path), fold, features, params, args)
            rows.append({"head": f"seed {seed}"} | found | {"training_s": round(seconds)})
    print(pd.DataFrame(rows).set_index("head").T.round(3).to_string())


def score(
    model: Model, fold: int, features: Features, params: EvaluateParams, args: argparse.Namespace
) -> dict[str, float]:
    """The scores of a model over each background, and how often it names sounds of no class."""
    sr = model.metadata.featurize.sr
    load = partial(load_clip, args.raw, sr)
    params = replace(params, n_soundscapes=args.soundscapes)
    detect = partial(
        detect_in_soundscapes,
        model,
        fold,
        features.clips([fold]),
        load,
        make_backgrounds(sr, recordings_in(args.backgrounds)),
        params,
    )
    found = detect()
    table = summarise_backgrounds({fold: found.counts}, {fold: found.overlaps}).set_index("background")
    scores = {
        f"{name} {column}": float(table.loc[name, column])
        for column in ("event_f1", "intersection_f1", "overlap_recall")
        for name in table.index
    }
    for background, events in found.events.groupby("background", sort=False):
        alone, in_pairs = recall_alone_and_in_pairs(events)
        scores |= {f"{background} recall alone": alone, f"{background} recall in pairs": in_pairs}
    unknown = detect_unknown(model, args.unknown, recordings_in(args.unknown), params.seed)
    per_hour = unknown.groupby("kind")[["n_named", "duration_s"]].sum()
    live = detect(looks_ahead=False)
    of_live = summarise_backgrounds({fold: live.counts}, {fold: live.overlaps}).set_index("background")["event_f1"]
    scores |= of_live.add_suffix(" event_f1 live").to_dict()
    scores |= live_delays(model, compose(features.clips([fold]), load, fold, steady(sr), params, sr))
    return scores | (3600 * per_hour["n_named"] / per_hour["duration_s"]).add_suffix(" false events an hour").to_dict()


def live_delays(model: Model, soundscapes: Iterable[Soundscape]) -> dict[str, float]:
    """How soon a live stream names a sound, by its captions and by its events: the share of the placed clips that are
    named before they end, and the median of the seconds until then.
    """
    sr = model.metadata.featurize.sr
    n_block = round(BLOCK_S * sr)
    delays: dict[str, list[float]] = {"caption": [], "event": []}  # infinite for what is not named in time
    for soundscape in soundscapes:
        detector = StreamDetector(model, sr, batch_size=1, looks_ahead=False)
        named: dict[str, list[tuple[float, str, float]]] = {kind: [] for kind in delays}  # when, what, until when
        for start in range(0, len(soundscape.y), n_block):
            events = detector.push(soundscape.y[start : start + n_block, np.newaxis])
            at_s = detector.duration_s
            named["event"] += [(at_s, e.label, e.end_s) for e in named_events([*events, *detector.ongoing])]
            if detector.newest is not None:
                named["caption"] += [(at_s, label, at_s) for label, _ in detector.active_classes(detector.newest)]
        for placed in soundscape.placed:
            for kind, found in named.items():
                times = (
                    at_s
                    for at_s, label, until_s in found
                    if label == placed.label and placed.start_s <= min(at_s, until_s) and at_s <= placed.end_s
                )
                delays[kind].append(next(times, np.inf) - placed.start_s)
    return {
        f"live {kind} {what}": value
        for kind, seconds in delays.items()
        for what, value in (
            ("before the end", float(np.isfinite(seconds).mean())),
            ("after, s", float(np.median([s for s in seconds if np.isfinite(s)]))),
        )
    }


def recall_alone_and_in_pairs(events: pd.DataFrame) -> tuple[float, float]:
    """Which share of the reference events has an estimated one of its class within the collar at both ends: of those
    that no other overlaps, and of the rest. `events` has the columns of `SoundscapeDetections.events`.
    """
    found: dict[bool, list[bool]] = {False: [], True: []}  # by whether another overlaps
    for _, group in events.groupby("soundscape"):
        reference, estimated = (group[group["kind"] == kind] for kind in ("reference", "estimated"))
        for event in reference.to_dict("records"):
            sounds_then = (reference["start_s"] < event["end_s"]) & (reference["end_s"] > event["start_s"])
            is_near = (
                (estimated[["start_s", "end_s"]] - [event["start_s"], event["end_s"]]).abs().le(COLLAR_S).all(axis=1)
            )
            found[int(sounds_then.sum()) > 1].append(bool((is_near & (estimated["class"] == event["class"])).any()))
    return float(np.mean(found[False])), float(np.mean(found[True]))


def load_clip(raw: Path, sr: int, clip: str) -> np.ndarray:
    """The samples of a clip at `sr` Hz, float32 of shape (n_samples,)."""
    return load_mono(raw / "audio" / clip, sr)


def recordings_in(folder: Path | None) -> Sequence[Path]:
    """The recordings in a folder, none without one."""
    return find_recordings(folder, str(folder)) if folder else []


def parse_args() -> argparse.Namespace:
    """Read what is scored, and on what."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--features", type=Path, default=Path("data/features"))
    parser.add_argument("--raw", type=Path, default=Path("data/raw"))
    parser.add_argument("--fold", choices=["test", "validation"], default="test")
    parser.add_argument("--seeds", nargs="*", type=int, default=[1])
    parser.add_argument("--soundscapes", type=int, default=10, help="over each background")
    parser.add_argument("--backgrounds", type=Path, help="folder of recordings, as a further background")
    parser.add_argument("--unknown", type=Path, help="folder of recordings of no class")
    return parser.parse_args()


if __name__ == "__main__":
    main()
