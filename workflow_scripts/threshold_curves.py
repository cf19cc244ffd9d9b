"""Put the IoU at each threshold of every model and fold into one table."""

from lumbarseg.joblog import job

with job(snakemake.log[0]):
    from lumbarseg.files import read_json, whole
    from lumbarseg.labelling import curves_of_study

    curves = curves_of_study(map(read_json, snakemake.input.thresholds))
    with whole(snakemake.output[0]) as temporary:
        curves.to_csv(temporary, index=False)
