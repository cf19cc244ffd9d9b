"""Measure a new session's labels, draw its page, and write them as DICOM-SEG if the T2w came as DICOM."""

from pathlib import Path

from lumbarseg.atomic_io import read_json, write_json
from lumbarseg.deployment.session_results import write_results
from lumbarseg.labels import LabelTable
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    ids, given, params = snakemake.wildcards, snakemake.input, snakemake.params
    record = read_json(given.record)
    if not given.dicom:
        # Of an earlier run, when the T2w came as DICOM.
        Path(params.dicomseg).unlink(missing_ok=True)
    flags = write_results(
        labels_path=Path(given.labels),
        t2w_path=Path(given.t2w),
        entropy_path=Path(given.entropy),
        record=record,
        table=LabelTable(params.classes, params.background),
        identity={"participant_id": ids.participant, "session_id": ids.session},
        title=f"Lumbar spine, sub-{ids.participant} ses-{ids.session}",
        measures_path=Path(snakemake.output.measures),
        pdf_path=Path(snakemake.output.page[0]),
        png_path=Path(snakemake.output.page[1]),
        dicom=(Path(given.dicom[0]), Path(params.dicomseg)) if given.dicom else None,
    )
    for flag in flags[len(record["flags"]) :]:
        logger.warning("sub-%s ses-%s: %s", ids.participant, ids.session, flag)
    write_json(snakemake.output.flags, flags)
