"""Which tables and figures a study has: they are declared in lumbarseg/reporting, where they are drawn."""

import yaml
from lumbarseg.reporting import contents

try:
    REPORT = contents.report_settings(STUDY)
    ENTRIES = {(entry.kind, entry.name): entry for entry in contents.contents(REPORT)}
except InputError as error:
    raise WorkflowError(str(error)) from None

REPORT_ITEM = "report/item.rst"


def table(name):
    """A table's three files."""
    return with_endings(result(f"tables/{name}"), "csv", "md", "tex")


def printed_table(name):
    """A table as it is printed, cell by cell."""
    return result(f"tables/{name}.json")


def figure(name):
    """A figure's two files."""
    return with_endings(result(f"figures/{name}"), "svg", "png")


def of_study(kind):
    """The figures or tables that the study includes."""
    return [entry for entry in ENTRIES.values() if entry.kind == kind and entry.of_study]


def all_tables():
    """Every table in every format."""
    return [path for entry in of_study("table") for path in table(entry.name)]


def all_figures():
    """Every figure in both formats."""
    return [path for entry in of_study("figure") for path in figure(entry.name)]


def entry_of(kind, wildcards):
    """The entry of a job of rule `figure` or `table`."""
    name = wildcards[kind]
    if (kind, name) not in ENTRIES:
        known = ", ".join(entry.name for entry in of_study(kind))
        raise WorkflowError(f"{kind}s/{name}: this study has no such {kind}; it has {known}")
    return ENTRIES[kind, name]


def files_of(kind):
    """An input function: the modules that make a figure or table, and the files it needs."""

    def files(wildcards):
        entry = entry_of(kind, wildcards)
        modules = [os.path.relpath(path) for path in files_of_library(entry.module)]
        return {"modules": modules, **{name: result(path) for name, path in entry.files.items()}}

    return files


def attribute_of(kind, name):
    """A params function: an attribute of the entry."""
    return lambda wildcards: getattr(entry_of(kind, wildcards), name)


def in_report(kind, file_format):
    """The arguments of Snakemake's `report` for a file of a figure or table."""

    def labels(wildcards):
        return {kind: entry_of(kind, wildcards).title, "format": file_format}

    return {"caption": REPORT_ITEM, "category": attribute_of(kind, "section"), "labels": labels}


def page_items():
    """The figures and tables of the page, with the file that it shows of each."""
    shown = ("kind", "name", "section", "title", "caption", "below", "is_one_of_many")
    items = [{name: getattr(entry, name) for name in shown} for entry in ENTRIES.values() if entry.of_study]
    files = [figure(item["name"])[1] if item["kind"] == "figure" else printed_table(item["name"]) for item in items]
    return items, files


def differences_from():
    """Which settings differ from the paper's study: key, this study's value, the paper's."""
    home = Path(workflow.basedir)
    paper = yaml.safe_load((home / "config.yaml").read_text(encoding="utf-8"))
    return STUDY.differences_from(Study(paper, home / "rules/schemas/config.schema.yaml"))
