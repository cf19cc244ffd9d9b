"""Draw a session's slices with the contours of its draft."""

from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.quality import session_quality
from lumbarseg.reporting.figures.style import save_picture
from lumbarseg.reporting.images import read_session
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    labels = LabelTable(snakemake.params.classes, snakemake.params.background)
    images = read_session(snakemake.input.t2w, [], [snakemake.input.draft])
    save_picture(session_quality(images, labels), snakemake.output[0])
