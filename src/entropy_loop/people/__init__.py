"""People as raters and curators: which images they are asked about, their answers and their picks."""
