"""Tables, figures and the page of results (Sections 5.5 and 6)."""


rule figure:
    input:
        library_inputs("figure"),
        unpack(files_of("figure")),
    output:
        svg=report(figure("{figure}")[0], **in_report("figure", "SVG")),
        png=report(figure("{figure}")[1], **in_report("figure", "PNG")),
    log:
        result("logs/figure/{figure}.log"),
    benchmark:
        result("benchmarks/figure/{figure}.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        function=attribute_of("figure", "function"),
        needs=lambda wildcards: list(entry_of("figure", wildcards).files),
        settings=attribute_of("figure", "settings"),
        caption=attribute_of("figure", "caption"),
    message:
        "figure: {wildcards.figure}"
    script:
        "../workflow_scripts/figure.py"


rule table:
    input:
        library_inputs("table"),
        unpack(files_of("table")),
    output:
        csv=report(table("{table}")[0], **in_report("table", "CSV")),
        md=report(table("{table}")[1], **in_report("table", "Markdown")),
        tex=report(table("{table}")[2], **in_report("table", "LaTeX")),
        json=printed_table("{table}"),
    log:
        result("logs/table/{table}.log"),
    benchmark:
        result("benchmarks/table/{table}.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        function=attribute_of("table", "function"),
        needs=lambda wildcards: list(entry_of("table", wildcards).files),
        settings=attribute_of("table", "settings"),
        caption=attribute_of("table", "caption"),
    message:
        "table: {wildcards.table}"
    script:
        "../workflow_scripts/table.py"


rule results_page:
    input:
        library_inputs("results_page"),
        shown=page_items()[1],
        cohort=result("metrics/cohort.csv"),
        ranking=result("metrics/ranking.csv"),
        worst_cases=result("metrics/worst_cases.csv"),
        machine=result("metrics/machine.json"),
        networks=result("metrics/networks.csv"),
    output:
        report(
            result("report/results.html"),
            caption="report/results.rst",
            category="Results",
        ),
    log:
        result("logs/results_page.log"),
    benchmark:
        result("benchmarks/results_page.tsv")
    conda:
        "../envs/figures.yaml"
    params:
        study=config["study"],
        shown=page_items()[0],
        settings=contents.page_settings(STUDY),
        differences_from=differences_from(),
    message:
        "results_page: tables and figures on one page"
    script:
        "../workflow_scripts/results_page.py"
