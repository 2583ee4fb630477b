"""The rating page: people say what they recognise, and pick the best, in a browser."""
