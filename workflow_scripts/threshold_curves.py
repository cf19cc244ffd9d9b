"""Put the IoU at each threshold of every model and fold into one table."""

from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.atomic_io import atomic_write, read_json
    from lumbarseg.evaluation.labelling import curves_of_study

    curves = curves_of_study(map(read_json, snakemake.input.thresholds))
    with atomic_write(snakemake.output[0]) as temporary:
        curves.to_csv(temporary, index=False)
