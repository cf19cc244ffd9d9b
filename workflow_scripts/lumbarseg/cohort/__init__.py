"""The sessions of a study: sheet, folder layouts, selection, acquisition, and the split into folds."""
