from pathlib import Path

import pandas as pd
import pytest

from stages.fetch.tables import CLIP_COLUMNS, Table, read_table
from stages.lib.core.errors import SourceError
from stages.lib.tables import COLUMNS


def read(path: Path) -> Table:
    return read_table(path, COLUMNS, required=("clip", "class"))


TABLES: dict[str, tuple[bytes, str | None]] = {
    "plain": (b"path,class\na.wav,dog\n", None),
    "byte-order mark": (b"\xef\xbb\xbfpath,class\na.wav,dog\n", None),
    "CRLF": (b"path,class\r\na.wav,dog\r\n", None),
    "CR": (b"path,class\ra.wav,dog\r", None),
    "semicolons": (b"path;class\na.wav;dog\n", None),
    "tabs": (b"path\tclass\na.wav\tdog\n", None),
    "quotes": (b'"path","class"\n"a.wav","dog"\n', None),
    "extra column, other order": (b"x,class,path\n1,dog,a.wav\n", None),
    "spaces in the head": (b"path , class\na.wav,dog\n", None),
    "blank lines": (b"path,class\n\na.wav,dog\n\n\n", None),
    "no line end": (b"path,class\na.wav,dog", None),
    "separator at the end": (b"path,class,\na.wav,dog,\n", None),
    "Excel's separator line": (b"sep=;\r\npath;class\r\na.wav;dog\r\n", None),
    "a separator that nobody would guess": (b'"sep=|"\npath|class\na.wav|dog\n', None),
    "missing column": (
        b"path,kind\na.wav,dog\n",
        r"t.csv: column class missing; expected path, class, found 'path', 'kind'; correct the first line",
    ),
    "no head": (b"a.wav,dog\n", r"t.csv: column path, class missing; .* found 'a.wav', 'dog'; correct the first line"),
    "empty file": (b"", r"t.csv: column path, class missing; .* found an empty file"),
    "empty table": (b"path,class\n", r"t.csv: expected a row for each clip, found none below the first line"),
    "column twice": (
        b"path,class,class\na.wav,dog,cat\n",
        r"t.csv: column class occurs more than once \(class, class\); keep one",
    ),
    "column twice but for case": (
        b"path,Class,class\na.wav,dog,cat\n",
        r"t.csv: column class occurs more than once \(Class, class\); keep one",
    ),
    "decimal comma without quotes": (
        b"path,class,start,end\na.wav,dog,1,5,3,5\n",
        r"t.csv line 2: expected 4 values, found 6; put values .* such as decimal commas, into quotes",
    ),
    "too many values after Excel's line": (
        b"sep=,\npath,class\na.wav,dog\nb.wav,dog,big\n",
        r"t.csv line 4: expected 2 values, found 3",
    ),
    "too many values": (
        b"path,class\na.wav,dog, big\n",
        r"t.csv line 2: expected 2 values, found 3; put values .* quotes",
    ),
    "open quote": (
        b'path,class\n"a.wav,dog\nb.wav,dog\nc.wav,dog\n',
        r"t.csv line 2: the row that begins here cannot be read \(.*\); check its quotes",
    ),
    "open quote in a later row": (b'path,class\na.wav,dog\n"b.wav,dog\nc.wav,"cat"\n', r"t.csv line 3: the row that"),
    "quote within a value": (b'path,class,x\na.wav,dog,5" pipe\n', None),
    "Latin-1": (b"path,class\n\xe9.wav,dog\n", r"t.csv: not UTF-8 text \(.*\); save it as CSV in UTF-8"),
    "UTF-16": ("path,class\na.wav,dog\n".encode("utf-16"), None),
    "UTF-16, big end first": (b"\xfe\xff" + "path,class\na.wav,dog\n".encode("utf-16-be"), None),
    "UTF-16 without a mark": (
        "path,class\na.wav,dog\n".encode("utf-16-le"),
        r"t.csv: not UTF-8 text \(it holds zero bytes\); save it as CSV in UTF-8",
    ),
    "UTF-16 cut": (b"\xff\xfep\x00a", r"t.csv: not UTF-8 text|column path"),
    "a spreadsheet": (b"PK\x03\x04rest", r"t.csv: a spreadsheet or a zip, not CSV; open it and save it as CSV"),
}


