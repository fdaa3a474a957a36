"""The report on a pull request as the Markdown that GitHub shows.

All sentences are this module's own; names, such as those of classes, become code that nothing in them can leave. It
needs nothing but Python itself, see `facts`.
"""

import math
import urllib.parse
from collections.abc import Callable, Sequence

from stages.commands.lock import explain_other_machine
from stages.commands.pull_request.facts import Facts, Metric, Picture, shorten

MARKER = "urban-ear-report"  # in a comment of HTML on the first line, by which the comment is found again
MAX_CHARACTERS = 60_000  # GitHub refuses 65,536; what remains is for the text around it
MAX_ROWS = 40  # of a table; more are counted
MAX_NAMES = 6  # in a sentence or a cell, the same
MAX_NAME, MAX_REASON = 120, 400  # characters of a name or value in a table, and of a reason
LEVEL = 0.05  # of p-values that are called significant; as in compare.paired_test, which needs NumPy
RUN_TEXTS = {  # of each of facts.RUNS
    "ran": "ran",
    "cached": "from the cache",
    "unchanged": "up to date",
    "failed": "**failed**",
    "timed out": "**stopped at the time limit**",
    "not run": "not run",
    "": "",
}

# The scores that are tested, as sentences name them, and which way they are better. Facts may come from anyone, so no
# other name of a metric stands in a sentence: it is shown as code.
TESTED = {
    "accuracy": ("Accuracy", 1),
    "balanced_accuracy": ("Balanced accuracy", 1),
    "macro_f1": ("Macro F1", 1),
    "log_loss": ("Log loss", -1),
}


def render(
    facts: Facts,
    *,
    picture_url: Callable[[Picture, str], str | None],
    page_url: str | None = None,
    sound_url: Callable[[str], str] | None = None,
) -> str:
    """The report as Markdown, below `MAX_CHARACTERS`: what does not fit is left out from the end, and said to be.

    `picture_url` gives the address of the "old" or "new" side of a picture, or None where it can be shown nowhere;
    `page_url` that of the page with all plots; `sound_url` that of the recording of a clip, where it can be linked to.
    """
    head = [f"## {_title(facts)}", _compared(facts), *_warnings(facts)]
    parts = [
        _params(facts),
        _metrics(facts),
        _stages(facts),
        _classes(facts),
        _clips(facts, sound_url, page_url),
        _pictures(facts, picture_url, page_url),
        _other_metrics(facts),
    ]
    foot = f"Made by `python -m stages.commands.pull_request.report`, which anyone can run in a clone.{_page(page_url)}"
    kept, left_out = list(head), False
    room = MAX_CHARACTERS - len(foot) - sum(map(len, head)) - 500
    for part in filter(None, parts):
        if len(part) + 2 <= room:
            kept.append(part)
            room -= len(part) + 2
        else:
            left_out = True
    if left_out:
        kept.append("_A part is left out, since a comment on GitHub has no room for it: run the command to see all._")
    return "\n\n".join([*kept, foot]) + "\n"


def _title(facts: Facts) -> str:
    for run, words in (("failed", "failed"), ("timed out", "was stopped at the time limit")):
        if names := [code(stage.name) for stage in facts.stages if stage.run == run]:
            return f"Stage {', '.join(names[:3])} {words}"
    tested = next((metric for metric in facts.metrics if metric.p is not None and metric.name in TESTED), None)
    if tested is None:
        return "Results" if facts.metrics else "No metric changed"
    values = f"{TESTED[tested.name][0]} {_number_of(tested, tested.old)} → {_number_of(tested, tested.new)}"
    if facts.only_machine:
        return f"{values} on another machine, with nothing else changed"
    return f"{values}: {_verdict(tested)}"


def _compared(facts: Facts) -> str:
    new = "with results that it does not hold yet" if facts.uncommitted else "with the results that it holds"
    runs = {stage.base_run for stage in facts.stages}
    if runs & {"failed", "timed out"}:
        old = "which could not be run here, so with the results that it holds"
    elif "ran" in runs:
        old = "run here too"
    else:
        old = "with results from the cache" if "cached" in runs else "with the results that it holds"
    on = ""
    if facts.n_clips:
        folds = f" of test fold{'s' * (len(facts.folds) > 1)} {', '.join(map(str, facts.folds))}" if facts.folds else ""
        on = f", on {facts.n_clips} clips from {facts.n_sources} sources{folds}"
    return (
        f"Compared: `{facts.head[:9]}` (here), {new}, and `{facts.base[:9]}` (base), the last commit shared with "
        f"{code(facts.base_name)}, {old}{on}."
    )


