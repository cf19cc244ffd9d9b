"""The committee's pass over sessions: slices put together from patches, thresholds tuned, slices labelled and counted."""

from lumbarseg.inference.bands import Band, SlicePass, patches_to_start_with
from lumbarseg.inference.passes import label_sessions, score_histograms, write_labels
from lumbarseg.inference.sessions import SessionFiles, load_committee, read_truth, require_fitting, session_files

__all__ = [
    "Band",
    "SessionFiles",
    "SlicePass",
    "label_sessions",
    "load_committee",
    "patches_to_start_with",
    "read_truth",
    "require_fitting",
    "score_histograms",
    "session_files",
    "write_labels",
]
