"""The benchmark: einjit beside other engines and the limits of the machine."""
