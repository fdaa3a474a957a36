import pydantic
import pytest

from stages.lib.core.validation import MAX_SHOWN, describe_errors


class Tray(pydantic.BaseModel, extra="forbid", strict=True):
    cakes: list[int]
    label: str = pydantic.Field(default="", pattern="^[a-z]*$")


@pytest.mark.parametrize(
    ("trays", "message"),
    [
        ([{"cakes": [1, "2"]}], "oven[0].cakes[1]: expected a whole number, found '2'; write it without quotes"),
        ([{}, {"cakes": 1}], "oven[0].cakes is missing; oven[1].cakes: expected a list, found 1"),
        ([{"cakes": [], "cake": 1}], "oven[0].cake is not a known key; see the manual"),
        ([{"cakes": [], "label": "A"}], "oven[0].label: expected to match pattern '^[a-z]*$', found 'A'"),
        (3, "oven: expected a list, found 3"),
    ],
)
def test_each_problem_is_one_clause(trays, message):
    with pytest.raises(pydantic.ValidationError) as caught:
        pydantic.TypeAdapter(list[Tray]).validate_python(trays)
    assert describe_errors(caught.value, within="oven", see="the manual") == message


def test_without_a_section_the_value_itself_is_described():
    with pytest.raises(pydantic.ValidationError) as caught:
        pydantic.TypeAdapter(list[int]).validate_python("x" * 1000)
    message = describe_errors(caught.value, see="the manual")
    assert message.startswith("expected a list, found 'xxx")
    assert message.endswith("x...")
    assert len(message) < MAX_SHOWN + 30
