"""Estimators and how they are fitted, calibrated, saved, loaded and asked."""
