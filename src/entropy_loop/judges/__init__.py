"""Judges and the other observers of images: scorers for curation, judges of concepts, embedders and attribute readers.

Their contracts are in `contracts`.
"""
