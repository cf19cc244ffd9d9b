"""Read the test slices that figures show from the images: chosen cases (Figure 7), and each experiment's worst."""

import itertools

import pandas as pd

from lumbarseg.config.model_sections import CaseSlice
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.evaluation.case_selection import cases_by_hand, choose_cases
from lumbarseg.evaluation.metrics import read_rows
from lumbarseg.reporting.images import SliceReader, worst_slices
from lumbarseg.reporting.slices import store_slices
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params, files = snakemake.params, snakemake.input
    masks = dict(zip(itertools.product(params.experiments, params.folds), files.masks, strict=True))
    merged = {"background": params.background, "unlabelled": params.unlabelled}
    read = SliceReader(params.sessions, files.t2w, files.t1w, files.truth, masks, **merged)
    columns = ["experiment", "fold", "participant_id", "session_id", "slice", "class_id", "iou"]
    per_slice = read_rows([files.per_slice], columns)
    chosen = choose_cases(per_slice, params.experiments[-1], params.background)
    by_hand = cases_by_hand(per_slice, [CaseSlice.model_validate(one) for one in params.by_hand])
    cases = pd.concat([by_hand, chosen])
    store_slices(snakemake.output.cases, [read.case(row.case, row, params.experiments) for row in cases.itertuples()])
    worst = read_csv(files.worst_cases)
    for experiment, path in zip(params.experiments, snakemake.output.worst, strict=True):
        rows = worst_slices(worst, experiment, params.most)
        store_slices(path, [read.case(name, row, [experiment]) for name, row in rows])
