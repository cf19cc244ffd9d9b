"""Characters of Unicode that a text can hold without showing them.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import unicodedata

# Default ignorable in Unicode, but of categories that are shown: joiners of marks, fillers of Hangul, vowels of Khmer that are not
# written, and variation selectors. The blank of Braille has no dots.
_IGNORABLE = {
    0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0,
    *range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0),
}  # fmt: skip


def is_invisible(character: str) -> bool:
    """Return whether a character has no sign of its own: control and format characters, fillers, private and unassigned ones.

    Blanks are not among them (`str.isspace`), but tabs and line ends are.
    """
    return unicodedata.category(character).startswith("C") or ord(character) in _IGNORABLE


def described(character: str) -> str:
    """Return a character as U+00AD SOFT HYPHEN, or as U+E000 if Unicode has no name for it."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()
