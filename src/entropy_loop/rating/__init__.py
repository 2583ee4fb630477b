"""The rating page, on which people mark the concepts they recognise and pick the best images in a browser."""
