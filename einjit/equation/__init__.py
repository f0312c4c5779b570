"""What is asked: subscripts and operands become an Equation and its strided views."""
