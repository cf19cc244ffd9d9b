"""Make docs/gallery.md and its pictures from the demo's figures.

After `make demo`: `.venv/bin/python docs/gallery.py results/demo`. Without a folder, as in `make docs`, the page alone is written
again, from the pictures that there are.
"""

import sys
from pathlib import Path

from PIL import Image

from lumbarseg.atomic_io import atomic_write
from lumbarseg.reporting.results_page import CAPTIONS, SECTIONS

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


def write_pictures(figures: Path) -> None:
    """Copy the figures that have a caption, made small; pictures of other figures are removed."""
    for old in PICTURES.glob("*.png"):
        old.unlink()
    for name in CAPTIONS:
        if (figures / f"{name}.png").exists():
            with Image.open(figures / f"{name}.png") as image:
                write_small(image, PICTURES / f"{name}.png")


def page() -> str:
    """The page of the pictures that there are, in the order of the page of results."""
    parts = []
    for section in SECTIONS:
        figures = [
            f"\n### {title}\n\n![{title}](images/gallery/{name}.png)\n\n{caption}\n"
            for name, (of_section, title, caption) in CAPTIONS.items()
            if of_section == section and (PICTURES / f"{name}.png").exists()
        ]
        parts += [f"\n## {section}\n", *figures] if figures else []
    return HEAD + ("".join(parts) or EMPTY)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        figures = Path(sys.argv[1]) / "figures"
        if not figures.is_dir():
            sys.exit(f"{figures}: no such folder; run `make demo` first")
        write_pictures(figures)
    with atomic_write(DOCS / "gallery.md") as temporary:
        temporary.write_text(page(), encoding="utf-8")
