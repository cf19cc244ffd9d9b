"""List the sessions without a mask in the order in which to draw them."""

from lumbarseg.atomic_io import atomic_write, read_json, write_csv
from lumbarseg.deployment.draft_list import commands_of_list, list_drafts
from lumbarseg.workflow.joblog import job

with job(snakemake.log[0]) as logger:
    given, params = snakemake.input, snakemake.params
    records, profiles, drawn = (list(map(read_json, paths)) for paths in (given.records, given.profiles, given.drawn))
    listed = list_drafts(params.sessions, records, profiles, drawn, params.following, params.novelty)
    write_csv(snakemake.output.listed, listed)
    with atomic_write(snakemake.output.commands) as temporary:
        temporary.write_text(commands_of_list(listed, params.channels), encoding="utf-8")
    for row in listed[listed["next"]].itertuples():
        logger.info("%d. sub-%s ses-%s", row.rank, row.participant_id, row.session_id)
