"""Toy generators without pixels, which follow exact laws."""
