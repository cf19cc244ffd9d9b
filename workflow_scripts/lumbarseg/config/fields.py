"""Types of the config's fields: names, ranges and lists with the checks that all sections share, and the base of the sections."""

import re
import unicodedata
from collections import Counter
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from lumbarseg.characters import described, is_invisible
from lumbarseg.spreadsheets import harmless_text

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


_LONGEST_NAME = 64  # characters of a class name, as of a segment's label in DICOM

# What LaTeX, mathtext, label descriptions and tables read as more than text, and the same in full width, is not in class names.
_NO_WORDS = r"""!"#$%*+:;<=>?@[\]^`{|}~""" + "！＂＃＄％＊＋：；＜＝＞？＠"
_SIGNS = "-_.,/()&'"
_BLANKS = " \u3000"
_QUOTE_AND_DASHES = "\u2019\u2010\u2011\u2012\u2013\u2014\u2015"
_JOINERS = "\u200c\u200d"


def _class_name(name: str) -> str:
    wrong = next((at for at in range(len(name)) if not _may_be_in_name(name, at)), None)
    if wrong is not None:
        reason = f"its character {wrong + 1} is {described(name[wrong])}"
    elif not 0 < len(name) <= _LONGEST_NAME:
        reason = f"{len(name)} characters"
    elif harmless_text(name) != name:
        reason = "spreadsheets read a part of it as a formula"
    else:
        return name
    raise PydanticCustomError("class_name", "{reason}", {"reason": reason})


def _may_be_in_name(name: str, at: int) -> bool:
    """Whether a character of a class name may be at its place."""
    sign, is_end = name[at], at in (0, len(name) - 1)
    if sign in _JOINERS:  # which Persian, Hindi and others need within words
        return not is_end and all(unicodedata.category(one)[0] in "LM" for one in (name[at - 1], name[at + 1]))
    if sign in _BLANKS:
        return not is_end
    if at == 0 and (unicodedata.normalize("NFKC", sign)[0] in _SIGNS or unicodedata.category(sign)[0] in "PM"):
        return False
    if "\u2000" <= sign <= "\u206f":
        return sign in _QUOTE_AND_DASHES
    return not (sign in _NO_WORDS or sign.isspace() or is_invisible(sign))


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
ClassName = Annotated[
    str,
    AfterValidator(_class_name),
    Field(
        json_schema_extra={
            "pattern": rf"^[^\x00-\x1f\x7f{re.escape(_NO_WORDS)}]{{1,{_LONGEST_NAME}}}$",
            "patternErrorMessage": f"text of at most {_LONGEST_NAME} letters, digits, blanks and {' '.join(_SIGNS)} that begins with a "
            "letter or digit",
        }
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
