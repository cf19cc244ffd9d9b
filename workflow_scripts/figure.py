"""Draw the figure of a declaration."""

from lumbarseg.reporting.figures.style import save_figure, styled
from lumbarseg.reporting.registry import make
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]):
    params = snakemake.params
    files = {name: snakemake.input[name] for name in params.needs}
    figure = styled(make)(params.function, files, params.settings)
    save_figure(figure, svg_path=snakemake.output.svg, png_path=snakemake.output.png)
