"""Decide how an equation is contracted, and say why."""
