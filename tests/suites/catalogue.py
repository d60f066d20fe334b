"""catalogue.py - which suites there are."""

import alchemy
import golang
import orm
import regress
import tools

SUITES = {
    "pq": golang.Pq,
    "pgx": golang.Pgx,
    "regress": regress.Regress,
    "tools": tools.Tools,
    "orm": orm.Orm,
    "alchemy": alchemy.Alchemy,
    "sqlx": golang.Sqlx,
}
