"""Measure a new session's labels and draw its page."""

from pathlib import Path

from lumbarseg.atomic_io import read_json
from lumbarseg.deployment.session_results import write_results
from lumbarseg.labels import LabelTable
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    ids = snakemake.wildcards
    write_results(
        labels_path=Path(snakemake.input.labels),
        t2w_path=Path(snakemake.input.t2w),
        entropy_path=Path(snakemake.input.entropy),
        record=read_json(snakemake.input.record),
        table=LabelTable(snakemake.params.classes, snakemake.params.background),
        identity={"participant_id": ids.participant, "session_id": ids.session},
        title=f"Lumbar spine, sub-{ids.participant} ses-{ids.session}",
        measures_path=Path(snakemake.output.measures),
        pdf_path=Path(snakemake.output.page[0]),
        png_path=Path(snakemake.output.page[1]),
    )
