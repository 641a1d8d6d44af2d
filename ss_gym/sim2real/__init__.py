"""How far simulated conversations are from real ones, and what to do about it."""
