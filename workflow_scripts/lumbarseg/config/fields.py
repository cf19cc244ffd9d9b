"""Types of the config's fields: names, ranges and lists with the checks that all sections share, and the base of the sections."""

import re
from collections import Counter
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Optimiser = Literal[
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion", "nadam", "rmsprop", "sgd"
]
Activation = Literal["relu", "prelu"]
Combiner = Literal["Arith", "Geo", "NAD", "NCD", "NSD", "TAD", "TCD", "TSD", "Flip"]
Labelling = Literal["MAP", "TH"]
Action = Literal["warn", "exclude", "ignore"]


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    times = Counter(values)
    repeated = next((value for value in values if times[value] > 1), None)
    if repeated is not None:
        raise PydanticCustomError("repeated", "names `{value}` twice", {"value": str(repeated)})
    return values


def _ordered(values: tuple[float, float]) -> tuple[float, float]:
    if values[0] > values[1]:
        raise PydanticCustomError("unordered", "must be the least and the greatest value, in this order")
    return values


def _possible_path(path: str) -> str:
    encoded = path.encode("utf-8", "surrogatepass")
    if len(encoded) > 4000 or any(len(name) > 255 for name in encoded.split(b"/")):
        raise PydanticCustomError("path", "is longer than paths can be")
    return path


def _name_matching(pattern: str, meaning: str) -> Any:
    """Constrain the names under a section whose keys the user chooses."""

    def check(name: str) -> str:
        if not re.fullmatch(pattern, name):
            raise PydanticCustomError("name", "must be {meaning}", {"meaning": meaning})
        return name

    return AfterValidator(check)


def text_matching(pattern: str, meaning: str) -> Any:
    """Constrain a text; editors show `meaning` where the text does not match, and so do our messages."""
    return Field(pattern=pattern, json_schema_extra={"patternErrorMessage": meaning})


# YAML has lists where these models have tuples, so strictness ends at the list itself; what is in it is checked strictly.
AS_LIST = Field(strict=False)
T = TypeVar("T")
ListOf = Annotated[tuple[T, ...], AS_LIST]
SetOf = Annotated[
    tuple[T, ...], Field(strict=False, json_schema_extra={"uniqueItems": True}), AfterValidator(_distinct)
]
OrderedPair = Annotated[tuple[T, T], AS_LIST, AfterValidator(_ordered)]
Name = Annotated[
    str,
    _name_matching("[A-Za-z0-9]+", "made of letters and digits"),
    Field(json_schema_extra={"pattern": "^[A-Za-z0-9]+$"}),
]
TableName = Annotated[
    str,
    _name_matching("table_[A-Za-z0-9]+", "like table_A9"),
    Field(json_schema_extra={"pattern": "^table_[A-Za-z0-9]+$"}),
]
# Formulas of spreadsheets, and what LaTeX, mathtext, label descriptions and tables read as more than text, are not in class names.
_NO_WORDS = r"\x00-\x1f!-%*-,/:-@\[-^`{-\xa0\u2000-\u206f\u3000\ufeff\uff00-\uff0f\uff1a-\uff20"
ClassName = Annotated[
    str,
    text_matching(
        rf"^[^{_NO_WORDS} &'()._-]([^{_NO_WORDS}]{{0,62}}[^{_NO_WORDS} ])?$",
        "text of at most 64 letters, digits, blanks and - _ . ( ) & ' that begins with a letter or digit",
    ),
]
FilePath = Annotated[
    str,
    text_matching(r"^[^\x00-\x1f\x7f]*$", "a path without control characters, of names of at most 255 bytes"),
    AfterValidator(_possible_path),
]
ExperimentName = Annotated[
    str, text_matching(r"^[A-Za-z0-9]+(\+[A-Za-z]+){0,2}$", "an experiment such as UMD+TH or networks+MAP")
]
Id = Annotated[str, text_matching("^[A-Za-z0-9]+$", "text of letters and digits")]
PositiveInt = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
PositiveFloat = Annotated[float, Field(gt=0)]
OptionalRange = OrderedPair[float] | None
Rates = Annotated[SetOf[PositiveFloat], Field(min_length=1)]


class Section(BaseModel):
    """A section of the config: frozen, no unknown keys, no conversion of texts to numbers."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,  # 20 and a default of 20 are the same 20.0, so that jobs are not repeated for it
    )
