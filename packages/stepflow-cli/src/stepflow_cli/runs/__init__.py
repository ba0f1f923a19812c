"""Execute runs, wait for them and watch them."""
