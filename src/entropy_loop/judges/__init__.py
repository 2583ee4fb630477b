"""Judges: what looks at images. A scorer ranks them for curation, a recogniser answers for each concept.

What each returns stands in `contracts`.
"""
