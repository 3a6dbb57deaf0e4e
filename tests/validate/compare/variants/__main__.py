"""Print the table of outcomes."""

import sys

from .compared import table

print(table(tuple(sys.argv[1:])))
