"""The docs site agrees with what it is made from."""

import re
import runpy

from factories.workflow import ROOT


def pinned(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ \\]+)", (ROOT / "envs" / name).read_text(), re.MULTILINE))


def test_docs_requirements_share_the_versions_of_the_tests_environment():
    docs, tests = pinned("docs.txt"), pinned("tests.txt")
    shared = docs.keys() & tests.keys()
    assert "ruff" in shared
    assert {name: docs[name] for name in shared} == {name: tests[name] for name in shared}


def test_docs_requirements_are_pinned_with_hashes_and_name_no_index():
    text = (ROOT / "envs/docs.txt").read_text()
    blocks = re.findall(r"^[a-z0-9._-]+==.*?(?=^[a-z0-9._-]+==|\Z)", text, re.MULTILINE | re.DOTALL)
    assert {"mkdocs-material", "mkdocstrings-python"} <= {block.split("==")[0] for block in blocks}
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


def test_gallery_page_lists_existing_pictures():
    page = runpy.run_path(str(ROOT / "docs/gallery.py"))["page"]()
    assert page == (ROOT / "docs/gallery.md").read_text(encoding="utf-8"), "make docs"
