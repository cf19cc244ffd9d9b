"""Draw where the ensemble is unsure and where it is wrong, in its best, median and worst slice."""

from pathlib import Path

import pandas as pd

from lumbarseg.evaluation.case_selection import choose_cases
from lumbarseg.geometry import read_plane
from lumbarseg.inference.uncertainty import MEASURES
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import save_figure
from lumbarseg.reporting.figures.uncertainty import UncertainSlice, uncertainty_maps
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    labels = LabelTable(params.classes, params.background)
    per_slice = pd.read_csv(snakemake.input.per_slice, dtype={"participant_id": str, "session_id": str})
    places = {tuple(session): place for place, session in enumerate(params.sessions)}
    slices = []
    for chosen in choose_cases(per_slice, params.experiment, labels.background).itertuples():
        place = places[chosen.participant_id, chosen.session_id]
        label = f"sub-{chosen.participant_id}_ses-{chosen.session_id}"
        files = [
            snakemake.input.t2w[place],
            snakemake.input.truth[place],
            Path(snakemake.input.masks) / f"{label}_dseg.nii.gz",
        ]
        files += [Path(snakemake.input.maps) / f"{label}_desc-{measure}_uncertainty.nii.gz" for measure in MEASURES]
        planes = [read_plane(file, chosen.slice) for file in files]
        slices.append(UncertainSlice(chosen.case, *(values for values, _ in planes), planes[0][1]))
    save_figure(uncertainty_maps(slices, labels, params.experiment), *snakemake.output)
