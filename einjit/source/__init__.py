"""Write a step's loop nest down as Python source."""
