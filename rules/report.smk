"""Tables, figures and the page of results (Sections 5.5 and 6)."""


rule figure:
    input:
        library_inputs("figure"),
        unpack(shown.inputs("figure")),
    output:
        svg=report(paths.figure("{figure}")[0], **shown.in_report("figure", "SVG")),
        png=report(paths.figure("{figure}")[1], **shown.in_report("figure", "PNG")),
    log:
        paths.log("figure", "{figure}"),
    benchmark:
        paths.benchmark("figure", "{figure}")
    conda:
        "../envs/figures.yaml"
    params:
        function=shown.attribute("figure", "function"),
        needs=shown.needs("figure"),
        settings=shown.attribute("figure", "settings"),
        caption=shown.attribute("figure", "caption"),
    message:
        "figure: {wildcards.figure}"
    script:
        "../workflow_scripts/figure.py"


rule table:
    input:
        library_inputs("table"),
        unpack(shown.inputs("table")),
    output:
        csv=report(paths.table("{table}")[0], **shown.in_report("table", "CSV")),
        md=report(paths.table("{table}")[1], **shown.in_report("table", "Markdown")),
        tex=report(paths.table("{table}")[2], **shown.in_report("table", "LaTeX")),
        json=paths.printed_table("{table}"),
    log:
        paths.log("table", "{table}"),
    benchmark:
        paths.benchmark("table", "{table}")
    conda:
        "../envs/figures.yaml"
    params:
        function=shown.attribute("table", "function"),
        needs=shown.needs("table"),
        settings=shown.attribute("table", "settings"),
        caption=shown.attribute("table", "caption"),
    message:
        "table: {wildcards.table}"
    script:
        "../workflow_scripts/table.py"


rule results_page:
    input:
        library_inputs("results_page"),
        shown=shown.page_files(),
        cohort=paths.metrics("cohort.csv"),
        ranking=paths.metrics("ranking.csv"),
        worst_cases=paths.metrics("worst_cases.csv"),
        machine=paths.metrics("machine.json"),
        networks=paths.metrics("networks.csv"),
    output:
        report(
            paths.result("report/results.html"),
            caption="report/results.rst",
            category="Results",
        ),
    log:
        paths.log("results_page"),
    benchmark:
        paths.benchmark("results_page")
    conda:
        "../envs/figures.yaml"
    params:
        study=config["study"],
        shown=shown.page_items(),
        settings=shown.page_settings,
        differences_from=plan.differences_from_paper(Path(workflow.basedir) / "config.yaml"),
    message:
        "results_page: tables and figures on one page"
    script:
        "../workflow_scripts/results_page.py"
