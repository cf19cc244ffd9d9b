"""The API reference of the docs site: one page for each package of the library, made from its sources (a hook of mkdocs.yml)."""

import ast
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

SOURCES = Path(__file__).parents[1] / "workflow_scripts"
LIBRARY = SOURCES / "lumbarseg"
PLACE = {"API reference": "api/"}
"""The entry of the navigation, one level deep, that the pages take the place of."""


def packages() -> Iterator[Path]:
    """The library's folder, then those of its packages."""
    yield LIBRARY
    yield from sorted(path.parent for path in LIBRARY.rglob("*/__init__.py"))


def dotted_name(path: Path) -> str:
    """The name by which a package or module is imported."""
    return ".".join(path.relative_to(SOURCES).with_suffix("").parts)


def package_page(folder: Path) -> str:
    """The page of a package: what it is for, then its modules with their public members."""
    package = folder / "__init__.py"
    modules = [path for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]
    # What a package only imports from its modules is documented there.
    own = [
        node.name
        for node in ast.parse(package.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    blocks = [
        f"# {dotted_name(folder)}",
        f"::: {dotted_name(folder)}\n    options:\n      show_root_heading: false\n      members: {own}",
        *(f"::: {dotted_name(path)}" for path in modules),
    ]
    return "\n\n".join(blocks) + "\n"


def overview_page() -> str:
    """The first page: every package and the first sentence of its docstring."""
    rows = []
    for folder in packages():
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
        summary = " ".join(docstring.split("\n\n")[0].split())
        rows.append(f"| [`{dotted_name(folder)}`]({dotted_name(folder)}.md) | {summary} |")
    head = "# API reference\n\nEvery package of the library, made from its sources.\n\n| package | what it holds |\n|---|---|\n"
    return head + "\n".join(rows) + "\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages into the navigation, where it has the entry `API reference: api/`."""
    pages: list[str | dict[str, str]] = ["api/index.md"]
    for folder in packages():
        name = dotted_name(folder)
        pages.append({name.removeprefix("lumbarseg."): f"api/{name}.md"})
    sections = [entries for section in config.nav for entries in section.values() if isinstance(entries, list)]
    for entries in sections:
        entries[:] = [{"API reference": pages} if entry == PLACE else entry for entry in entries]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    files.append(File.generated(config, "api/index.md", content=overview_page()))
    for folder in packages():
        files.append(File.generated(config, f"api/{dotted_name(folder)}.md", content=package_page(folder)))
    return files
