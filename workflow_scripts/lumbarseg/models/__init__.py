"""Networks composed from blocks (Section 4.1, Table 4), ensembles of them, and the metadata in their files."""
