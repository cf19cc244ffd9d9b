"""What Snakemake and the command line use: plan, paths, job logs, SLURM, progress."""
