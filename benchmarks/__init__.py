"""Measurements, as ratios within one run: machines are shared and noisy, so nothing here passes or fails by a time."""
