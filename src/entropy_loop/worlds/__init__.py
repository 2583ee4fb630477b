"""Worlds: sources of images whose whole truth is known."""
