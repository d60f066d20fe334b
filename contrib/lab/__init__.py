"""
A Patroni cluster on loopback that can be broken on purpose, and pgsluice in front of it.

Run as `contrib/quickstart VERB` (or `python3 contrib/lab VERB`); tests import `lab.cluster`.
Reading order: layout (where things are), procs (processes), link, tls, node, cluster, sluice, proof, main (the verbs).
Needs Python 3.11 and its standard library; `proof` also uses psycopg2, which Debian's patroni brings along.
"""
