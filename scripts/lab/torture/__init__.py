"""Worlds under load, a nemesis that draws faults for them, and what is checked from outside after each."""
