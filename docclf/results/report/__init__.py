"""report.html, a search on one page, and index.html, each of its trials on one."""
