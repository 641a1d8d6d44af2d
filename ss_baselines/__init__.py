"""Scripted baselines, and the evaluation that every agent goes through."""
