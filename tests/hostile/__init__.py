"""What strangers hand in."""
