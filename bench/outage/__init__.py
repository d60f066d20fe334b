"""What bench/failover is made of: a world that can be hurt, clients that notice everything, and the table of both."""
