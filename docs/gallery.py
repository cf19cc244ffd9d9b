"""Make docs/gallery.md and its pictures from the demo's figures.

After `make demo`: `.venv/bin/python docs/gallery.py results/demo`. Without a folder, as in `make docs`, the page alone is written
again, from the pictures that there are.
"""

import sys
from pathlib import Path

from PIL import Image

from lumbarseg.atomic_io import atomic_write
from lumbarseg.reporting.contents import title_of
from lumbarseg.reporting.registry import Declaration, declarations

DOCS = Path(__file__).parent
PICTURES = DOCS / "images/gallery"
WIDTH = 1000
"""Pixels; the text of a figure can still be read."""

HEAD = """# Gallery

Figures of the demo, as `make demo` draws them: a small cohort of phantom patients, and networks far smaller and trained far
shorter than the paper's. They show what the workflow draws, not how well the paper's networks segment.
"""
EMPTY = "\nNo pictures yet: run `make demo`, then `.venv/bin/python docs/gallery.py results/demo`.\n"


def write_small(image: Image.Image, path: Path, width: int = WIDTH) -> None:
    """Write a picture as a small PNG: at most `width` pixels wide, with a palette of 256 colours."""
    height = round(image.height * width / image.width)
    small = image.convert("RGB")
    if image.width > width:
        small = small.resize((width, height), Image.Resampling.LANCZOS)
    with atomic_write(path) as temporary:
        small.quantize(256, dither=Image.Dither.NONE).save(temporary, optimize=True)


def shown() -> list[Declaration]:
    """The figures of the gallery, in the order of the page of results: those that a study has once."""
    return [one for one in declarations() if one.kind == "figure" and one.of_study and not one.for_each]


def write_pictures(figures: Path) -> None:
    """Copy the figures of the gallery, made small; pictures of other figures are removed."""
    for old in PICTURES.glob("*.png"):
        old.unlink()
    for one in shown():
        if (figures / f"{one.name}.png").exists():
            with Image.open(figures / f"{one.name}.png") as image:
                write_small(image, PICTURES / f"{one.name}.png")


def page() -> str:
    """The page of the pictures that there are."""
    parts: dict[str, list[str]] = {}
    for one in shown():
        if (PICTURES / f"{one.name}.png").exists():
            title = one.title or title_of(one.name)
            picture = f"\n### {title}\n\n![{title}](images/gallery/{one.name}.png)\n\n{one.caption}\n"
            parts.setdefault(one.section, [f"\n## {one.section}\n"]).append(picture)
    return HEAD + ("".join(text for section in parts.values() for text in section) or EMPTY)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        figures = Path(sys.argv[1]) / "figures"
        if not figures.is_dir():
            sys.exit(f"{figures}: no such folder; run `make demo` first")
        write_pictures(figures)
    with atomic_write(DOCS / "gallery.md") as temporary:
        temporary.write_text(page(), encoding="utf-8")
