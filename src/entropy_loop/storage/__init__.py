"""Results on the disk: stage folders, their receipts, and the only writers."""
