"""Move a session's T1w onto its T2w."""

from pathlib import Path

from lumbarseg.imaging.registration.session import register
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    settings = snakemake.params.settings
    register(
        Path(snakemake.input.fixed),
        Path(snakemake.input.moving),
        Path(snakemake.output.image),
        Path(snakemake.output.matrix),
        engine=settings["engine"],
        degrees_of_freedom=settings["degrees_of_freedom"],
        report_path=Path(snakemake.output.report),
        max_shift_mm=settings["max_shift_mm"],
        max_rotation_degrees=settings["max_rotation_deg"],
        unusual_shift_mm=settings["unusual_shift_mm"],
        unusual_rotation_degrees=settings["unusual_rotation_deg"],
        settings=settings.get(settings["engine"], {}),
    )
