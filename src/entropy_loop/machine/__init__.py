"""This machine: device, threads, processes, signals."""
