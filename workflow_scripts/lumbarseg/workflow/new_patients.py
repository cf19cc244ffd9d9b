"""What became of new sessions, reported when a run ends."""

import json
from collections.abc import Iterator
from pathlib import Path

from lumbarseg.cohort.sheet import Session
from lumbarseg.workflow.paths import LABEL, of_sessions
from lumbarseg.workflow.plan import Plan

_FAILED = "stopped: "  # how `joblog` marks the sentence that ends a job


def session_outcomes(plan: Plan) -> Iterator[str]:
    """Yield a line for each new session: segmented, with its flags; segmented in part, or not segmented, and why."""
    for session in plan.sessions if plan.study.config.bundle else []:
        labels, flags, *results = of_sessions(
            [session], plan.paths.segmented, plan.paths.session_flags, plan.paths.measures, *plan.paths.session_page
        )
        failure = _failure(plan, session)
        if not failure and all(Path(path).exists() for path in (labels, flags, *results)):
            listed = json.loads(Path(flags).read_text(encoding="utf-8"))
            yield f"{session.label}: {'; '.join(['segmented', *listed])}"
        elif not Path(labels).exists():
            yield f"{session.label}: NOT segmented: {failure or 'none of its jobs failed; it was not reached'}"
        elif failure and Path(flags).exists():
            yield f"{session.label}: NOT segmented: {failure} (results of an earlier run are still there)"
        else:
            yield f"{session.label}: segmented, but NOT measured: {failure or 'it was not reached'}"


def _failure(plan: Plan, session: Session) -> str:
    """The sentence with which a session's last failed job ended; empty if the last attempt at each of its jobs succeeded."""
    (pattern,) = of_sessions([session], plan.paths.log("*", LABEL))
    for log in sorted(Path().glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        messages = [line.partition(_FAILED)[2] for line in lines if _FAILED in line]
        if messages:
            return messages[-1]
    return ""
