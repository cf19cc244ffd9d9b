"""The thirteen topologies (Section 4.1, Table 4), composed from blocks by an entry of the configuration.

This package imports nothing by itself: `topology` is plain Python for the configuration, `build` needs Keras.
"""
