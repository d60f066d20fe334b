"""The table, as text and as JSON."""
from .measure import median
from .rows import MEASURES

NOISE = 0.02  # two runs of one program against itself differ by so much


def ratio(results, measure, name):
    """Median over the turns of pgsluice / name."""
    ours, theirs = results.get("pgsluice", {}).get(measure, []), results.get(name, {}).get(measure, [])
    pairs = [a / b for a, b in zip(ours, theirs) if a is not None and b]
    return median(pairs)


def verdict(at_most, value):
    if at_most is None or value is None:
        return ""
    return "ok" if value <= at_most else "noise" if value <= at_most + NOISE else "WORSE"


def lines_of(row, results):
    """One dictionary for each measure of the row, in the order of MEASURES."""
    for measure, (what, unit, digits, _) in MEASURES.items():
        values = {p: got[measure] for p, got in results.items() if got.get(measure)}
        if not values:
            continue
        to_pgbouncer = ratio(results, measure, "pgbouncer")
        at_most = row.at_most.get(measure)
        yield {"row": row.name, "text": row.text, "measure": measure, "what": what, "unit": unit, "digits": digits,
               "turns": values, "median": {p: median(v) for p, v in values.items()},
               "to_pgbouncer": to_pgbouncer, "to_pair": ratio(results, measure, "pair"),
               "at_most": at_most, "verdict": verdict(at_most, to_pgbouncer)}


def shown(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


HEAD = f"{'':4}{'measure':34} {'unit':15}{'PgBouncer':>11}{'HAP+PgB':>11}{'pgsluice':>11}{'direct':>9}   {'/PgB':>6} {'/pair':>6} {'at most':>7}"


def print_row(row, results, instead):
    print(f"\n{row.name}: {row.text}" + (f"   [{row.instead}]" if instead else ""))
    for line in lines_of(row, results):
        m, d = line["median"], line["digits"]
        cells = "".join(f"{shown(m.get(p), d):>{w}}" for p, w in (("pgbouncer", 11), ("pair", 11), ("pgsluice", 11), ("direct", 9)))
        print(f"{'':4}{line['what']:34} {line['unit']:15}{cells}   {shown(line['to_pgbouncer'], 2):>6} {shown(line['to_pair'], 2):>6} "
              f"{shown(line['at_most'], 2):>7} {line['verdict']}")
    for program, got in results.items():
        for text in got.get("failed", []):
            print(f"{'':4}FAILED {program}: {text}")


def markdown(rows):
    """The same for bench/README.md: what is claimed, and memory. `rows` as in the JSON file."""
    yield "| row | measure | PgBouncer | HAProxy+PgBouncer | pgsluice | to PgBouncer | to the pair |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        for line in row["lines"]:
            if line["what"].startswith("for the eye") and line["at_most"] is None:
                continue
            m, d = line["median"], line["digits"]
            cells = " | ".join(shown(m.get(p), d) for p in ("pgbouncer", "pair", "pgsluice"))
            yield (f"| {row['row']} | {line['what']} {line['unit']} | {cells} | "
                   f"{shown(line['to_pgbouncer'], 2)} | {shown(line['to_pair'], 2)} |").replace("for the eye: ", "")