@pytest.mark.parametrize("case", TABLES)
def test_table_is_read_or_refused_in_one_line(tmp_path: Path, case: str) -> None:
    content, error = TABLES[case]
    (tmp_path / "t.csv").write_bytes(content)
    if error is None:
        assert read(tmp_path / "t.csv").rows[["clip", "class"]].to_numpy().tolist() == [["a.wav", "dog"]]
    else:
        with pytest.raises(SourceError, match=error) as caught:
            read(tmp_path / "t.csv")
        assert "\n" not in str(caught.value)


def test_other_text_is_kept_as_it_is(tmp_path: Path) -> None:
    cells = ["nan", "None", "007", "1e3", "1.0", "1,5", 'q"', "a,b", "two\nlines", "é"]
    pd.DataFrame({"class": cells, "path": "p"}).to_csv(tmp_path / "t.csv", index=False)
    table = read(tmp_path / "t.csv")
    assert table.rows["class"].tolist() == cells
    assert (table.unused_columns, table.notes) == ([], [])


def test_short_rows_end_in_blanks(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,class,fold\na.wav\n")
    assert read(tmp_path / "t.csv").rows[["clip", "class", "fold"]].to_numpy().tolist() == [["a.wav", "", ""]]


def test_what_certainly_means_the_same_is_tidied_and_said(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "path;class;fold;start;end\na.wav ; dog;1.0;1,5;2.25\nb.wav;cafe\u0301;2,0;3;4\nc.wav;dog\xa0;1.5;x;\n",
        encoding="utf-8",
    )
    table = read(tmp_path / "t.csv")
    assert table.rows[["clip", "class", "fold", "start_s", "end_s"]].to_numpy().tolist() == [
        ["a.wav ", "dog", "1", "1.5", "2.25"],  # paths are matched with files before they are stripped
        ["b.wav", "caf\u00e9", "2", "3", "4"],
        ["c.wav", "dog", "1.5", "x", ""],
    ]
    assert table.notes == [
        "t.csv: 2 values with blanks around them, stripped (class)",
        "t.csv: 2 values such as 1.0, read as 1 (fold)",
        "t.csv: 1 value such as 1,5, read as 1.5 (start_s)",
        "t.csv: 1 value with accents as characters of their own, composed (class)",
    ]


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("PATH,Class,FOLD,Source", {"clip": "0", "class": "1", "fold": "2", "source": "3"}),
        ("slice_file_name,fsID,start,end,salience,fold,classID,class", {"clip": "0", "source": "1", "class": "7"}),
        ("filename,fold,target,category,esc10,src_file,take", {"clip": "0", "class": "3", "source": "5"}),
        ("filename,onset,offset,event_label", {"clip": "0", "start_s": "1", "end_s": "2", "class": "3"}),
        ("File_Path,Start Time,END-TIME,Class Name", {"clip": "0", "start_s": "1", "end_s": "2", "class": "3"}),
        ("path,file,class,label", {"clip": "0", "class": "2"}),  # the preferred name counts, wherever it stands
        ("file,path,label,class", {"clip": "1", "class": "3"}),
    ],
)
def test_columns_are_known_by_several_names(tmp_path: Path, header: str, columns: dict[str, str]) -> None:
    n_columns = header.count(",") + 1
    (tmp_path / "t.csv").write_text(header + "\n" + ",".join(map(str, range(n_columns))))
    row = read(tmp_path / "t.csv").rows.iloc[0]
    assert {name: row[name] for name in columns} == columns


def test_columns_under_other_names_and_unused_ones_are_said(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("File Name,label,remark,,,take\na.wav,dog,loud,7,,1\n")
    table = read_table(tmp_path / "t.csv", COLUMNS, required=("clip", "class"), known=("take",))
    assert table.unused_columns == ["remark", "(column 4, without a name)"]
    assert table.notes == [
        "t.csv: columns recognised by another name: path from File Name, class from label",
        "t.csv: 2 columns not used: remark, (column 4, without a name)",
    ]
    assert list(table.rows.columns) == CLIP_COLUMNS


def test_a_table_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(SourceError, match=r"t.csv: cannot be read as CSV \(Is a directory\)"):
        read(tmp_path / "t.csv")
