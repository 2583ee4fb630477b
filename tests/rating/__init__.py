"""The rating page."""