def _warnings(facts: Facts) -> list[str]:
    found = []
    base_ran = any(stage.base_run == "ran" for stage in facts.stages)
    if names := [code(stage.name) for stage in facts.stages if stage.other_machine][:MAX_NAMES]:
        found.append(f"> [!IMPORTANT]\n> {explain_other_machine(names, facts.only_machine)}")
    if facts.stale:
        found.append(
            f"> [!WARNING]\n> Not up to date: {_names(facts.stale)}. The results are of an older state; run "
            "`dvc repro`."
        )
    if facts.libraries:
        how = "Both were run with those of the new one" if base_ran else "Some of what changed may come of that"
        found.append(f"> [!NOTE]\n> The locked libraries (`requirements.txt`) differ. {how}.")
    if any(stage.run == "ran" for stage in facts.stages) and not base_ran:
        found.append("> [!NOTE]\n> The base was not run here: another machine may have changed the last digits.")
    if facts.n_left_out:
        found.append(f"> [!NOTE]\n> {facts.n_left_out} facts were too long, too many or malformed, and are left out.")
    return found


def _params(facts: Facts) -> str:
    if not facts.params:
        return "**Parameters**: none changed."
    several = len({change.file for change in facts.params}) > 1
    rows = [
        [code(f"{change.file}: {change.key}" if several else change.key), _value(change.old), _value(change.new)]
        for change in facts.params
    ]
    return "### Parameters\n" + table(["parameter", "base", "here"], rows)


def _value(value: str | None) -> str:
    return "–" if value is None else code(value)


def _metrics(facts: Facts) -> str:
    text = "### Metrics\n"
    if facts.metrics and all(metric.old is None for metric in facts.metrics):
        text += "The base has no metrics to compare with.\n\n"
    elif facts.metrics and all(metric.new is None for metric in facts.metrics):
        text += "There are no metrics here: the pipeline did not reach them.\n\n"
    if shown := [metric for metric in facts.metrics if _is_main(metric)]:
        if any(metric.p is not None for metric in shown):
            rows = [[*_values(metric), _interval(metric), _verdict(metric)] for metric in shown]
            text += table(["metric", "base", "here", "change", "95 % interval", "difference"], rows) + "\n\n"
        else:
            text += table(["metric", "base", "here", "change"], [_values(metric) for metric in shown]) + "\n\n"
    equal = f"{facts.n_unchanged} metrics did not change." if facts.n_unchanged else ""
    if not facts.metrics:
        return text + (equal or "There are none.")
    if facts.not_compared:
        why = code(facts.not_compared, MAX_REASON)
        return f"{text}Whether the difference is significant could not be tested: {why}. {equal}".strip()
    if not facts.n_clips:
        return (text + equal).strip()
    return (
        f"{text}*p*: how often two equal runs would differ as much (paired randomisation test over sources); below "
        f"{LEVEL} a difference is significant. Another seed of training is not in it. {equal}"
    ).strip()


def _is_main(metric: Metric) -> bool:
    return metric.name in TESTED


def _other_metrics(facts: Facts) -> str:
    rows = [_values(metric) for metric in facts.metrics if not _is_main(metric)]
    if not rows:
        return ""
    return _folded(f"{len(rows)} other numbers, not tested", table(["number", "base", "here", "change"], rows))


def _values(metric: Metric) -> list[str]:
    difference = ""
    if metric.old is not None and metric.new is not None:
        difference = _number_of(metric, metric.new - metric.old, sign=True)
    return [code(metric.name), _number_of(metric, metric.old), _number_of(metric, metric.new), difference]


def _number_of(metric: Metric, value: float | None, *, sign: bool = False) -> str:
    """A value of a metric; a count, which is whole on both sides, has no decimals."""
    sides = [side for side in (metric.old, metric.new) if side is not None]
    return number(value, sign=sign, whole=all(isinstance(side, int) for side in sides))


