"""Tables, figures and the page of results (Sections 5.5 and 6)."""

CAPTION = "report/caption.rst"


rule figure:
    input:
        library_inputs("figure"),
        unpack(results.inputs("figure")),
    output:
        svg=report(paths.figure("{figure}")[0], caption=CAPTION, **results.in_report("figure", "SVG")),
        png=report(paths.figure("{figure}")[1], caption=CAPTION, **results.in_report("figure", "PNG")),
    log:
        paths.log("figure", "{figure}"),
    benchmark:
        paths.benchmark("figure", "{figure}")
    conda:
        "../envs/figures.yaml"
    resources:
        # Seconds; but a group of jobs asks for the sum.
        runtime=scale_with_attempt(10),
    params:
        function=results.parameter("figure", "function"),
        needs=results.parameter("figure", "parameters_of_files"),
        settings=results.parameter("figure", "settings"),
        caption=results.parameter("figure", "caption"),
    message:
        "figure: {wildcards.figure}"
    script:
        "../workflow_scripts/figure.py"


rule table:
    input:
        library_inputs("table"),
        unpack(results.inputs("table")),
    output:
        csv=report(paths.table("{table}")[0], caption=CAPTION, **results.in_report("table", "CSV")),
        md=report(paths.table("{table}")[1], caption=CAPTION, **results.in_report("table", "Markdown")),
        tex=report(paths.table("{table}")[2], caption=CAPTION, **results.in_report("table", "LaTeX")),
        json=paths.printed_table("{table}"),
    log:
        paths.log("table", "{table}"),
    benchmark:
        paths.benchmark("table", "{table}")
    conda:
        "../envs/figures.yaml"
    resources:
        # Seconds; but a group of jobs asks for the sum.
        runtime=scale_with_attempt(10),
    params:
        function=results.parameter("table", "function"),
        needs=results.parameter("table", "parameters_of_files"),
        settings=results.parameter("table", "settings"),
        caption=results.parameter("table", "caption"),
    message:
        "table: {wildcards.table}"
    script:
        "../workflow_scripts/table.py"


rule results_page:
    input:
        library_inputs("results_page"),
        shown=results.page_files,
        cohort=paths.metrics("cohort.csv"),
        ranking=paths.metrics("ranking.csv"),
        worst_cases=paths.metrics("worst_cases.csv"),
        machine=paths.metrics("machine.json"),
        networks=paths.metrics("networks.csv"),
    output:
        report(paths.result("report/results.html"), caption="report/results.rst", category="Results"),
    log:
        paths.log("results_page"),
    benchmark:
        paths.benchmark("results_page")
    conda:
        "../envs/figures.yaml"
    params:
        study=config["study"],
        shown=results.page_items,
        settings=results.page_settings,
        differences_from=plan.differences_from_paper(Path(workflow.basedir) / "config.yaml"),
    message:
        "results_page: tables and figures on one page"
    script:
        "../workflow_scripts/results_page.py"
