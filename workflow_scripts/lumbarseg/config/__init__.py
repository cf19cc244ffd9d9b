"""A study's settings: the config and its models, topologies, and the values the paper prints."""
