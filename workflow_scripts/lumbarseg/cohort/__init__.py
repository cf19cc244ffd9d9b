"""Who is in a study: the sheet of sessions, folder layouts, selection, acquisition, and the split into folds."""
