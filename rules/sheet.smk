"""The sheet of sessions of a folder that is laid out in a known way; called by name alone, for a sheet belongs to its user.

Neither the sheet nor a benchmark is an output: the one would be remade over what its user changed in it, and with the other a
second call would do nothing instead of saying that there is a sheet already.
"""


rule write_sheet:
    log:
        paths.log("write_sheet"),
    localrule: True
    conda:
        "../envs/lumbarseg.yaml"
    params:
        layout=plan.layout,
        sheet=config["sessions"],
    message:
        "write_sheet: {params.sheet}"
    script:
        "../workflow_scripts/write_sheet.py"
