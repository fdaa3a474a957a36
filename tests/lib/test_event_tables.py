"""Strong labels in the forms of Audacity and of sed_eval: what is read, and what is refused, by its line."""

import pytest

from stages.lib.core.errors import SourceError
from stages.lib.event_tables import Span, read_event_table, read_label_track

CLASSES = ["car_horn", "dog", "café"]
HORN, DOG = Span(1.5, 3.0, "car_horn"), Span(2.0, 4.25, "dog")

TRACKS = {
    "as Audacity writes it": "1.500000\t3.000000\tcar_horn\n2.000000\t4.250000\tdog\n",
    "with blanks for underscores, as predict writes it": "1.5\t3\tcar horn\n2\t4.25\tdog\n",
    "with frequencies": "1.5\t3\tcar_horn\n\\\t200.0\t4000.5\n2\t4.25\tdog\n\\\t-1.0\t-1.0\n",
    "CRLF": "1.5\t3\tcar_horn\r\n2\t4.25\tdog\r\n",
    "CR": "1.5\t3\tcar_horn\r2\t4.25\tdog\r",
    "no line end": "1.5\t3\tcar_horn\n2\t4.25\tdog",
    "byte-order mark": "\ufeff1.5\t3\tcar_horn\n2\t4.25\tdog\n",
    "decimal commas": "1,5\t3,0\tcar_horn\n2\t4,25\tdog\n",
    "blanks and blank lines": "\n 1.5\t3 \t car_horn \n\t\t\n2\t4.25\tdog\n\n",
}


def track(folder, content):
    path = folder / "street.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_label_track(path, CLASSES)


@pytest.mark.parametrize("case", TRACKS)
def test_a_label_track_is_read(tmp_path, case):
    assert track(tmp_path, TRACKS[case]) == ([HORN, DOG], [])


def test_a_label_track_may_be_utf_16_and_accents_in_either_form(tmp_path):
    assert track(tmp_path, "1\t2\tcafé\n".encode("utf-16")) == ([Span(1.0, 2.0, "café")], [])
    assert track(tmp_path, "1\t2\tcafe\u0301\n") == ([Span(1.0, 2.0, "café")], [])


def test_a_label_may_hold_quotes(tmp_path):
    path = tmp_path / "street.txt"
    path.write_text('1\t2\tthe "big" dog\n3\t4\t"\n')
    assert read_label_track(path, ['the "big" dog', '"']) == (
        [Span(1.0, 2.0, 'the "big" dog'), Span(3.0, 4.0, '"')],
        [],
    )


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_label_track_is_that_of_a_recording_without_an_event(tmp_path, content):
    assert track(tmp_path, content) == ([], [])


