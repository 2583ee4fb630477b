"""Measures of a pool besides recognition, and the null models that they are compared with."""
