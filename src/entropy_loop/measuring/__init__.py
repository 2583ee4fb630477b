"""What is computed on a pool beside recognition, and what it is compared with."""
