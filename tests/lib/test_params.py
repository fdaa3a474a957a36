from typing import Annotated, Literal

import pytest
from pydantic import Field

from stages.lib.core.errors import ParamsError
from stages.lib.core.params import load_params, section


@section("oven")
class Oven:
    degrees: Annotated[int, Field(ge=0)]
    power: float
    mode: Literal["grill", "fan"]
    door_open: bool
    trays: list[int]
    timer_s: float | None

    def __post_init__(self):
        if self.door_open and self.degrees > 0:
            raise ValueError("oven.door_open is true while oven.degrees is over 0")


GOOD = {"degrees": "180", "power": "1.5", "mode": "fan", "door_open": "false", "trays": "[1, 3]", "timer_s": "null"}


def load(tmp_path, **changed):
    path = tmp_path / "params.yaml"
    values = {key: value for key, value in (GOOD | changed).items() if value is not None}
    path.write_text("oven:\n" + "".join(f"  {key}: {value}\n" for key, value in values.items()))
    return load_params(path, Oven)


def test_reads_one_section_into_a_frozen_dataclass(tmp_path):
    oven = load(tmp_path)
    assert oven == Oven(degrees=180, power=1.5, mode="fan", door_open=False, trays=[1, 3], timer_s=None)
    with pytest.raises(AttributeError):
        oven.degrees = 200


def test_a_whole_number_may_stand_where_a_float_is_declared(tmp_path):
    power = load(tmp_path, power="2").power
    assert (power, type(power)) == (2.0, float)


@pytest.mark.parametrize("text", ["1e-06", "1e-3", "1.0e-3", "+2E+5", ".5", "-3.e2"])
def test_a_small_number_is_one_however_it_is_written(tmp_path, text):
    """`dvc exp run -S oven.power=1e-6` writes 1e-06."""
    assert load(tmp_path, power=text).power == float(text)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"degrees": "hot"}, r"oven\.degrees: expected a whole number, found 'hot'$"),
        ({"degrees": "180.0"}, r"oven\.degrees: expected a whole number, found 180\.0"),
        ({"degrees": "true"}, r"oven\.degrees: expected a whole number, found True"),
        ({"degrees": "-1"}, r"oven\.degrees: expected a value greater than or equal to 0, found -1"),
        ({"power": "'1e-3'"}, r"oven\.power: expected a number, found '1e-3'; write it without quotes"),
        ({"power": "1e-x"}, r"oven\.power: expected a number, found '1e-x'$"),
        ({"power": ".inf"}, r"oven\.power: expected a finite number, found inf"),
        ({"power": ".nan"}, r"oven\.power: expected a finite number, found nan"),
        ({"mode": "boil"}, r"oven\.mode: expected 'grill' or 'fan', found 'boil'"),
        ({"door_open": "1"}, r"oven\.door_open: expected a boolean, found 1"),
        ({"trays": "1"}, r"oven\.trays: expected a list, found 1"),
        ({"trays": "[1, x]"}, r"oven\.trays\[1\]: expected a whole number, found 'x'"),
        ({"timer_s": None}, r"oven\.timer_s is missing"),
        ({"colour": "red"}, r"oven\.colour is not a known key; see the comments in the params\.yaml"),
        ({"door_open": "true"}, r"oven\.door_open is true while oven\.degrees is over 0"),
        ({"degrees": "hot", "colour": "red"}, r"oven\.degrees.*; oven\.colour"),
    ],
)
def test_names_the_key_what_was_expected_and_what_was_found(tmp_path, changed, message):
    with pytest.raises(ParamsError, match=message) as caught:
        load(tmp_path, **changed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fridge: {}", "expected a section 'oven'"),
        ("oven: 3", "expected a section 'oven' with keys below it, found 3"),
        ("", "expected a section 'oven'"),
        ("oven:\n  trays: [", "params.yaml line 2: not valid YAML: expected the node content, but found"),
        ("oven:\n  power: 1\n  power: 2", 'line 3: not valid YAML: found duplicate key "power" with value "2"'),
        ("oven:\n\tpower: 1", "line 2: not valid YAML: found character"),
        ("oven: !!python/object:os.system x", "line 1: not valid YAML: could not determine a constructor for the tag"),
        ("--- 1\n--- 2", "line 2: not valid YAML: but found another document"),
        ("oven: \0", "params.yaml: not valid YAML: unacceptable character"),
    ],
)
def test_a_file_without_the_section_is_named(tmp_path, text, message):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message) as caught:
        load_params(tmp_path / "params.yaml", Oven)
    assert "\n" not in str(caught.value)


def test_text_that_is_not_utf_8_is_named(tmp_path):
    (tmp_path / "params.yaml").write_bytes("oven: é".encode("latin-1"))
    with pytest.raises(ParamsError, match=r"params\.yaml: not valid YAML: 'utf-8' codec"):
        load_params(tmp_path / "params.yaml", Oven)


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(ParamsError, match="No such file or directory; run from the root"):
        load_params(tmp_path / "params.yaml", Oven)
