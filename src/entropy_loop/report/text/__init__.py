"""The report in sentences, for the page, the terminal and Markdown."""
