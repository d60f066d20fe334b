"""What bench/run and the load tests are made of."""
