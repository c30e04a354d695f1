"""k-bit inference scaling laws: for a fixed number of total model bits, how many bits should each weight have?"""

__version__ = "0.1.0"
