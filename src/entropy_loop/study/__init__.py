"""A study: from YAML to checked configs, one for each chain."""
