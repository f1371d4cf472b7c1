#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether each migration may run while the service does: no rewrite, no scan and no long lock of a table that was there before.

usage: migrations.py FOLDER [--self-test]

    A statement that would is allowed with a comment `-- Lock: why it may` directly above it, or for those of PAST.
"""
import pathlib
import re
import sys

# Applied everywhere long ago, or to tables that were empty when they came; they are never edited.
PAST = {"0003_webhook_endpoints.sql": {"CREATE INDEX"}, "0007_routing.sql": {"CREATE INDEX"}, "0008_output_media.sql": {"CHECK"}}
VOLATILE = r"(?:clock_timestamp|timeofday|random|gen_random_uuid|uuid_generate\w*|nextval)\s*\("
RULES = (
    ("CREATE INDEX", r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY IF NOT EXISTS)", "blocks writes while it builds: CONCURRENTLY IF NOT EXISTS, outside a transaction"),
    ("VOLATILE", r"ADD (?:COLUMN )?.*DEFAULT\s+.*" + VOLATILE, "rewrites the table"),
    ("GENERATED", r"ADD (?:COLUMN )?.*(GENERATED ALWAYS AS .*STORED|\b(big|small)?serial\b|GENERATED .* AS IDENTITY)", "rewrites the table"),
    ("CHECK", r"\b(CHECK|FOREIGN KEY|REFERENCES)\b(?!.*NOT VALID)", "reads the whole table under a lock: NOT VALID, and VALIDATE in a later migration"),
    ("NOT NULL", r"SET NOT NULL", "reads the whole table under a lock"),
    ("NOT NULL", r"ADD (?:COLUMN )?\w+ [^,]*NOT NULL(?![^,]*DEFAULT)(?<!DEFAULT)", "fails where there are rows, and old programs do not fill it"),
    ("TYPE", r"ALTER (COLUMN )?\w+ (SET DATA )?TYPE", "rewrites the table, and old programs read the old type"),
    ("UNIQUE", r"ADD (CONSTRAINT \w+ )?(UNIQUE|PRIMARY KEY|EXCLUDE)\b(?! USING INDEX)", "builds an index under a lock"),
    ("DROP", r"\bDROP (TABLE|COLUMN|FUNCTION|TYPE)\b|\bDROP (?!DEFAULT|NOT NULL|CONSTRAINT|INDEX CONCURRENTLY)\w", "old programs still use it"),
    ("RENAME", r"\bRENAME\b", "old programs still use the old name"),
    ("WHOLE TABLE", r"^\s*(UPDATE|DELETE FROM)\b|\bTRUNCATE\b|\bCLUSTER\b|VACUUM FULL", "locks every row it changes: in batches, by the service"),
    ("REINDEX", r"\bREINDEX (?!.*CONCURRENTLY)", "blocks writes"),
    ("LOCK", r"^\s*LOCK\b", "locks a table"),
)


def statements(text):
    """[(comments above, statement)], bodies of functions taken out."""
    text = re.sub(r"\$(\w*)\$.*?\$\1\$", "$body$", text, flags=re.S)
    for part in re.split(r";[^\n]*(?:\n|$)", text):
        lines = part.splitlines()
        yield "\n".join(one for one in lines if one.lstrip().startswith("--")), re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", part)).strip()


def table_of(statement):
    found = re.match(r"(?:ALTER TABLE (?:ONLY |IF EXISTS )*|CREATE (?:UNIQUE )?INDEX .*? ON (?:ONLY )?)(\w+)", statement, re.I)
    return found.group(1) if found else None


def judge(name, text):
    made, found = set(), []
    outside = "\n-- Outside a transaction.\n" in text
    for comments, statement in statements(text):
        new = re.match(r"CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(\w+)", statement, re.I)
        if new:
            made.add(new.group(1))
            continue
        if not statement or table_of(statement) in made or re.match(r"(COMMENT ON|INSERT INTO|CREATE (OR REPLACE )?(FUNCTION|TYPE|VIEW|SEQUENCE))", statement, re.I):
            continue
        if "CONCURRENTLY" in statement and not outside:
            found.append(f"{name}: CONCURRENTLY needs the line '-- Outside a transaction.'")
        for rule, pattern, why in RULES:
            if re.search(pattern, statement, re.I) and not re.search(r"-- Lock: \S", comments) and rule not in PAST.get(name, ()):
                found.append(f"{name}: {rule}: {why}: {statement[:90]}")
    return found


GOOD = ("CREATE TABLE t (id int PRIMARY KEY CHECK (id > 0));\nCREATE INDEX t_id ON t (id);\n", "ALTER TABLE videos ADD a int, ADD b text NOT NULL DEFAULT '';",
        "-- x\n-- Outside a transaction.\nCREATE INDEX CONCURRENTLY IF NOT EXISTS i ON videos (a);\n", "ALTER TABLE videos ADD c timestamptz DEFAULT now();",
        "ALTER TABLE videos ADD CONSTRAINT k CHECK (a > 0) NOT VALID;", "-- Lock: a few rows\nUPDATE projects SET a = 1;",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$\nUPDATE videos SET a = 1;\n$$;\n")
BAD = ("CREATE INDEX i ON videos (a);", "ALTER TABLE videos ADD a uuid DEFAULT gen_random_uuid();", "ALTER TABLE videos ADD a bigserial;",
       "ALTER TABLE videos ADD CONSTRAINT k CHECK (a > 0);", "ALTER TABLE videos ALTER a SET NOT NULL;", "ALTER TABLE videos ALTER COLUMN a TYPE bigint;",
       "ALTER TABLE videos DROP COLUMN a;", "DROP TABLE videos;", "ALTER TABLE videos RENAME a TO b;", "UPDATE videos SET a = 1;", "DELETE FROM videos;",
       "TRUNCATE videos;", "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON videos (a);", "ALTER TABLE videos ADD UNIQUE (a);", "LOCK TABLE videos;",
       "ALTER TABLE videos ADD a int NOT NULL;", "REINDEX TABLE videos;", "CREATE TABLE t (id int);\nCREATE INDEX i ON videos (a);")


def self_test():
    wrong = [f"refused though good: {text}: {judge('x', text)}" for text in GOOD if judge("x", text)]
    return wrong + [f"let pass: {text}" for text in BAD if not judge("x", text)]


def main():
    folder = pathlib.Path(sys.argv[1])
    found = self_test()
    for path in sorted(folder.glob("*.sql")):
        if path.name != "0001_init.sql":
            found += judge(path.name, path.read_text())
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
