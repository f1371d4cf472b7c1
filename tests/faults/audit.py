# SPDX-License-Identifier: Apache-2.0
"""Triggers that write down who claimed and who changed a row, for I2 and I7: nothing outside of the database tells.
Each start of a process has an application_name of its own."""

INSTALL = """
CREATE SCHEMA audit;
CREATE TABLE audit.log (number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, relation text NOT NULL, writer text NOT NULL,
    row_id text NOT NULL, old_seq bigint NOT NULL, seq bigint NOT NULL, old_state int NOT NULL, state int NOT NULL, leased boolean NOT NULL);
CREATE FUNCTION audit.generation() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit.log (relation, writer, row_id, old_seq, seq, old_state, state, leased)
    VALUES ('generation', current_setting('application_name'), NEW.id::text, OLD.lease_seq, NEW.lease_seq, OLD.state, NEW.state,
        OLD.lease_owner IS NOT NULL AND OLD.lease_seq = NEW.lease_seq);
    RETURN NULL; END $$;
CREATE FUNCTION audit.delivery() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit.log (relation, writer, row_id, old_seq, seq, old_state, state, leased)
    VALUES ('delivery', current_setting('application_name'), NEW.id, OLD.lease_seq, NEW.lease_seq, 0, 0,
        OLD.leased AND OLD.lease_seq = NEW.lease_seq);
    RETURN NULL; END $$;
CREATE TRIGGER audit AFTER UPDATE ON generations FOR EACH ROW
    WHEN (OLD.lease_seq <> NEW.lease_seq OR OLD.state <> NEW.state OR OLD.last_change IS DISTINCT FROM NEW.last_change)
    EXECUTE FUNCTION audit.generation();
CREATE TRIGGER audit AFTER UPDATE ON deliveries FOR EACH ROW
    WHEN (OLD.lease_seq <> NEW.lease_seq OR OLD.last_change IS DISTINCT FROM NEW.last_change)
    EXECUTE FUNCTION audit.delivery();
GRANT USAGE ON SCHEMA audit TO PUBLIC;
GRANT INSERT ON audit.log TO PUBLIC;
"""
READ = "SELECT number, relation, writer, row_id, old_seq, seq, old_state, state, leased FROM audit.log ORDER BY number"


def read(world):
    """Brings the log into the history."""
    for number, relation, writer, row, old_seq, seq, old_state, state, leased in world.sql(READ):
        common = {"number": number, "table": relation, "generation": row, "seq": seq, "writer": writer}
        if seq > old_seq:
            world.history.add("claim", **common)
        if seq == old_seq or state != old_state:
            world.history.add("change", **common, **{"from": old_state, "to": state, "leased": leased})
