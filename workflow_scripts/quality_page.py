"""Show every session on one page, those that somebody should look at first."""

from pathlib import Path

import pandas as pd

from lumbarseg.atomic_io import atomic_write, read_json
from lumbarseg.reporting.quality_page import quality_page
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    moved = {}
    for path in snakemake.input.registration:
        moved = pd.read_csv(path, keep_default_na=False).set_index("session").to_dict("index")
    sessions = []
    for (participant, session), picture, choice in zip(
        params.sessions, snakemake.input.pictures, snakemake.input.choices, strict=True
    ):
        label, details, flags = f"sub-{participant}_ses-{session}", {}, []
        for contrast, chosen in read_json(choice).items():
            taken = chosen.get("taken")
            details[contrast] = (
                f"series {taken['series_number']}, {taken['slices']} slices" if taken else "the file of the sheet"
            )
        if label in moved:
            row = moved[label]
            details["moved"] = (
                f"{row['shift_mm']:.2f} mm, {row['rotation_degrees']:.2f}°, corners {row['corner_displacement_mm']:.2f} mm"
            )
            details["mutual information"] = f"{row['before']:.3f} → {row['after']:.3f} nats"
            details["overlap"] = f"{100 * row['overlap_before']:.1f} → {100 * row['overlap_after']:.1f} %"
            flags += [row["flag"]] if row["flag"] else []
        sessions.append({"session": label, "picture": Path(picture).name, "details": details, "flags": flags})
    with atomic_write(snakemake.output[0]) as temporary:
        temporary.write_text(quality_page(params.study, sessions), encoding="utf-8")
