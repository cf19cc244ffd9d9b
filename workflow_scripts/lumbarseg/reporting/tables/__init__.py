"""The paper's tables and ours, as data frames and as CSV, Markdown and LaTeX files."""
