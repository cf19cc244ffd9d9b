"""The command `lumbarseg`: what can be done without Snakemake. One module for each command, with `add_parser(commands)`.

The modules import what a command needs only when it runs, so that `--help` does not wait for TensorFlow.
"""
