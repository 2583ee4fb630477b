"""From stages to tables: rates, changes, claims, verdicts. Never HTML."""
