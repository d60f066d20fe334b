"""catalogue.py - which suites there are."""

import golang

SUITES = {
    "pq": golang.Pq,
    "pgx": golang.Pgx,
}
