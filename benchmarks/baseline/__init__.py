"""How the published code computes the same things: the peers that the benchmarks measure against."""
