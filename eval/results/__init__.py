"""From records to tables, and from tables back: columns, scores of rows, comparisons of rows."""
