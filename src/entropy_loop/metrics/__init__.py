"""Metrics: small pure functions from counts to numbers with their uncertainty; one file each."""