def _interval(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return ""
    return f"{number(metric.low, sign=True)} to {number(metric.high, sign=True)}"


def _verdict(metric: Metric) -> str:
    """Whether a score of `TESTED` is better; of equal runs no direction is said, since there is none."""
    if metric.old is None:
        return "new"
    if metric.new is None:
        return "removed"
    if metric.p is None:
        return "not tested"
    if metric.p >= LEVEL:
        return f"no significant difference ({_p_value(metric.p)})"
    better = TESTED[metric.name][1] * (metric.new - metric.old) > 0
    return f"{'▲ better' if better else '▼ worse'} ({_p_value(metric.p)})"


def _p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"


def _stages(facts: Facts) -> str:
    base = any(stage.base_run for stage in facts.stages)
    here = any(stage.run for stage in facts.stages)
    if not (here or base or any(stage.changed or stage.other_machine for stage in facts.stages)):
        return "**Stages**: none differs from the base."
    rows = [
        [code(stage.name)]
        + ([RUN_TEXTS[stage.run]] if here else [])
        + ([RUN_TEXTS[stage.base_run]] if base else [])
        + ["nothing, but gave other outputs" if stage.other_machine else _names(stage.changed)]
        for stage in facts.stages
    ]
    columns = ["stage", *["here"] * here, *["base, here"] * base, "differs from the base in"]
    return "### Stages\n" + table(columns, rows)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(map(code, names[:MAX_NAMES])) + more


def _classes(facts: Facts) -> str:
    moved = [row for row in facts.classes if row.old != row.new]
    if not moved:
        return ""
    rows = [
        [
            code(row.name),
            str(row.n_clips),
            _bar(row.old),
            _bar(row.new),
            number(row.new - row.old, sign=True),
            f"{'significant' if row.p < LEVEL else 'not significant'} ({_p_value(row.p)})",
        ]
        for row in moved
    ]
    text = table(["class", "clips", "base", "here", "change", "difference"], rows)
    said = f"\n\nThe test is corrected for the {len(facts.classes)} classes (Holm)."
    return _folded(f"Recall of the {_several(len(moved), 'class', 'classes')} that changed", text + said)


def _bar(fraction: float) -> str:
    filled = round(10 * min(max(fraction, 0), 1))
    return f"`{'█' * filled}{'░' * (10 - filled)}` {number(fraction)}"


def _clips(facts: Facts, sound_url: Callable[[str], str] | None, page_url: str | None) -> str:
    if not facts.clips:
        return ""
    rows = []
    for clip in facts.clips:
        name = code(clip.clip)
        if clip.has_sound and sound_url:
            name = f"[{name}]({sound_url(clip.clip)})"
        rows.append([name, code(clip.truth), code(clip.old), code(clip.new)])
    text = table(["clip", "class", "base", "here"], rows)
    if page_url and any(clip.has_sound for clip in facts.clips):
        text += "\n\nTo listen to them, open `report.md` in the artefact of the run: it links to each recording."
    title = f"{facts.n_gained} clips recognised only here, {facts.n_lost} only by the base"
    return _folded(title, text)


def _pictures(facts: Facts, url: Callable[[Picture, str], str | None], page_url: str | None) -> str:
    if not facts.pictures:
        return ""
    shown, hidden = [], []
    for picture in facts.pictures[:MAX_ROWS]:
        sides = [("old", picture.has_old), ("new", picture.has_new)]
        links = [url(picture, side) if has else None for side, has in sides]
        if any(has and link is None for link, (_, has) in zip(links, sides, strict=True)):
            hidden.append(code(picture.path))
            continue
        cells = [f"![{side}]({link})" if link else "–" for link, (side, _) in zip(links, sides, strict=True)]
        shown.append(f"{code(picture.path)}\n\n{table(['base', 'here'], [cells])}")
    pictures = _several(len(facts.pictures), "picture", "pictures")
    if not shown:
        where = "in the artefact, both sides side by side" if page_url else "with `dvc plots diff` or `--out DIR`"
        return f"**Pictures**: {pictures} changed; see them {where}."
    text = "\n\n".join(shown) + _more(len(facts.pictures))
    if hidden:
        where = "are in the artefact" if page_url else "can be seen with `dvc plots diff` or `--out`"
        text += f"\n\n{', '.join(hidden)} changed too; both sides {where}."
    return _folded(f"{pictures} that changed", text)


def _several(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def quote(path: str) -> str:
    """A path as part of an address: nothing in it ends the address or means anything else in Markdown."""
    return urllib.parse.quote(path, safe="/", errors="replace")


def _page(page_url: str | None) -> str:
    return f" All plots of both, as one page, are in the [artefact of the run]({page_url})." if page_url else ""


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; rows over `MAX_ROWS` are counted."""
    lines = [_row(head), _row(["---"] * len(head)), *map(_row, rows[:MAX_ROWS])]
    return "\n".join(lines) + _more(len(rows))


def _more(n: int) -> str:
    return f"\n\n… and {n - MAX_ROWS} more." if n > MAX_ROWS else ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def number(value: float | None, *, sign: bool = False, whole: bool = False) -> str:
    """A number with three decimals, or two digits where those would all be zero; a `whole` one without."""
    if value is None:
        return "–"
    plus = "+" if sign else ""
    if whole:
        return f"{value:{plus},.0f}"
    if 0 < abs(value) < 1e-6:
        return f"{value:{plus}.1e}"
    if 0 < abs(value) < 0.0005:
        return f"{value:{plus}.{1 - math.floor(math.log10(abs(value)))}f}"
    return f"{value:{plus},.3f}"


def code(text: str, limit: int = MAX_NAME) -> str:
    """Text of others as code in a cell of a table: whatever it holds, it is shown and does nothing.

    Plain text stands in backticks, a pipe in it escaped, as tables demand. Where backticks or backslashes would end
    that, every character but letters and digits becomes a number of HTML.
    """
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    text = shorten(text, limit)
    if not text.strip():
        return "(empty)"
    if "`" in text or "\\" in text or text != text.strip():
        encoded = "".join(character if character.isalnum() else f"&#{ord(character)};" for character in text)
        return f"<code>{encoded}</code>"
    return "`" + text.replace("|", "\\|") + "`"
