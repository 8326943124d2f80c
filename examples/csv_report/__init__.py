"""Rows of a CSV file become a grouped and sorted report: ``python -m examples.csv_report``."""
