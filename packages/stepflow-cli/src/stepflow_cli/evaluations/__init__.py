"""The options of `stepflow eval`, how it runs evaluations, and how it prints them."""
