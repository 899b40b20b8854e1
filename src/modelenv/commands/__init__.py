"""What the command line's verbs do: library calls in, values and text out. One module for each family of verbs."""
