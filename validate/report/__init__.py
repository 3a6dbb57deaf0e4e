"""Pages: the report, a function of the data of report.json alone."""
