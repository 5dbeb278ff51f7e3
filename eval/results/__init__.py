"""Makes tables from records: columns, names and scores of rows, as CSV, Markdown and LaTeX."""
