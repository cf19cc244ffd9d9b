"""Semantic segmentation of the lumbar spine in sagittal T1w and T2w MR: the study from DICOM to report, stage by stage."""

from snakemake.utils import min_version

min_version("9.0")


configfile: workflow.source_path("config.yaml")


report: "rules/report/workflow.rst"


# With `--sdm apptainer` alone: docs/cluster.md.
container: "lumbarseg.sif"


include: "rules/common.smk"


# Rules that make metrics are left out if there are only the metrics (README, "Figures and tables on a laptop").
if not plan.metrics_only:

    include: "rules/sheet.smk"
    include: "rules/phantom.smk"
    include: "rules/convert.smk"
    include: "rules/register.smk"
    include: "rules/normalise.smk"
    include: "rules/patch.smk"
    include: "rules/quality.smk"
    include: "rules/split.smk"
    include: "rules/train.smk"
    include: "rules/search.smk"
    include: "rules/stack.smk"
    include: "rules/threshold.smk"
    include: "rules/reconstruct.smk"
    include: "rules/evaluate.smk"
    include: "rules/draft.smk"


include: "rules/report.smk"
include: "rules/bundle.smk"
include: "rules/segment.smk"
include: "rules/starter.smk"
include: "rules/collect.smk"


onstart:
    begin_run()


rule all:
    default_target: True
    input:
        results.all_tables,
        results.all_figures,
        paths.result("report/results.html"),
        [] if plan.metrics_only else paths.quality_page,
