"""Read the test slices that the figure of uncertainty shows from images, masks and maps."""

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.evaluation.case_selection import choose_cases
from lumbarseg.reporting.images import SliceReader
from lumbarseg.reporting.slices import store_slices
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params, files = snakemake.params, snakemake.input
    per_slice = read_csv(files.per_slice)
    cases = choose_cases(per_slice, params.experiment, params.background)
    masks = {(params.experiment, params.fold): files.masks}
    merged = {"background": params.background, "unlabelled": params.unlabelled}
    read = SliceReader(params.sessions, files.t2w, [], files.truth, masks, **merged)
    slices = [read.uncertain(row.case, row, params.experiment, files.maps) for row in cases.itertuples()]
    store_slices(snakemake.output[0], slices)
