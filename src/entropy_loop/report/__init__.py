"""Reading: receipts and stage tables -> CSV, figures, one HTML file. Never recomputes a stage, never loads torch."""
