"""What measures: one protocol of a call, and the instruments that take it. None looks at a formula."""
