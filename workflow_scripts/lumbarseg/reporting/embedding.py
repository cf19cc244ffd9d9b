"""Pictures within a page, so that it is one file that opens without a network."""

import base64
import io
from pathlib import Path

from PIL import Image


def embedded_picture(path: Path, largest_png: int) -> str:
    """Return a picture as a link that contains it; large ones, which are grey levels of images, as WebP of high quality.

    Args:
        path: a PNG.
        largest_png: bytes above which it is embedded as WebP; the file stays as it is.
    """
    content, kind = path.read_bytes(), "png"
    if len(content) > largest_png:
        shorter = io.BytesIO()
        Image.open(path).convert("RGB").save(shorter, "WEBP", quality=88, method=4)
        content, kind = shorter.getvalue(), "webp"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