BAD_LINES = {
    "-1\t2\tdog": r"expected a start in seconds from 0 on, found '-1'",
    "1\t-2\tdog": r"expected an end in seconds from 0 on, found '-2'",
    "one\t2\tdog": r"expected a start in seconds from 0 on, found 'one'",
    "1\t\tdog": r"expected an end in seconds from 0 on, found ''",
    "nan\t2\tdog": r"expected a start in seconds from 0 on, found 'nan'",
    "1\tinf\tdog": r"expected an end in seconds from 0 on, found 'inf'",
    "3\t2\tdog": r"expected an end after the start, found 3 to 2",
    "2\t2\tdog": r"expected an end after the start, found 2 to 2",
    "1\t2\tcat": r"expected a class (car_horn, dog, café), found 'cat'",
    "1\t2\t": r"expected a class (car_horn, dog, café), found ''",
    "1\t2": r"expected start, end and label with tabs between them, found '1\t2'",
    "1 2 dog": r"expected start, end and label with tabs between them, found '1 2 dog'",
    "a.wav\t1\t2\tdog": r"expected start, end and label with tabs between them, found 'a.wav\t1\t2\tdog'",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_of_a_track_is_named(tmp_path, line):
    spans, problems = track(tmp_path, f"1.5\t3\tcar_horn\n\\\t1\t2\n{line}\n2\t4.25\tdog\n")
    assert problems == [f"street.txt line 3: {BAD_LINES[line]}"]
    assert spans == [HORN, DOG]


def test_each_bad_line_gets_a_line_of_its_own(tmp_path):
    _, problems = track(tmp_path, "\r\n".join(BAD_LINES))
    assert problems == [f"street.txt line {n}: {text}" for n, text in enumerate(BAD_LINES.values(), start=1)]


def test_of_many_classes_the_first_are_named(tmp_path):
    (tmp_path / "a.txt").write_text("1\t2\tx\n")
    _, problems = read_label_track(tmp_path / "a.txt", [f"c_{i}" for i in range(12)])
    assert problems == [
        "a.txt line 1: expected a class (c_0, c_1, c_2, c_3, c_4, c_5, c_6, c_7, c_8, c_9 and 2 more), found 'x'"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1\t2\tcaf\xe9\n", r"street.txt: not UTF-8 text \(.*\); save it as a label track in UTF-8"),
        (b"PK\x03\x04rest", r"street.txt: a spreadsheet or a zip, not a label track"),
        (b"1\x00\t2\tdog", r"street.txt: not UTF-8 text \(it holds zero bytes\)"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, content, message):
    with pytest.raises(SourceError, match=message):
        track(tmp_path, content)


EVENTS = {"a.wav": [HORN, DOG], "day 1/b.wav": [Span(0.0, 1.0, "dog")]}
TABLES = {
    "tabs and a header": "filename\tonset\toffset\tevent_label\na.wav\t1.5\t3\tcar_horn\na.wav\t2\t4.25\tdog\n"
    "day 1/b.wav\t0\t1\tdog\n",
    "tabs, no header": "a.wav\t1.5\t3\tcar_horn\na.wav\t2\t4.25\tdog\nday 1/b.wav\t0\t1\tdog\n",
    "commas and a header": "filename,onset,offset,event_label\na.wav,1.5,3,car_horn\na.wav,2,4.25,dog\n"
    "day 1/b.wav,0,1,dog\n",
    "commas, no header": "a.wav,1.5,3,car_horn\na.wav,2,4.25,dog\nday 1/b.wav,0,1,dog\n",
    "semicolons and decimal commas": "a.wav;1,5;3;car_horn\na.wav;2;4,25;dog\nday 1/b.wav;0;1;dog\n",
    "CRLF and a byte-order mark": "\ufefffilename\tonset\toffset\tevent_label\r\na.wav\t1.5\t3\tcar_horn\r\n"
    "a.wav\t2\t4.25\tdog\r\nday 1/b.wav\t0\t1\tdog\r\n",
    "CRLF and a byte-order mark, no header": "\ufeffa.wav\t1.5\t3\tcar_horn\r\na.wav\t2\t4.25\tdog\r\n"
    "day 1/b.wav\t0\t1\tdog\r\n",
    "blank lines": "\na.wav,1.5,3,car_horn\n,,,\na.wav,2,4.25,dog\n\nday 1/b.wav,0,1,dog\n\n",
    "backslashes in paths": "a.wav,1.5,3,car_horn\na.wav,2,4.25,dog\nday 1\\b.wav,0,1,dog\n",
    "predict --csv": "file,start_s,end_s,class,confidence\na.wav,1.500,3.000,car_horn,0.9\na.wav,2,4.25,dog,0.8\n"
    "day 1/b.wav,0,1,dog,0.7\n",
    "other columns and another order": "note,Class,path,end,start\n,car_horn,a.wav,3,1.5\nloud,dog,a.wav,4.25,2\n"
    ",dog,day 1/b.wav,1,0\n",
}


def table(folder, content):
    (folder / "events.tsv").write_bytes(content.encode())
    return read_event_table(folder / "events.tsv", CLASSES)


@pytest.mark.parametrize("case", TABLES)
def test_an_event_table_is_read(tmp_path, case):
    assert table(tmp_path, TABLES[case]) == (EVENTS, [])


@pytest.mark.parametrize("row", ["b.wav", "b.wav,,,", "b.wav,,"])
@pytest.mark.parametrize("head", ["", "filename,onset,offset,event_label\n"])
def test_a_row_with_a_name_alone_is_a_recording_without_an_event(tmp_path, head, row):
    assert table(tmp_path, f"{head}a.wav,1.5,3,car_horn\n{row}\n") == ({"a.wav": [HORN], "b.wav": []}, [])


def test_such_a_row_may_be_the_first(tmp_path):
    assert table(tmp_path, "b.wav\t\t\t\na.wav\t1.5\t3\tcar_horn\n") == ({"b.wav": [], "a.wav": [HORN]}, [])


def test_names_of_files_are_in_composed_form(tmp_path):
    events, _ = table(tmp_path, "cafe\u0301.wav,1.5,3,car_horn\ncafé.wav,2,4.25,dog\n")
    assert events == {"café.wav": [HORN, DOG]}


BAD_ROWS = {
    "a.wav,-1,2,dog": "expected a start in seconds from 0 on, found '-1'",
    "a.wav,1,two,dog": "expected an end in seconds from 0 on, found 'two'",
    "a.wav,1,,dog": "expected an end in seconds from 0 on, found ''",
    "a.wav,3,2,dog": "expected an end after the start, found 3 to 2",
    "a.wav,1,2,cat": "expected a class (car_horn, dog, café), found 'cat'",
    "a.wav,1,2": "expected a class (car_horn, dog, café), found ''",
    ",1,2,dog": "expected the name of a recording, found a blank",
    "a.wav,1,5,2,5,dog": "expected 4 values, found 6; quote those with separators",
}


@pytest.mark.parametrize(("head", "first"), [("", 1), ("filename,onset,offset,event_label\n", 2)])
def test_each_bad_row_of_a_table_is_named(tmp_path, head, first):
    rows = ["a.wav,1.5,3,car_horn", *BAD_ROWS, "a.wav,2,4.25,dog"]
    events, problems = table(tmp_path, head + "\n".join(rows))
    assert problems == [f"events.tsv line {n}: {text}" for n, text in enumerate(BAD_ROWS.values(), start=first + 1)]
    assert events == {"a.wav": [HORN, DOG]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"events.tsv: expected rows of filename, onset, offset, event_label, found an empty file"),
        ("\ufeff\r\n", r"expected rows of filename, onset, offset, event_label, found an empty file"),
        ("filename,onset,offset,event_label\n", r"events.tsv: expected a row for each event, found none below"),
        (
            "filename,onset,event_label\na.wav,1,dog\n",
            r"events.tsv: column offset missing; expected filename, onset, offset, event_label, found 'filename', "
            r"'onset', 'event_label'; correct the first line",
        ),
        ("file,start,start,end,class\n", r"events.tsv: column start occurs more than once \(start, start\); keep one"),
        ('a.wav,1,2,"dog\nb.wav,1,2,dog\n', r"events.tsv line 1: the row that begins here cannot be read"),
    ],
)
def test_a_file_that_is_no_event_table_is_refused(tmp_path, content, message):
    with pytest.raises(SourceError, match=message):
        table(tmp_path, content)


def test_a_header_of_other_names_is_shown_as_the_row_that_it_is_taken_for(tmp_path):
    _, problems = table(tmp_path, "recording,begin,finish,sound\na.wav,1,2,dog\n")
    assert problems == ["events.tsv line 1: expected a start in seconds from 0 on, found 'begin'"]


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match=r"events.tsv: cannot be read as CSV \(No such file or directory\)"):
        read_event_table(tmp_path / "events.tsv", CLASSES)
