"""Pages and files of the repository that lie outside docs/, made part of the docs site (a hook of mkdocs.yml)."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""By file of the repository, the page it becomes."""

# The target of a Markdown link or picture, or of an HTML picture; an anchor after it stays.
_LINK = re.compile(r"""(?<=\]\()[^)\s#]+(?=[)#])|(?<=<img src=")[^"]+""")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave docs/ to the page, or to a copy of the file, that the site has of it."""
    docs = Path(config.docs_dir)
    folder = Path(page.file.abs_src_path).parent if page.file.abs_src_path else docs
    depth = page.file.src_uri.count("/")

    def on_site(link: re.Match[str]) -> str:
        target = (folder / link[0]).resolve()
        if "://" in link[0] or not target.is_file() or not target.is_relative_to(ROOT):
            return link[0]
        if target.is_relative_to(docs):
            place = target.relative_to(docs).as_posix()
        else:
            name = target.relative_to(ROOT).as_posix()
            place = PAGES.get(name, f"repository/{name}")
            if files.get_file_from_path(place) is None:
                files.append(File.generated(config, place, abs_src_path=str(target)))
        return "../" * depth + place

    return _LINK.sub(on_site, markdown)
